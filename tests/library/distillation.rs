//! Distilling is what makes a twin: on the bundled base, twins that have learnt keep most of what
//! untrained ones lose in the same layers.

use std::path::Path;

use burn::tensor::Device;
use dtr::algorithms::distil::DistilConfig;
use dtr::algorithms::distil::DistilResult;
use dtr::algorithms::distil::{Student, distil};
use dtr::algorithms::score::Scorer;
use dtr::data::scoring_requests::ScoringRequests;
use dtr::data::token_sequences::TokenSequences;
use dtr::data::{Split, load_items};
use dtr::manifest::load;
use dtr::observer::NullObserver;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::count::Count;
use dtr_model::{BaseModel, Mask, RandomParams, Twins};
use dtr_model::{TwinInit, Variant};

const TASKS: [&str; 2] = ["facts", "topic"];

/// The share of the tasks' validation items that hybrids with one layer replaced answer right, on average
/// over all layers.
fn accuracy(base: &BaseModel, twins: &Twins, tasks: &[ScoringRequests]) -> f64 {
    let layers = 0..twins.layers.len() as u32;
    let masks: Vec<Mask> = layers.map(|layer| Mask::none().with(layer)).collect();
    let scores = tasks.iter().flat_map(|requests| {
        let mut scorer = Scorer::new(&base.decoder, Some(twins), requests);
        masks.iter().map(move |mask| scorer.score(&Mask::none(), mask).unwrap().score)
    });
    scores.sum::<f64>() / (masks.len() * tasks.len()) as f64
}

#[test]
fn a_distilled_twin_beats_an_untrained_one_in_the_same_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = load(&root.join("experiments/quickstart.toml"), &[]).unwrap().manifest;
    let base = BaseModel::read(&root.join("models/mini"), &Device::flex()).unwrap();
    let recipe = DistilConfig { token_budget: Count(32_768), ..manifest.distil.clone() };
    let source = &manifest.corpus.source;
    let corpus = TokenSequences::new(
        source,
        &base.tokenizer,
        recipe.schedule().sequences(),
        recipe.seed,
        &NullObserver,
    );
    // Copied twins show what learning is worth, and calibrated ones what their start is worth beside it.
    let of = |init: TwinInit| {
        let with =
            move |(name, variant): (&String, &Variant)| (name.clone(), Variant { init, ..variant.clone() });
        manifest.variants.iter().map(with)
    };
    let variants: Vec<(String, Variant)> = of(TwinInit::Copy).collect();
    let calibrated: Vec<(String, Variant)> = of(TwinInit::Calibrated).collect();
    let tasks = TASKS.map(|task| {
        let task = &manifest.tasks[task];
        ScoringRequests::new(
            &base.tokenizer,
            load_items(task, Split::Validation).unwrap(),
            task.metric(),
            128,
        )
        .unwrap()
    });

    let folder = tempfile::tempdir().unwrap();
    let pupil = |(name, variant): &(String, Variant)| {
        let checkpoint =
            CheckpointFile::new(folder.path().join(format!("{name} {:?}", variant.init)), "test");
        Student::new(name, variant, &base.decoder, 0..base.decoder.config.num_layers, &recipe, &checkpoint)
            .unwrap()
    };
    let mut pupils: Vec<Student> = variants.iter().chain(&calibrated).map(pupil).collect();
    distil(&base.decoder, &mut pupils, &recipe, &corpus.unwrap(), &NullObserver).unwrap();

    let taught = pupils.into_iter().map(|pupil| (pupil.twins(), pupil.finish().unwrap().result));
    let taught: Vec<_> = taught.collect();
    let (copied, calibrated) = taught.split_at(variants.len());
    for ((name, variant), ((twins, copied), (_, calibrated))) in
        variants.iter().zip(copied.iter().zip(calibrated))
    {
        let mut start = RandomParams::new(recipe.seed.child("twins"), &Device::flex());
        let untrained = Twins::new(variant, &base.decoder, &mut start).unwrap();
        let before = accuracy(&base, &untrained, &tasks);
        let after = accuracy(&base, twins, &tasks);
        println!("{name}: untrained {before:.3}, distilled {after:.3}");
        // About 2,000 answers each: ten points are many times their standard error.
        assert!(after > before + 0.1, "{name}: untrained {before:.3}, distilled {after:.3}");
        for layer in &copied.layers {
            assert!(layer.r#final < 0.5 * layer.initial, "{name}: {layer:?}");
        }
        let loss = |result: &DistilResult| result.layers.iter().map(|layer| layer.r#final).sum::<f64>();
        let (copied, calibrated) = (loss(copied), loss(calibrated));
        println!("{name}: loss {copied:.4} copied, {calibrated:.4} calibrated");
        assert!(calibrated < 0.7 * copied, "{name}: {calibrated} and {copied}");
    }
}

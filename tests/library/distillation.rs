//! Distillation on the bundled base: trained twins are more accurate than untrained twins, and calibrated
//! initial values lead to a lower loss.

use burn::tensor::Device;
use dtr::algorithms::distil::{DistilConfig, DistilResult, Student, distil};
use dtr::algorithms::score::{Scorer, SplitScorer};
use dtr::data::scoring_requests::ScoringRequests;
use dtr::data::token_sequences::TokenSequences;
use dtr::data::{Split, load_items};
use dtr::manifest::load_manifest;
use dtr::observer::NullObserver;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::count::Count;
use dtr_model::{BaseModel, Mask, RandomParams, TwinInit, TwinVariant, Twins};

use crate::root;
use crate::temp_folder::TempFolder;

const TASKS: [&str; 2] = ["facts", "topic"];

/// Returns the mean validation accuracy of the hybrids that replace one layer, over all layers and tasks.
fn accuracy(base: &BaseModel, twins: &Twins, tasks: &[ScoringRequests]) -> f64 {
    let layers = 0..twins.layers.len() as u32;
    let masks: Vec<Mask> = layers.map(|layer| Mask::empty().with_layer(layer)).collect();
    let scores = tasks.iter().flat_map(|requests| {
        let mut scorer = Scorer::new(&base.decoder, Some(twins), requests);
        masks.iter().map(move |mask| scorer.score(&Mask::empty(), mask).unwrap().score)
    });
    scores.sum::<f64>() / (masks.len() * tasks.len()) as f64
}

fn final_loss(result: &DistilResult) -> f64 {
    result.layers.iter().map(|layer| layer.r#final).sum()
}

#[test]
fn distilled_twins_beat_untrained_ones_in_the_same_layers() {
    let manifest = load_manifest(&root().join("experiments/quickstart.toml"), &[]).unwrap().manifest;
    let base = BaseModel::read(&root().join("models/mini"), &Device::flex()).unwrap();
    let config = DistilConfig { token_budget: Count(32_768), ..manifest.distil.clone() };
    let (source, shape) = (&manifest.corpus.source, config.training_schedule().sequence_shape());
    let corpus = TokenSequences::new(source, &base.tokenizer, shape, config.seed, &NullObserver).unwrap();
    let tasks = TASKS.map(|task| {
        let task = &manifest.tasks[task];
        let items = load_items(task, Split::Validation).unwrap();
        ScoringRequests::new(&base.tokenizer, items, task.metric(), 128).unwrap()
    });

    // Each variant's twins are trained twice: from the initial values `Copy`, and from `Calibrated`. Trained
    // twins from `Copy` must be more accurate than untrained twins. Trained twins from `Calibrated` must have
    // a lower loss than trained twins from `Copy`.
    let folder = TempFolder::new();
    let student = |(name, variant): (&String, &TwinVariant), init: TwinInit| {
        let checkpoint = CheckpointFile::new(folder.path(&format!("{name} {init:?}")), "test");
        let variant = TwinVariant { init, ..variant.clone() };
        let layers = 0..base.decoder.config.num_layers;
        Student::new_or_resume(name, &variant, &base.decoder, layers, &config, &checkpoint).unwrap()
    };
    let students = |init: TwinInit| {
        let student = &student;
        manifest.variants.iter().map(move |variant| student(variant, init))
    };
    let mut students: Vec<Student> = students(TwinInit::Copy).chain(students(TwinInit::Calibrated)).collect();
    distil(&base.decoder, &mut students, &config, &corpus, &NullObserver).unwrap();
    let trained = students.into_iter().map(|student| (student.twins(), student.finish().unwrap().result));
    let trained: Vec<(Twins, DistilResult)> = trained.collect();
    let (copied, calibrated) = trained.split_at(manifest.variants.len());
    for (index, (name, variant)) in manifest.variants.iter().enumerate() {
        let variant = TwinVariant { init: TwinInit::Copy, ..variant.clone() };
        let mut params = RandomParams::new(config.seed.child("twins"), &Device::flex());
        let untrained = Twins::new(&variant, &base.decoder, &mut params).unwrap();
        let (twins, result) = &copied[index];
        let (before, after) = (accuracy(&base, &untrained, &tasks), accuracy(&base, twins, &tasks));
        println!("{name}: untrained {before:.3}, distilled {after:.3}");
        // Each accuracy is over about 2,000 answers, so ten percentage points are many standard errors.
        assert!(after > before + 0.1, "{name}: untrained {before:.3}, distilled {after:.3}");
        for layer in &result.layers {
            assert!(layer.r#final < 0.5 * layer.initial, "{name}: {layer:?}");
        }
        let (copied, calibrated) = (final_loss(result), final_loss(&calibrated[index].1));
        println!("{name}: loss {copied:.4} copied, {calibrated:.4} calibrated");
        assert!(calibrated < 0.7 * copied, "{name}: loss {copied} copied, {calibrated} calibrated");
    }
}

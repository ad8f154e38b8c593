//! Tests of plans: which settings change the keys of cells, which do not, and which are refused.

use std::path::Path;

use super::*;
use crate::data::{CorpusSource, DocumentUnit, FileCorpus, SyntheticCorpus, WeightedSource};
use crate::manifest::load_manifest;
use crate::resources::WorkRates;
use crate::stages::{
    Cell, CellLabels, CorpusIdentity, DistilJob, PretrainJob, ScoreJob, SearchJob, Stage, ThroughputJob,
};
use crate::store::CellKey;
use dtr_core::seed::Seed;

/// Makes the sweep train the base of the quick start, so that no test needs a file of weights.
const TINY: &str = "models.mini.source={ pretrain = { hidden-size = 32, intermediate-size = 64, \
                    num-layers = 4, num-heads = 4, num-kv-heads = 2, head-dim = 8 } }";

fn try_quickstart(sets: &[&str]) -> dtr_core::error::Result<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/quickstart.toml");
    let sets: Vec<String> = [TINY].iter().chain(sets).map(|set| (*set).to_owned()).collect();
    plan_for_cpu(&load_manifest(&path, &sets)?)
}

/// Plans the quick start with some values overridden.
fn quickstart(sets: &[&str]) -> Plan {
    try_quickstart(sets).unwrap()
}

fn keys<S: Stage>(plan: &Plan) -> Vec<CellKey> {
    plan.cells_of(&S::NAME).map(Cell::key).collect()
}

#[test]
fn names_and_presentation_do_not_change_keys() {
    let plain = quickstart(&[]);
    for set in [r#"name="other""#, r#"question="why?""#, "report.confidence=0.9", r#"report.title="T""#] {
        let changed = quickstart(&[set]);
        assert!(plain.cells.iter().zip(&changed.cells).all(|(a, b)| a.key() == b.key()), "{set}");
    }
}

#[test]
fn a_stop_criterion_changes_the_keys_of_searches_but_not_of_twins() {
    let (plain, changed) = (quickstart(&[]), quickstart(&["search.stop={ never = {} }"]));
    assert_eq!(keys::<DistilJob>(&plain), keys::<DistilJob>(&changed));
    assert!(keys::<SearchJob>(&plain).iter().all(|key| !keys::<SearchJob>(&changed).contains(key)));
}

#[test]
fn a_distillation_seed_changes_the_keys_of_twins_and_of_their_searches() {
    let changed = quickstart(&["distil.seed=9"]);
    let twins_and_searches =
        quickstart(&[]).cells.into_iter().filter(|cell| *cell.stage() != PretrainJob::NAME);
    assert!(twins_and_searches.into_iter().all(|cell| changed.cell(&cell.key()).is_none()));
}

#[test]
fn a_trained_base_is_identified_by_its_tokenizer_and_refused_if_the_tokenizer_lacks_words_of_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let read =
        |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let with = |name: &str, tokenizer: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, tokenizer).unwrap();
        try_quickstart(&[&format!("models.mini.source.pretrain.tokenizer={:?}", path.to_str().unwrap())])
    };
    let bytes = read("tests/fixtures/tasks/model/tokenizer.json");
    let (one, other) = (with("one.json", &bytes).unwrap(), with("other.json", &bytes).unwrap());
    assert_eq!(
        keys::<PretrainJob>(&one),
        keys::<PretrainJob>(&other),
        "the tokenizer file's name must not change a key"
    );
    assert_ne!(keys::<PretrainJob>(&one), keys::<PretrainJob>(&quickstart(&[])));

    let mut few: serde_json::Value = serde_json::from_str(&read("models/mini/tokenizer.json")).unwrap();
    few["model"]["vocab"] = serde_json::json!({ "<unk>": 0, "<bos>": 1, "<eos>": 2, "<pad>": 3 });
    let refused = with("few.json", &few.to_string());
    let why = refused.unwrap_err().to_string();
    assert!(
        why.contains("`mini` cannot be scored on the task `recall`: its tokenizer does not know all words"),
        "{why}"
    );
}

#[test]
fn axes_multiply_cells_and_label_them() {
    let plan = quickstart(&[r#"sweep.axes."distil.token-budget"=["64k", "128k"]"#]);
    assert_eq!(plan.cells_of(&DistilJob::NAME).count(), 6);
    assert_eq!(plan.cells_of(&SearchJob::NAME).count(), 24);
    let first = &plan.cells_of(&DistilJob::NAME).next().unwrap().labels.axes;
    assert_eq!(first["distil.token-budget"], "64k");
}

#[test]
fn a_strategy_labels_its_searches_and_does_not_change_twins() {
    let strategies = "[{ greedy = {} }, { random = { seed = 7 } }, { beam = { width = 2 } }]";
    let plan =
        quickstart(&[&format!(r#"sweep.axes."search.strategy"={strategies}"#), r#"sweep.task=["facts"]"#]);
    let names: Vec<&str> =
        plan.cells_of(&SearchJob::NAME).map(|cell| &*cell.labels.axes["search.strategy"]).collect();
    assert_eq!(names[..6], ["greedy", "greedy", "greedy", "random:seed=7", "random:seed=7", "random:seed=7"]);
    assert_eq!(names[6..], ["beam:width=2"; 3]);
    assert!(plan.cells_of(&DistilJob::NAME).all(|cell| cell.labels.axes.is_empty()));
    assert_eq!(plan.cells_of(&DistilJob::NAME).count(), 3);
}

#[test]
fn an_axis_that_changes_nothing_is_refused() {
    // A strategy with one candidate per round does not prune, so `prune` changes nothing.
    let pruning = "sweep.axes.\"search.prune\"=[true, false]";
    assert!(try_quickstart(&[pruning, "search.strategy={ beam = { width = 2 } }"]).is_ok());
    assert!(try_quickstart(&[pruning, "search.strategy={ uniform = {} }"]).is_err());
    // Without variants, nothing is distilled, so the settings of distillation change no key.
    let axis = r#"sweep.axes."distil.token-budget"=["64k", "128k"]"#;
    let error = try_quickstart(&["sweep.variant=[]", axis]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "two cells of the sweep are the same work: `mini recall distil.token-budget=64k` and \
         `mini recall distil.token-budget=128k`"
    );
}

#[test]
fn two_names_for_one_definition_are_refused() {
    let again = "variants.again={ block = { gla = {} } }";
    let error = try_quickstart(&[again, r#"sweep.variant=["gla", "again"]"#]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "two cells of the sweep are the same work: `mini gla recall` and `mini again recall`"
    );
}

#[test]
fn the_base_score_is_shared_by_variants() {
    let plan = quickstart(&[]);
    let scores: Vec<_> = plan
        .cells
        .iter()
        .filter_map(Cell::downcast_job::<SearchJob>)
        .map(|job| ScoreJob {
            base: job.base.clone(),
            twins: Some(job.twins.clone()),
            task: job.task.clone(),
            split: crate::data::Split::Validation,
            identity: job.validation.clone(),
            layers: Vec::new(),
            tuned: None,
            restores_qk: false,
        })
        .map(|job| Cell::new(job, CellLabels::default()).unwrap().key())
        .collect();
    let distinct: std::collections::BTreeSet<_> = scores.iter().collect();
    assert_eq!((scores.len(), distinct.len()), (12, 4));
}

/// The expected counts are from the models' pages on the Hugging Face hub.
#[test]
fn the_published_shapes_have_the_published_numbers_of_parameters() {
    for (name, parameters) in [
        ("llama-3.1-8b-instruct", 8_030_261_248),
        ("llama-3.2-3b-instruct", 3_212_749_824),
        ("qwen2.5-1.5b", 1_543_714_304),
        ("qwen3-0.6b", 596_049_920),
    ] {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join(format!("experiments/base/configs/{name}.json"));
        let config = dtr_model::DecoderConfig::parse(
            &std::fs::read_to_string(&path).unwrap(),
            Path::new("config.json"),
        )
        .unwrap();
        assert_eq!(config.num_parameters(), parameters, "{name}");
    }
}

/// Returns the identity of a corpus as JSON.
fn corpus(source: &CorpusSource) -> serde_json::Value {
    serde_json::to_value(CorpusIdentity::compute(source).unwrap()).unwrap()
}

fn files(paths: &[String]) -> FileCorpus {
    FileCorpus {
        paths: paths.to_vec(),
        column: "text".to_owned(),
        document: DocumentUnit::Paragraph,
        separator: String::new(),
    }
}

#[test]
fn a_synthetic_corpus_is_identified_by_its_seeds() {
    let of = |language, seed| {
        corpus(&CorpusSource::Synthetic(SyntheticCorpus { language_seed: Seed(language), seed: Seed(seed) }))
    };
    let text = blake3::hash(b"world v1, world 1, corpus 2").to_hex().to_string();
    assert_eq!(of(1, 2), serde_json::json!({ "text": text }));
    assert_ne!(of(2, 1), of(1, 2));
    assert_ne!(of(1, 3), of(1, 2));
}

#[test]
fn a_corpus_of_files_is_identified_by_content_and_on_the_hub_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let of = |paths: &[String]| corpus(&CorpusSource::Files(files(paths)));
    let (one, same, two) = (write("one.txt", "x"), write("same.md", "x"), write("two.txt", "y"));
    assert_eq!(of(std::slice::from_ref(&one)), of(&[same]));
    assert_ne!(of(std::slice::from_ref(&one)), of(std::slice::from_ref(&two)));
    assert_ne!(of(&[one.clone(), two.clone()]), of(&[two, one.clone()]), "the order of files must matter");
    let hub = |revision: &str| format!("hf://datasets/owner/name@{revision}/data.parquet");
    assert_eq!(of(&[hub("a")])["files"][0], hub("a"));

    let plain = files(&[one]);
    for other in [
        FileCorpus { column: "body".to_owned(), ..plain.clone() },
        FileCorpus { document: DocumentUnit::File, ..plain.clone() },
        FileCorpus { separator: "\n".to_owned(), ..plain.clone() },
    ] {
        assert_ne!(corpus(&CorpusSource::Files(other)), corpus(&CorpusSource::Files(plain.clone())));
    }
    let mixture = |weight| {
        CorpusSource::Mixture(vec![WeightedSource { source: CorpusSource::Files(plain.clone()), weight }])
    };
    assert_ne!(corpus(&mixture(1.0)), corpus(&mixture(2.0)));
}

#[test]
fn an_unsupported_corpus_format_is_refused_before_anything_runs() {
    let error = try_quickstart(&[r#"corpus.source.files.paths=["a.csv"]"#]).unwrap_err();
    assert_eq!(error.to_string(), "`a.csv` has an unsupported format");
}

/// Plans the paper's throughput experiment with some values overridden.
fn throughput(sets: &[&str]) -> dtr_core::error::Result<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/throughput.toml");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    plan_for_cpu(&load_manifest(&path, &sets)?)
}

#[test]
fn the_papers_throughput_is_planned_without_a_download() {
    let plan = throughput(&[]).unwrap();
    // The base and the hybrids with 4, 8, … 28 replaced layers are timed at four contexts.
    assert_eq!((plan.cells.len(), plan.cells_of(&ThroughputJob::NAME).count()), (32, 32));
    assert!(plan.downloads.is_empty());
}

#[test]
fn throughput_keys_depend_on_settings_and_not_on_weights() {
    let keys = |sets: &[&str]| {
        throughput(sets)
            .unwrap()
            .cells
            .into_iter()
            .map(|cell| cell.key())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let plain = keys(&[]);
    for set in [
        "throughput.replaced={ all = {} }",
        r#"models."llama-3.2-3b-instruct".source.hub.revision="0000000000000000000000000000000000000000""#,
        r#"variants.jet.init="random""#,
        "distil.seed=9",
    ] {
        assert!(keys(&[set]).is_superset(&plain), "{set}");
    }
    for set in ["throughput.repeats=8", "throughput.prefill-chunk=512", "throughput.new-tokens=64"] {
        assert!(keys(&[set]).is_disjoint(&plain), "{set}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/throughput.toml");
    let machine = crate::device::MachineLabel { device: "another".to_owned(), threads: 1 };
    let elsewhere = plan_for_machine(&load_manifest(&path, &[]).unwrap(), &machine).unwrap();
    assert!(elsewhere.cells.iter().all(|cell| !plain.contains(&cell.key())));
}

#[test]
fn more_layers_than_there_are_cannot_be_replaced() {
    let error = throughput(&["throughput.replaced={ counts = [10, 29] }"]).unwrap_err();
    assert_eq!(error.to_string(), "`llama-3.2-3b-instruct` has 28 layers, so 29 cannot be replaced");
}

#[test]
fn a_shape_is_timed_and_cannot_be_scored() {
    let shape = r#"models.shape={ source = { shape = "experiments/base/configs/qwen3-0.6b.json" } }"#;
    let plan = throughput(&[shape, r#"sweep.model=["shape"]"#]).unwrap();
    assert_eq!(plan.cells.len(), 32);
    let error = try_quickstart(&[shape, r#"sweep.model=["mini", "shape"]"#]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`shape` is only a shape, and a model without weights cannot be scored on the task `recall`"
    );
}

#[test]
fn a_timing_of_a_trajectory_reads_the_search_with_the_same_labels() {
    let timed = quickstart(&[
        "throughput.contexts=[8]",
        r#"throughput.layers={ trajectory = { task = "topic" } }"#,
        "throughput.replaced={ counts = [2] }",
        "search.stop={ never = {} }",
        r#"sweep.axes."search.strategy"=[{ greedy = {} }, { uniform = {} }]"#,
    ]);
    let cells: Vec<_> = timed.cells_of(&ThroughputJob::NAME).collect();
    // There is one cell for the base, and one for each combination of three variants and two strategies.
    assert_eq!(cells.len(), 1 + 3 * 2);
    assert!(cells[0].inputs().is_empty() && cells[0].labels.axes.is_empty());
    for cell in &cells[1..] {
        let search = timed.cell(&cell.inputs()["search"].key).unwrap();
        assert_eq!(search.labels, cell.labels);
    }
}

#[test]
fn bf16_changes_all_keys_and_f32_changes_none() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/quickstart.toml");
    let keys = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let plan = plan_for_cpu(&load_manifest(&path, &sets).unwrap()).unwrap();
        plan.cells.into_iter().map(|cell| cell.key()).collect::<Vec<_>>()
    };
    let plain = keys(&[]);
    assert_eq!(keys(&[r#"models.mini.dtype="f32""#]), plain);
    let short = keys(&[r#"models.mini.dtype="bf16""#]);
    assert!(short.len() == plain.len() && short.iter().all(|key| !plain.contains(key)));
    let error = try_quickstart(&[r#"models.mini.dtype="bf16""#]).unwrap_err();
    assert_eq!(error.to_string(), "dtr pretrains `models.mini` in f32, so its `dtype` must be f32");
}

/// Plans the quick start with the bundled base, and estimates its time on a device with these rates.
fn quickstart_time(sets: &[&str]) -> TimeEstimate {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/quickstart.toml");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let plan = plan_for_cpu(&load_manifest(&path, &sets).unwrap()).unwrap();
    TimeEstimate::new(&plan, &WorkRates::of_cpu(1e11)).unwrap()
}

#[test]
fn the_time_grows_with_the_budget_and_with_the_tasks() {
    let is_near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
    let whole = quickstart_time(&[]);
    assert!(whole.distil_seconds > 0.0 && whole.search_seconds > 0.0, "{whole:?}");
    assert!(whole.tasks_not_downloaded.is_empty() && !whole.has_unknown_shape, "{whole:?}");
    let longer = quickstart_time(&[r#"distil.token-budget="256k""#]);
    assert!(is_near(longer.distil_seconds, 2.0 * whole.distil_seconds), "{longer:?}");
    assert!(is_near(longer.search_seconds, whole.search_seconds), "{longer:?}");
    let of_task = |task: &str| quickstart_time(&[&format!("sweep.task=[{task:?}]")]);
    let tasks = ["recall", "facts", "topic", "moves"].map(of_task);
    assert!(is_near(tasks.iter().map(|one| one.search_seconds).sum(), whole.search_seconds), "{tasks:?}");
    // One pass of the base serves all variants, so one variant takes more than a third of the time.
    let one = quickstart_time(&[r#"sweep.variant=["gla"]"#]);
    assert!(one.distil_seconds > whole.distil_seconds / 3.0, "{one:?}");
    assert!(one.distil_seconds < whole.distil_seconds, "{one:?}");
}

#[test]
fn the_time_of_a_search_is_unknown_without_the_rows() {
    let file = "hf://datasets/a/b@0123456789abcdef0123456789abcdef01234567/x.jsonl";
    let source = format!(
        "tasks.recall.source={{ file = {{ test = {file:?}, prompt = \"x\", label = \"y\", choices = {{ fixed = [\"a\"] }} }} }}"
    );
    let time = quickstart_time(&[r#"sweep.task=["recall"]"#, &source]);
    assert_eq!((time.search_seconds, time.tasks_not_downloaded.len()), (0.0, 1));
    assert!(time.seconds_per_10k_tokens > 0.0 && time.distil_seconds > 0.0, "{time:?}");
}

#[test]
fn each_earlier_stop_adds_an_evaluation_to_a_search_and_changes_its_key() {
    let stops = "search.earlier-stops={ max-relative-drops=[0.0, 0.1], replaced-layers=[2] }";
    let (without, with) = (quickstart(&[]), quickstart(&[stops]));
    let evaluations = |plan: &Plan| PlanEstimate::new(plan, |_| true).unwrap().max_evaluations;
    let num_searches = keys::<SearchJob>(&with).len() as u64;
    assert_eq!(evaluations(&with), evaluations(&without) + 3 * num_searches);
    assert!(keys::<SearchJob>(&with).iter().all(|key| !keys::<SearchJob>(&without).contains(key)));
}

#[test]
fn a_variant_that_its_portable_format_cannot_express_is_refused() {
    let gdn = |portable: &str| {
        try_quickstart(&[&format!("variants.gdn={{ block.gdn = {{}}, geometry.portable = {portable:?} }}")])
    };
    // The base of the quick start is a Llama.
    let text = gdn("qwen3_5").unwrap_err().to_string();
    assert!(text.contains("`base` must be qwen3, not llama"), "{text}");
    let jet = gdn("jet-nemotron").unwrap_err().to_string();
    assert!(jet.contains("`block` must be jet, not gdn"), "{jet}");
    assert_eq!(gdn("fla").unwrap().cells.len(), quickstart(&[]).cells.len());
}

//! Throughput experiments time each base and each hybrid once at every size, and report the memory of each. A
//! size is a context length and a batch size.

use std::collections::BTreeSet;

use crate::project::Project;
use crate::table_columns::{counts, numbers, optional_texts, texts};

/// Settings with few tokens and few runs, because these tests do not check the speeds themselves.
const FEW_TOKENS: &[&str] = &[
    "throughput.contexts=[16, 200]",
    "throughput.batch-sizes=[1, 3]",
    "throughput.new-tokens=3",
    "throughput.prefill-chunk=64",
    "throughput.repeats=3",
    r#"sweep.variant=["gla", "jet"]"#,
];

fn project() -> Project {
    Project::from_manifest("experiments/throughput-mini.toml", FEW_TOKENS)
}

/// A row of the table `throughput`.
#[derive(Debug)]
struct Timing {
    variant: Option<String>,
    context: u64,
    batch_size: u64,
    layers: String,
    /// Decoded tokens a second: lower bound, median, upper bound.
    decode: [f64; 3],
    /// Prompt tokens a second: lower bound, median, upper bound.
    prefill: [f64; 3],
    speedup: f64,
    cache_bytes: u64,
    state_bytes: u64,
    runs: u64,
}

impl Timing {
    fn num_replaced(&self) -> u64 {
        self.layers.split(',').filter(|layer| !layer.is_empty()).count() as u64
    }

    fn size(&self) -> (u64, u64) {
        (self.context, self.batch_size)
    }
}

fn timings(project: &Project) -> Vec<Timing> {
    let table = project.table_of("throughput-mini", "throughput");
    let count = |column: &str, row: usize| counts(&table, column)[row];
    let number = |column: &str, row: usize| numbers(&table, column)[row];
    let timing = |row: usize| Timing {
        variant: optional_texts(&table, "variant")[row].clone(),
        context: count("context", row),
        batch_size: count("batch_size", row),
        layers: texts(&table, "layers")[row].clone(),
        decode: ["decode_low", "decode", "decode_high"].map(|column| number(column, row)),
        prefill: ["prefill_low", "prefill", "prefill_high"].map(|column| number(column, row)),
        speedup: number("decode_speedup", row),
        cache_bytes: count("cache_bytes", row),
        state_bytes: count("state_bytes", row),
        runs: count("runs", row),
    };
    (0..table.height()).map(timing).collect()
}

#[test]
fn the_base_and_hybrids_are_timed_once_at_every_size() {
    let project = project();
    let first = project.sweep().json();
    // The experiment times the base, and two variants with 4 and with 8 replaced layers, at four sizes.
    assert_eq!(first["done"], 4 + 2 * 2 * 4);
    let timings = timings(&project);
    let systems: BTreeSet<_> =
        timings.iter().map(|timing| (timing.variant.clone(), timing.layers.clone(), timing.size())).collect();
    assert_eq!((timings.len(), systems.len()), (20, 20));
    let masks: BTreeSet<&str> = timings.iter().map(|timing| timing.layers.as_str()).collect();
    // The layers 1, 3, 5 and 7 are four evenly spaced layers of eight.
    assert_eq!(masks.into_iter().collect::<Vec<_>>(), ["", "0,1,2,3,4,5,6,7", "1,3,5,7"]);
    timings.iter().for_each(|timing| check_timing(timing, &timings));
    // The state of GLA is a 32 x 32 matrix of 4-byte numbers for each of 4 heads in each of 4 replaced
    // layers.
    let is_gla = |timing: &&Timing| timing.variant.as_deref() == Some("gla") && timing.batch_size == 1;
    assert_eq!(timings.iter().find(is_gla).unwrap().state_bytes, 4 * 4 * 32 * 32 * 4);
    assert!(project.results().join("figures/throughput-mini/throughput-mini.svg").is_file());

    let again = project.sweep().json();
    assert_eq!((&again["done"], &again["cached"]), (&0.into(), &20.into()));
    let more = project.sweep().set("throughput.contexts=[16, 24, 200]").json();
    assert_eq!((&more["done"], &more["cached"]), (&10.into(), &20.into()));
}

/// Checks the memory and the speeds of a timing against their definitions and against the other timings.
fn check_timing(timing: &Timing, timings: &[Timing]) {
    let num_full = 8 - timing.num_replaced();
    // The cache holds the keys and values of 2 heads of width 32, with 4 bytes a number.
    let cache_bytes = 2 * num_full * 2 * 32 * timing.context * timing.batch_size * 4;
    assert_eq!(timing.cache_bytes, cache_bytes, "{timing:?}");
    for [low, median, high] in [timing.decode, timing.prefill] {
        assert!(0.0 < low && low <= median && median <= high && high.is_finite(), "{timing:?}");
    }
    assert_eq!(timing.runs, 3);
    let is_base = |other: &&Timing| other.size() == timing.size() && other.variant.is_none();
    let base = timings.iter().find(is_base).unwrap();
    assert_eq!(timing.speedup, timing.decode[1] / base.decode[1]);
    let is_smallest = |other: &&Timing| {
        (&other.variant, &other.layers, other.size()) == (&timing.variant, &timing.layers, (16, 1))
    };
    let smallest = timings.iter().find(is_smallest).unwrap();
    assert_eq!(
        timing.state_bytes,
        smallest.state_bytes * timing.batch_size,
        "the state depends on the context"
    );
    assert_eq!(timing.state_bytes == 0, timing.variant.is_none());
}

#[test]
fn another_number_of_threads_is_another_machine() {
    let settings = [FEW_TOKENS, &["sweep.variant=[]", "throughput.batch-sizes=[1]"]].concat();
    let project = Project::from_manifest("experiments/throughput-mini.toml", &settings);
    let num_done =
        |num_threads: &str| project.sweep().env("RAYON_NUM_THREADS", num_threads).json()["done"].clone();
    assert_eq!([num_done("1"), num_done("2"), num_done("1")], [2, 2, 0]);
    // The report shows the timings of every machine.
    assert_eq!(timings(&project).len(), 4);
}

#[test]
fn a_plan_shows_the_systems_to_time_and_their_memory() {
    let plan = project().plan().success();
    // Five systems have 4 runs (1 warm-up and 3 timed runs) at each size. A run processes 1 or 3 prompts.
    // A prompt has 16 or 200 tokens, and 3 new tokens follow it.
    let num_tokens = 5 * 4 * 4 * (19 + 203);
    plan.stdout_contains("throughput mini jet replaced=8 context=200 batch-size=3")
        .stdout_contains(&format!("throughput   {},{} tokens", num_tokens / 1000, num_tokens % 1000))
        .stdout_contains("MiB for throughput");
}

#[test]
fn the_hybrids_of_a_search_are_timed() {
    let project = Project::with_settings(&[
        "throughput.contexts=[8]",
        r#"throughput.layers={ trajectory = { task = "facts" } }"#,
        "throughput.replaced={ every = 2 }",
        "throughput.repeats=2",
        "throughput.new-tokens=2",
        "search.stop={ never = {} }",
    ]);
    // The sweep computes a base, two distillations, four searches, a timing of the base, and timings of two
    // hybrids of each variant.
    assert_eq!(project.sweep().json()["done"], 1 + 2 + 4 + 1 + 4);
    let systems = |table: &str| -> Vec<(Option<String>, Option<String>, String)> {
        let table = project.table(table);
        let names = optional_texts(&table, "variant").into_iter().zip(optional_texts(&table, "task"));
        names.zip(texts(&table, "layers")).map(|((variant, task), layers)| (variant, task, layers)).collect()
    };
    let found: BTreeSet<_> = systems("trajectories").into_iter().collect();
    let timed = systems("throughput");
    assert_eq!(timed[0], (None, None, String::new()));
    let is_found = |system: &_| found.contains(system);
    assert!(timed[1..].iter().all(is_found), "{timed:?}");
    assert!(timed[1..].iter().all(|(_, task, _)| task.as_deref() == Some("facts")), "{timed:?}");
    assert_eq!(project.sweep().json()["done"], 0);
}

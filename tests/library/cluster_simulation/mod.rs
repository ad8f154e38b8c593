//! Table 1 on clusters that nobody here has, by simulation.
//!
//! The GPU hours of distillations and the mean GPU hours of searches are the paper's, for an A800. The hours of
//! single searches spread around this mean as the searches of a published base do, which were measured.

mod cluster;

use std::fs::File;

use polars::prelude::{ParquetReader, SerReader};

use self::cluster::{Base, Cluster, Outcome, lower_bound, simulate};
use crate::root;

/// The paper's GPU hours of one distillation, and of one search.
const PAPER_HOURS: [(f64, f64); 3] = [(2.5, 2.5), (4.0, 3.0), (8.0, 7.0)];
const NUM_VARIANTS: usize = 3;
const NUM_TASKS: usize = 18;
/// The number of candidates of a greedy search over 28, 28 and 32 layers.
const NUM_CANDIDATES: [usize; 3] = [406, 406, 528];

/// How much faster a search is if 1, 2, 3 … GPUs score its candidates: for 28 layers, if the passes over the
/// layers below the first replaced one are shared. Values between 4 and 8 and between 8 and 28 GPUs lie on
/// straight lines.
const SPEEDUPS: [f64; 28] = [
    1.0, 2.0, 2.85, 3.7, 4.3, 4.9, 5.5, 6.1, 6.175, 6.25, 6.325, 6.4, 6.475, 6.55, 6.625, 6.7, 6.775, 6.85,
    6.925, 7.0, 7.075, 7.15, 7.225, 7.3, 7.375, 7.45, 7.525, 7.6,
];

/// System calls that name files of the results folder, counted with `strace` in the quick start: for each score
/// that a search stores, and each second of a worker that has waited for a minute.
const CALLS_PER_SCORE: f64 = 94.0;
const CALLS_PER_WAITING_SECOND: f64 = 1.0;

/// The files and folders of a cell of the plan, and of a score.
const FILES_PER_CELL: usize = 6;

/// Returns the measured seconds of the searches of a published base, divided by their mean.
fn relative_search_seconds() -> Vec<f64> {
    let path = root().join("results/published/tables/published-bases/stages.parquet");
    let stages = ParquetReader::new(File::open(path).unwrap()).finish().unwrap();
    let texts = |name: &str| stages.column(name).unwrap().str().unwrap().clone();
    let (models, names) = (texts("model"), texts("stage"));
    let seconds = stages.column("seconds").unwrap().f64().unwrap().clone();
    let rows = models.iter().zip(names.iter()).zip(seconds.iter());
    let is_search =
        |row: &(Option<&str>, Option<&str>)| *row == (Some("smollm2-135m-instruct"), Some("search"));
    let seconds: Vec<f64> =
        rows.filter(|(row, _)| is_search(row)).map(|(_, seconds)| seconds.unwrap()).collect();
    let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
    seconds.iter().map(|seconds| seconds / mean).collect()
}

/// Returns the jobs of Table 1.
fn table1() -> Vec<Base> {
    let relative = relative_search_seconds();
    let search_hours = |mean: f64| relative.iter().cycle().map(move |one| one * mean);
    let base = |(distillation, search): (f64, f64)| Base {
        distillation_hours: distillation * NUM_VARIANTS as f64,
        search_hours: search_hours(search).take(NUM_VARIANTS * NUM_TASKS).collect(),
    };
    PAPER_HOURS.map(base).to_vec()
}

fn cluster(num_gpus: usize, helps: bool) -> Cluster {
    Cluster { num_gpus, speedups: if helps { &SPEEDUPS } else { &SPEEDUPS[..1] } }
}

#[test]
fn simple_clusters_take_the_time_that_one_computes_by_hand() {
    let base = Base { distillation_hours: 2.0, search_hours: vec![4.0, 1.0, 1.0] };
    let makespan = |num_gpus, helps| simulate(cluster(num_gpus, helps), std::slice::from_ref(&base)).makespan;
    // One GPU does everything, one after the other.
    assert!((makespan(1, true) - 8.0).abs() < 1e-6);
    // The long search runs beside both short ones.
    assert!((makespan(2, false) - 6.0).abs() < 1e-6);
    // After two hours of searching, the second GPU helps: two GPU hours are left, at twice the speed.
    assert!((makespan(2, true) - 5.0).abs() < 1e-6);
    // No array has more workers than searches. After one hour, three GPUs share three hours of work.
    assert!((makespan(100, true) - (3.0 + 3.0 / 2.85)).abs() < 1e-6);
    let two = [base.clone(), base];
    // Both distillations run at once. Then two workers of the first base run first.
    assert!((simulate(cluster(2, false), &two).makespan - 10.0).abs() < 1e-6);
}

#[test]
fn no_schedule_without_help_is_shorter_than_the_bound() {
    let bases = table1();
    for num_gpus in [1, 3, 8, 64, 512] {
        let bound = lower_bound(num_gpus, &bases);
        let alone = simulate(cluster(num_gpus, false), &bases);
        let helped = simulate(cluster(num_gpus, true), &bases);
        assert!(alone.makespan >= bound - 1e-6, "{num_gpus} GPUs: {alone:?}, bound {bound}");
        assert!(helped.makespan <= alone.makespan + 1e-6, "{num_gpus} GPUs: {helped:?} and {alone:?}");
        assert!(alone.max_workers <= num_gpus);
    }
    let one = simulate(cluster(1, true), &bases);
    assert!((one.makespan - lower_bound(1, &bases)).abs() < 1e-6, "one GPU works without a pause");
}

/// Returns the lines of the table in the manual.
fn table_lines() -> Vec<String> {
    let bases = table1();
    let line = |num_gpus: usize| {
        let bound = lower_bound(num_gpus, &bases);
        let alone = simulate(cluster(num_gpus, false), &bases);
        let helped = simulate(cluster(num_gpus, true), &bases);
        format!(
            "| {num_gpus} | {bound:.1} | {:.1} | {:.1} | {} | {:.0} |",
            alone.makespan,
            helped.makespan,
            helped.max_workers,
            calls_per_second(&helped),
        )
    };
    [8, 64, 512].map(line).to_vec()
}

/// Returns the calls on the shared folder each second if as many workers as possible run, each with the
/// shortest scores, and if all others wait.
fn calls_per_second(outcome: &Outcome) -> f64 {
    let scores_per_second =
        |(hours, candidates): (&(f64, f64), &usize)| *candidates as f64 / (hours.1 * 3600.0);
    let fastest = PAPER_HOURS.iter().zip(&NUM_CANDIDATES).map(scores_per_second).fold(0.0, f64::max);
    let shortest = relative_search_seconds().into_iter().fold(f64::INFINITY, f64::min);
    outcome.max_workers as f64 * CALLS_PER_SCORE * fastest / shortest
        + outcome.max_workers as f64 * CALLS_PER_WAITING_SECOND
}

#[test]
fn the_manual_has_the_table_of_the_simulation() {
    let page = std::fs::read_to_string(root().join("docs/slurm.md")).unwrap();
    let lines = table_lines();
    println!("{}", lines.join("\n"));
    for line in lines {
        assert!(page.contains(&line), "docs/slurm.md lacks `{line}`");
    }
    let num_cells = PAPER_HOURS.len() * NUM_VARIANTS * (2 * NUM_TASKS + 1);
    let num_scores: usize = NUM_CANDIDATES.iter().map(|count| count * NUM_VARIANTS * NUM_TASKS).sum();
    let num_files = num_cells * FILES_PER_CELL + num_scores;
    println!("{num_files} files");
    assert!(page.contains(&format!("{num_files} files")), "docs/slurm.md lacks `{num_files} files`");
}

//! Searches: the recorded trials imply the chosen layers, pruning does not change results, and strategies
//! share scores.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use polars::prelude::DataFrame;

use crate::project::{LONG_SEARCHES, Project};
use crate::table_columns::{counts, numbers, texts};

/// A row of the tables `trials` and `trajectories`.
#[derive(Debug, PartialEq)]
struct Trial {
    variant: String,
    task: String,
    round: u64,
    layer: u64,
    /// The value of the compared column.
    value: f64,
}

fn trials(table: &DataFrame, column: &str) -> Vec<Trial> {
    let (variants, tasks) = (texts(table, "variant"), texts(table, "task"));
    let (rounds, layers, values) = (counts(table, "round"), counts(table, "layer"), numbers(table, column));
    let texts = variants.into_iter().zip(tasks);
    let numbers = rounds.into_iter().zip(layers).zip(values);
    let row = |((variant, task), ((round, layer), value))| Trial { variant, task, round, layer, value };
    texts.zip(numbers).map(row).collect()
}

/// Checks that in each round the chosen layer has the highest upper bound.
///
/// The upper bound of a candidate is its score if all of its unscored items were answered correctly. A
/// candidate with a lower upper bound than the chosen layer's score therefore cannot win the round.
#[test]
fn recorded_trials_imply_the_recorded_trajectory() {
    let project = Project::finished(LONG_SEARCHES);
    let trials_of_all = trials(&project.table("trials"), "score_upper");
    let rounds = trials(&project.table("trajectories"), "score");
    assert!(rounds.len() >= 4 && trials_of_all.len() > rounds.len());
    for chosen in &rounds {
        let is_candidate = |trial: &&Trial| {
            (&trial.variant, &trial.task, trial.round) == (&chosen.variant, &chosen.task, chosen.round)
        };
        let mut candidates: Vec<&Trial> = trials_of_all.iter().filter(is_candidate).collect();
        assert_eq!(candidates.len() as u64, 4 - (chosen.round - 1), "not every remaining layer was tried");
        candidates.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.layer.cmp(&b.layer)));
        assert_eq!(candidates[0], chosen);
    }
}

#[test]
fn a_search_that_prunes_candidates_finds_what_an_exhaustive_one_finds() {
    let stop = "search.stop={ never = {} }";
    let (pruned, exhaustive) =
        (Project::with_settings(&[stop]), Project::with_settings(&[stop, "search.prune=false"]));
    pruned.sweep().success();
    exhaustive.sweep().success();
    let trajectory = |project: &Project| trials(&project.table("trajectories"), "score");
    assert_eq!(trajectory(&pruned), trajectory(&exhaustive));
    let chosen = |project: &Project| {
        let table = project.table("searches");
        let columns = ["variant", "task", "p_best", "layers", "p_opt", "layers_opt", "p_base"];
        columns.map(|name| table.column(name).unwrap().clone())
    };
    assert_eq!(chosen(&pruned), chosen(&exhaustive));

    let (exact, bounded) = (exhaustive.table("trials"), pruned.table("trials"));
    assert_eq!(exact.column("score").unwrap().null_count(), 0);
    assert!(bounded.column("score").unwrap().null_count() > 0, "no candidate was pruned");
    let (lower, upper) = (trials(&bounded, "score_lower"), trials(&bounded, "score_upper"));
    for ((trial, lower), upper) in trials(&exact, "score").iter().zip(&lower).zip(&upper) {
        assert_eq!((trial.round, trial.layer), (lower.round, lower.layer));
        assert!((lower.value..=upper.value).contains(&trial.value), "{trial:?} {lower:?} {upper:?}");
    }
}

/// Settings with one variant and one task. The searches continue until every layer is replaced, and prune no
/// candidate.
const NO_PRUNING: &[&str] = &[
    r#"sweep.variant=["gdn"]"#,
    "search.stop={ never = {} }",
    r#"sweep.task=["topic"]"#,
    "search.prune=false",
];

/// Search strategies as an axis: greedy, the baselines of the paper, and a beam.
const STRATEGY_AXIS: &str = r#"sweep.axes."search.strategy"=[{ greedy = {} }, { uniform = {} },
    { random = { seed = 0 } }, { random = { seed = 1 } }, { local-importance = {} }, { impact = {} }, { beam = { width = 6 } }]"#;

#[test]
fn strategies_are_an_axis_and_share_their_scores() {
    let project = Project::with_settings(NO_PRUNING);

    // Each search evaluates the base and its candidates on the validation split. On the test split, it
    // evaluates the base and the two hybrids that it selects.
    let plan = project.plan().set(STRATEGY_AXIS).json();
    let num_evaluations = [10, 4, 4, 4, 4 + 3, 4, 4 + 6 + 4 + 1].map(|candidates| 1 + candidates + 3);
    assert_eq!(plan["to-do"]["max_evaluations"], num_evaluations.iter().sum::<i32>());
    project.sweep().set(STRATEGY_AXIS).success();
    let searches = project.table("searches");
    let names =
        ["beam:width=6", "greedy", "impact", "local-importance", "random:seed=0", "random:seed=1", "uniform"];
    assert_eq!(texts(&searches, "axes"), names.map(|name| format!("search.strategy={name}")));
    let evaluations: u64 = counts(&searches, "evaluations").iter().sum();
    assert_eq!(evaluations, num_evaluations.iter().sum::<i32>() as u64);

    let rounds = project.table("trajectories");
    let replaced = counts(&rounds, "num_replaced");
    assert_eq!(replaced, [1, 2, 3, 4].repeat(7), "each strategy needs a row per number of layers");
    let layers = texts(&rounds, "layers");
    assert_eq!(layers[24..], ["2", "1,3", "0,2,3", "0,1,2,3"], "uniform");
    let mut scores = BTreeMap::new();
    for (layers, score) in layers.iter().zip(numbers(&rounds, "score")) {
        assert_eq!(*scores.entry(layers).or_insert(score), score, "the mask {layers} has two scores");
    }
    // The beam scores every mask on the validation split. Each search scores its selected hybrids on the test
    // split.
    let chosen = ["layers", "layers_opt"].map(|column| texts(&searches, column)).concat();
    let tested: BTreeSet<String> = chosen.into_iter().chain([String::new()]).collect();
    assert_eq!(project.num_records("score"), 16 + tested.len());

    // With pruning, only the greedy search and the beam search run again. They need no new scores.
    let pruned = project.sweep().set(STRATEGY_AXIS).set("search.prune=true").json();
    assert_eq!((&pruned["done"], project.num_records("score")), (&2.into(), 16 + tested.len()));
    assert_eq!(texts(&project.table("trajectories"), "layers"), layers);

    // The option `--axis` selects the strategy whose hybrid is exported.
    let hybrid = project.path("hybrid");
    let export = project.command("export").arg(&hybrid).args(["--axis", "search.strategy=uniform"]);
    export.set(STRATEGY_AXIS).success();
    let card = fs::read_to_string(hybrid.join("README.md")).unwrap();
    assert!(card.contains("evenly spaced") && card.contains("| 2 | 1, 3 |"), "{card}");
}

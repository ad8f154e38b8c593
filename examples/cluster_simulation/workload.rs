//! The work of Table 1 of the paper, from measured searches.

use std::path::Path;

use dtr::publish::list_archives;
use dtr::store::{Lookup, RecordArchive, Store};
use dtr_core::error::{Error, Result};
use serde_json::Value;

use crate::work::{BaseWork, PRUNED_COST, SearchWork};

/// The layers of SmolLM2-135M-Instruct, whose 36 published searches (12 tasks, 3 variants) stand for those of
/// the larger bases.
const MEASURED_LAYERS: u64 = 30;

/// The scores of a search that are not those of candidates: the base, and hybrids on the test split.
const NUM_TEST_SCORES: f64 = 9.0;

/// The training tokens of a distillation, as in `experiments/base/paper-recipe.toml`.
const DISTIL_TOKENS: f64 = 100e6;

/// The tokens a second at which one H200 trains three variants of a base of 1.5 billion parameters
/// (`docs/gpu.md`).
const DISTIL_TOKENS_PER_SECOND: f64 = 63e3;

/// How much longer a forward pass of a base of 1.5 billion parameters takes than one of SmolLM2-135M on an
/// H200 (`docs/gpu.md`: 75.8 and 12.3 ms).
const FORWARD_RATIO: f64 = 75.8 / 12.3;

/// The parameters of the measured shape in billions, and those of the bases of Table 1.
const MEASURED_BILLIONS: f64 = 1.5;
const BILLIONS: [(&str, f64); 3] = [("1.5B", 1.5), ("3B", 3.2), ("8B", 8.0)];

/// How much longer a search on a task takes whose answers are generated. An assumption, because no such
/// search of a published base was measured.
const GENERATION_FACTOR: f64 = 4.0;

/// The number of generative searches for each base: 6 tasks and 3 variants.
const NUM_GENERATIVE: usize = 18;

/// Seconds that a worker takes to start, and to load a billion parameters from a shared folder. Assumptions.
const START_SECONDS: f64 = 5.0;
const LOAD_SECONDS_PER_BILLION: f64 = 4.0;

/// Returns the name and the work of each base of Table 1: 18 tasks and 3 variants. Times of larger bases grow
/// with the number of parameters.
///
/// # Errors
/// Fails if the published results cannot be read.
pub fn table1(results: &Path) -> Result<Vec<(&'static str, BaseWork)>> {
    let measured = measured_searches(results)?;
    Ok(BILLIONS.iter().map(|&(name, billions)| (name, base_work(&measured, billions))).collect())
}

fn base_work(measured: &[SearchWork], billions: f64) -> BaseWork {
    let relative_size = billions / MEASURED_BILLIONS;
    let scaled = |search: &SearchWork, factor: f64| SearchWork {
        candidate_seconds: search.candidate_seconds * factor,
        seconds_before: search.seconds_before * factor,
        seconds_after: search.seconds_after * factor,
        rounds: search.rounds.clone(),
    };
    let factor = FORWARD_RATIO * relative_size;
    let choices = measured.iter().map(|search| scaled(search, factor));
    let generative = &measured[..NUM_GENERATIVE];
    let generative = generative.iter().map(|search| scaled(search, factor * GENERATION_FACTOR));
    BaseWork {
        distil_seconds: DISTIL_TOKENS / DISTIL_TOKENS_PER_SECOND * relative_size,
        load_seconds: START_SECONDS + LOAD_SECONDS_PER_BILLION * billions,
        searches: choices.chain(generative).collect(),
    }
}

/// Returns the published searches of SmolLM2-135M-Instruct on one H200, in the order of their keys, which is
/// as good as random.
fn measured_searches(results: &Path) -> Result<Vec<SearchWork>> {
    let mut searches = Vec::new();
    for path in list_archives(results)? {
        let store = Store::from_archive(results, RecordArchive::read(&path)?);
        for cell in store.list_cells()?.iter().filter(|cell| cell.stage.as_str() == "search") {
            let Lookup::Done(record) = store.find::<Value>(cell)? else { continue };
            if record.outcome["num_layers"].as_u64() == Some(MEASURED_LAYERS) {
                let rounds = complete_candidates(&record.outcome);
                searches.push(search_work(rounds, record.seconds));
            }
        }
    }
    if searches.len() < NUM_GENERATIVE {
        return Err(Error::environment(format!("`{}` has too few published searches", results.display())));
    }
    Ok(searches)
}

/// Returns for each candidate of each round whether the search scored it completely.
fn complete_candidates(outcome: &Value) -> Vec<Vec<bool>> {
    let mut rounds: Vec<Vec<bool>> = Vec::new();
    for trial in outcome["trials"].as_array().into_iter().flatten() {
        let round = trial["round"].as_u64().unwrap_or(1) as usize;
        rounds.resize(rounds.len().max(round), Vec::new());
        rounds[round - 1].push(trial["bounds"]["lower"] == trial["bounds"]["upper"]);
    }
    rounds
}

/// Divides the seconds of a search among its scores.
fn search_work(rounds: Vec<Vec<bool>>, seconds: f64) -> SearchWork {
    let cost = |complete: &bool| if *complete { 1.0 } else { PRUNED_COST };
    let units = 1.0 + NUM_TEST_SCORES + rounds.iter().flatten().map(cost).sum::<f64>();
    let candidate_seconds = seconds / units;
    SearchWork {
        candidate_seconds,
        rounds,
        seconds_before: candidate_seconds,
        seconds_after: candidate_seconds * NUM_TEST_SCORES,
    }
}

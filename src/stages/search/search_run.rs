//! Runs a search. A search reads stored scores, computes the missing scores, and scores the chosen hybrids on
//! the test split.

use super::SearchJob;
use super::candidate_scores::SearchRun;
use super::result::{ChosenHybrid, EarlierStopResult, SearchResult, TestScore};
use crate::algorithms::score::{MultiDeviceScorer, ScoreBounds, candidates_per_batch, compute_probe_impacts};
use crate::algorithms::search::{self, BatchPolicy, SearchStrategy};
use crate::data::Split;
use crate::observer::Observer;
use crate::runner::{RunContext, RunningCell, UsageRecorder};
use crate::stages::cell::Cell;
use crate::stages::distil::DistilJob;
use crate::stages::models::{ModelCache, find_done_record};
use dtr_core::error::{Error, Result};
use dtr_model::Mask;
use dtr_ops::is_cpu;

/// Searches on the validation split. Then scores the base and the chosen hybrids (`M_best` and `M_opt`) on
/// the test split.
pub(super) fn search(
    context: &RunContext<'_>,
    models: &mut ModelCache,
    cell: &Cell,
    job: &SearchJob,
    claimed: &RunningCell<'_>,
    recorder: &UsageRecorder<'_>,
) -> Result<SearchResult> {
    let replicas = models.load_replicas(context, &job.base)?;
    let twins = models.load_twins(context, &job.base, &job.variant, &job.twins)?;
    let base = &replicas[0];
    let mut items =
        |split, identity| models.load_task_requests(context, &job.base, &job.task, split, identity);
    let (validation, test) = (items(Split::Validation, &job.validation)?, items(Split::Test, &job.test)?);
    let num_layers = base.decoder.config.num_layers as u32;
    let max_evaluations = job.max_evaluations(u64::from(num_layers));
    let task = context.progress.start_task(&cell.to_line(), max_evaluations, "evaluations at most");
    let task = task.with_recorder(recorder)?;
    if let Some(score) = test.baseline_score()? {
        task.message(&format!("completion without a model has {:.1} % on the test split", 100.0 * score));
    }
    let impacts = match job.strategy {
        SearchStrategy::Impact {} => {
            let choices = validation.choices();
            let choices = choices.ok_or_else(|| Error::failed("the strategy `impact` needs choices"))?;
            Some(compute_probe_impacts(&base.decoder, &twins[0], choices, &task)?)
        }
        _ => None,
    };
    let order = match &impacts {
        Some(impacts) => ascending(impacts),
        None if job.prune => {
            find_done_record::<DistilJob>(context.store, &job.twins)?.outcome.layers_by_loss()
        }
        None => (0..num_layers).collect(),
    };
    let mut run = SearchRun::new(context, cell, job, &task, claimed)?;

    let hybrids = || replicas.iter().zip(twins.iter());
    let mut scorer = MultiDeviceScorer::new(hybrids(), &validation, None);
    let candidates_per_batch = candidates_per_batch(is_cpu(context.device()), replicas.len());
    let policy = BatchPolicy { prune: job.prune, candidates_per_batch };
    let found = search::search(&job.strategy, &order, &job.stop, policy, &mut |batch| {
        let first = batch[0].mask;
        if !first.layers().is_empty() {
            return run.score_candidates(&mut scorer, batch);
        }
        let (of_base, _) = run.score_fully(&mut scorer, Split::Validation, first)?;
        scorer = MultiDeviceScorer::new(hybrids(), &validation, Some(&of_base));
        Ok(vec![ScoreBounds::exact(of_base.score)])
    })?;
    run.close_group()?;
    let mut test_scorer = MultiDeviceScorer::new(hybrids().take(1), &test, None);
    let mut test_score = |mask: &Mask| -> Result<TestScore> {
        let (result, cell) = run.score_fully(&mut test_scorer, Split::Test, mask)?;
        Ok(TestScore { score: result.score, cell })
    };
    let base_test = test_score(&Mask::empty())?;
    let mut chosen = |(mask, validation): &(Mask, f64)| -> Result<ChosenHybrid> {
        Ok(ChosenHybrid { layers: mask.layers(), validation: *validation, test: test_score(mask)? })
    };
    let (best, opt) = (chosen(&found.best)?, chosen(&found.opt)?);
    let mut earlier_stops = Vec::new();
    for criterion in job.earlier_stops.criteria() {
        if let Some(last) = criterion.last_accepted(found.base_score, &found.rounds, num_layers) {
            earlier_stops.push(EarlierStopResult { criterion, hybrid: chosen(&last)? });
        }
    }
    Ok(SearchResult {
        num_layers,
        validation_items: validation.num_items() as u32,
        base: found.base_score,
        threshold: found.threshold,
        impacts,
        trials: found.trials,
        rounds: found.rounds,
        best,
        opt,
        earlier_stops,
        base_test,
        evaluations: run.evaluations(),
        tokens: run.tokens(),
    })
}

/// Returns the layers in ascending order of their values. Layers with equal values keep the
/// order of their indices.
fn ascending(values: &[f64]) -> Vec<u32> {
    let mut layers: Vec<u32> = (0..values.len() as u32).collect();
    layers.sort_by(|one, other| values[*one as usize].total_cmp(&values[*other as usize]));
    layers
}

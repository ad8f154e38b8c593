//! Runs a search. A search reads stored scores, computes the missing scores, and scores the chosen hybrids on
//! the test split.

use std::collections::BTreeMap;

use super::SearchJob;
use super::pruned::{PrunedCandidate, PrunedCandidates};
use super::result::{ChosenHybrid, EarlierStopResult, SearchResult, TestScore};
use crate::algorithms::candidate::Candidate;
use crate::algorithms::score::{
    CandidateScore, MultiDeviceScorer, ScoreBounds, ScoreResult, candidates_per_batch, compute_probe_impacts,
};
use crate::algorithms::search::{self, BatchPolicy, SearchStrategy};
use crate::data::Split;
use crate::device::TimeAndEnergy;
use crate::observer::Observer;
use crate::runner::{ClaimOutcome, ProgressTask, RunContext, RunningCell, UsageRecorder};
use crate::stages::cell::Cell;
use crate::stages::distil::DistilJob;
use crate::stages::models::{ModelCache, find_done_record};
use crate::store::{CellId, EventKind};
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
    let pruned = PrunedCandidates::read(claimed.checkpoint("pruned.json")?)?;
    let mut run = SearchRun { context, cell, job, task: &task, pruned, evaluations: 0, tokens: 0 };

    let hybrids = || replicas.iter().zip(twins.iter());
    let mut scorer = MultiDeviceScorer::new(hybrids(), &validation, None);
    let candidates_per_batch = candidates_per_batch(is_cpu(context.device()), replicas.len());
    let policy = BatchPolicy { prune: job.prune, candidates_per_batch };
    let found = search::search(&job.strategy, &order, &job.stop, policy, &mut |candidates| {
        if !candidates[0].mask.layers().is_empty() {
            return run.score_candidates(&mut scorer, candidates);
        }
        let (of_base, _) = run.score_fully(&mut scorer, Split::Validation, candidates[0].mask)?;
        if job.prune {
            scorer = MultiDeviceScorer::new(hybrids(), &validation, Some(&of_base));
        }
        Ok(vec![ScoreBounds::exact(of_base.score)])
    })?;
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
        evaluations: run.evaluations,
        tokens: run.tokens,
    })
}

/// Returns the layers in ascending order of their values. Layers with equal values keep the
/// order of their indices.
fn ascending(values: &[f64]) -> Vec<u32> {
    let mut layers: Vec<u32> = (0..values.len() as u32).collect();
    layers.sort_by(|one, other| values[*one as usize].total_cmp(&values[*other as usize]));
    layers
}

/// A candidate that this process has claimed in order to score it.
struct ClaimedCandidate<'a> {
    /// Index among the candidates that the search asked to score.
    index: usize,
    cell: CellId,
    claimed: RunningCell<'a>,
}

/// A running search, with the number of its evaluations and tokens so far.
struct SearchRun<'a> {
    context: &'a RunContext<'a>,
    cell: &'a Cell,
    job: &'a SearchJob,
    task: &'a ProgressTask<'a>,
    pruned: PrunedCandidates,
    evaluations: u64,
    tokens: u64,
}

impl<'a> SearchRun<'a> {
    /// Returns the exact score of a mask, and the id of the score's cell. Computes and records the score if
    /// the store does not have it.
    fn score_fully(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        split: Split,
        mask: &Mask,
    ) -> Result<(ScoreResult, CellId)> {
        let cell = self.score_cell(split, mask)?;
        let result = match self.find_score(&cell)? {
            Some(result) => result,
            None => {
                match RunningCell::claim_blocking::<ScoreResult>(self.context, &cell.spec, cell.to_line())? {
                    ClaimOutcome::Done(result) => result,
                    ClaimOutcome::Claimed(claimed) => {
                        let watch = self.context.meter.start();
                        let result = scorer.score_on_first_device(mask)?;
                        let spent = watch.usage();
                        self.task.before_checkpoint()?;
                        self.record_score(cell.id(), &claimed, spent, result)?
                    }
                }
            }
        };
        self.count_evaluation(result.tokens);
        Ok((result, cell.id().clone()))
    }

    /// Returns the bounds of the candidates' scores, in the order of `candidates`. Records the scores that
    /// are exact.
    fn score_candidates(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
    ) -> Result<Vec<ScoreBounds>> {
        let mut scores = BTreeMap::new();
        let claimed = self.claim_unscored(scorer, candidates, &mut scores)?;
        self.score_claimed(scorer, candidates, &claimed, &mut scores)?;
        scores.values().for_each(|score: &CandidateScore| self.count_evaluation(score.tokens()));
        Ok(scores.values().map(CandidateScore::bounds).collect())
    }

    /// Claims the candidates that were neither scored nor pruned, so that two processes never score the same
    /// candidate. Adds the known scores of the other candidates to `scores`, by index.
    ///
    /// All processes claim cells in the order of their keys. Otherwise two processes could wait for each
    /// other.
    fn claim_unscored(
        &self,
        scorer: &MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut BTreeMap<usize, CandidateScore>,
    ) -> Result<Vec<ClaimedCandidate<'a>>> {
        let mut unscored = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let cell = self.score_cell(Split::Validation, candidate.mask)?;
            let score = match (self.find_score(&cell)?, self.pruned.get(candidate.mask)) {
                (Some(result), _) => scorer.prune_with_known_score(candidate, result),
                (None, Some(pruned)) => {
                    CandidateScore::Pruned { bounds: pruned.bounds, tokens: pruned.tokens }
                }
                (None, None) => {
                    unscored.push((index, cell));
                    continue;
                }
            };
            scores.insert(index, score);
        }
        unscored.sort_by_key(|(_, cell)| cell.key());
        let mut claimed_candidates = Vec::new();
        for (index, cell) in unscored {
            match RunningCell::claim_blocking::<ScoreResult>(self.context, &cell.spec, cell.to_line())? {
                ClaimOutcome::Done(result) => {
                    scores.insert(index, scorer.prune_with_known_score(&candidates[index], result));
                }
                ClaimOutcome::Claimed(claimed) => {
                    claimed_candidates.push(ClaimedCandidate { index, cell: cell.id().clone(), claimed });
                }
            }
        }
        claimed_candidates.sort_by_key(|claimed| claimed.index);
        Ok(claimed_candidates)
    }

    /// Scores the claimed candidates, and adds their scores to `scores`, by index. Records the score of each
    /// candidate that is scored completely, and saves the bounds of each candidate that is pruned.
    fn score_claimed(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
        claimed: &[ClaimedCandidate<'_>],
        scores: &mut BTreeMap<usize, CandidateScore>,
    ) -> Result<()> {
        let watch = self.context.meter.start();
        let to_score: Vec<Candidate<'_>> = claimed.iter().map(|one| candidates[one.index]).collect();
        let scored = scorer.score_with_pruning(&to_score)?;
        let (spent, total_work) = (watch.usage(), scored.iter().map(|one| one.layer_tokens).sum::<u64>());
        self.task.before_checkpoint()?;
        let mut pruned = Vec::new();
        for (ClaimedCandidate { index, cell, claimed }, one) in claimed.iter().zip(scored) {
            let spent = spent.scale(one.layer_tokens as f64 / total_work as f64);
            let score = match one.score {
                CandidateScore::Complete(result) => {
                    CandidateScore::Complete(self.record_score(cell, claimed, spent, result)?)
                }
                CandidateScore::Pruned { bounds, tokens } => {
                    pruned.push((candidates[*index].mask, PrunedCandidate { bounds, tokens }));
                    CandidateScore::Pruned { bounds, tokens }
                }
            };
            scores.insert(*index, score);
        }
        self.pruned.add_batch(pruned)
    }

    /// Returns the stored score of a cell, or `None` if the cell is not done.
    fn find_score(&self, cell: &Cell) -> Result<Option<ScoreResult>> {
        Ok(self.context.store.find::<ScoreResult>(cell.id())?.done().map(|record| record.outcome))
    }

    fn record_score(
        &self,
        cell: &CellId,
        claimed: &RunningCell<'_>,
        spent: TimeAndEnergy,
        result: ScoreResult,
    ) -> Result<ScoreResult> {
        let result = claimed.finish(spent, &[], Vec::new(), result)?;
        self.task.log_event(&EventKind::Scored(cell.key));
        Ok(result)
    }

    fn count_evaluation(&mut self, tokens: u64) {
        self.evaluations += 1;
        self.tokens += tokens;
        self.task.advance(1);
    }

    /// Returns the cell that scores a mask on a split.
    ///
    /// # Errors
    /// Fails if the user has asked to stop, or if the cell's specification cannot be created.
    fn score_cell(&self, split: Split, mask: &Mask) -> Result<Cell> {
        self.task.check_interrupted()?;
        self.job.score_cell(&self.cell.labels, split, mask.layers())
    }
}

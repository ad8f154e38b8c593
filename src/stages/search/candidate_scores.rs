//! The scores of a search's candidates: read from the store, computed, or computed by a helper.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use super::SearchJob;
use super::open_round::{OpenRound, OpenRoundFiles, fair_share};
use super::pruned::{PrunedCandidate, PrunedCandidates, mask_name};
use crate::algorithms::candidate::{Candidate, CandidateBatch};
use crate::algorithms::score::{CandidateScore, MultiDeviceScorer, PartBounds, ScoreBounds, ScoreResult};
use crate::data::Split;
use crate::device::TimeAndEnergy;
use crate::observer::Observer;
use crate::runner::{ClaimOutcome, ProgressTask, RunContext, RunningCell};
use crate::stages::cell::Cell;
use crate::store::{AttemptId, CellId, EventKind, LeaseState};
use dtr_core::error::Result;
use dtr_model::Mask;
use dtr_ops::is_cpu;

/// A search lets others help if a candidate takes longer than this on average, in seconds. Otherwise the files
/// through which processes help would cost more than they save.
const MIN_SECONDS_FOR_HELP: f64 = 2.0;

/// Pause between two looks at candidates that other processes score.
const PAUSE: Duration = Duration::from_millis(250);

/// A candidate whose score is not known: its index among the candidates that the search asked to score, and
/// its cell.
type OpenCandidate = (usize, Cell);

/// Claims up to `limit` of the cells of `open` that no other process has claimed, each with its label.
pub(super) fn claim_free<'a, L>(
    context: &'a RunContext<'a>,
    open: Vec<(L, Cell)>,
    limit: usize,
) -> Result<Vec<(L, Cell, RunningCell<'a>)>> {
    let mut claimed = Vec::new();
    for (label, cell) in open {
        if claimed.len() == limit {
            break;
        }
        if let Ok(running) = RunningCell::try_claim(context, &cell.spec, cell.to_line())? {
            claimed.push((label, cell, running));
        }
    }
    Ok(claimed)
}

/// A running search, with the number of its evaluations and tokens so far.
pub(super) struct SearchRun<'a> {
    context: &'a RunContext<'a>,
    cell: &'a Cell,
    job: &'a SearchJob,
    task: &'a ProgressTask<'a>,
    pruned: PrunedCandidates,
    round_files: OpenRoundFiles,
    /// Whether the current round is open to helpers.
    is_open: bool,
    /// The candidates that this process has scored or pruned, and the seconds that they took. A mean over the
    /// whole search decides whether others may help, because candidates of late layers and pruned ones are
    /// cheap.
    num_scored: usize,
    seconds_scored: f64,
    evaluations: u64,
    tokens: u64,
}

impl<'a> SearchRun<'a> {
    /// Creates the run of a search that this process has claimed.
    ///
    /// # Errors
    /// Fails if the checkpoint of pruned candidates cannot be read.
    pub(super) fn new(
        context: &'a RunContext<'a>,
        cell: &'a Cell,
        job: &'a SearchJob,
        task: &'a ProgressTask<'a>,
        claimed: &RunningCell<'_>,
    ) -> Result<Self> {
        let pruned = PrunedCandidates::read(claimed.checkpoint("pruned.json")?)?;
        Ok(Self {
            context,
            cell,
            job,
            task,
            pruned,
            round_files: OpenRoundFiles::new(context.store, cell.id()),
            // An earlier process may have left an open round.
            is_open: true,
            num_scored: 0,
            seconds_scored: 0.0,
            evaluations: 0,
            tokens: 0,
        })
    }

    /// Returns the number of evaluations so far.
    pub(super) fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Returns the number of tokens of the evaluations so far.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Returns the exact score of a mask, and the id of the score's cell. Computes and records the score if
    /// the store does not have it.
    ///
    /// # Errors
    /// Fails if the user asks to stop, if the mask cannot be scored, or if the store cannot be read or
    /// written.
    pub(super) fn score_fully(
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
                        self.count_seconds(1, spent.seconds);
                        self.task.before_checkpoint()?;
                        self.record_score(cell.id(), &claimed, spent, result)?
                    }
                }
            }
        };
        self.count_evaluation(result.tokens);
        Ok((result, cell.id().clone()))
    }

    /// Returns the bounds of the candidates' scores, in the order of `batch`. Records the scores that are
    /// exact.
    ///
    /// # Errors
    /// Fails if the user asks to stop, if a candidate cannot be scored, or if the store cannot be read or
    /// written.
    pub(super) fn score_candidates(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        batch: &CandidateBatch<'_>,
    ) -> Result<Vec<ScoreBounds>> {
        self.open_or_close_round(batch)?;
        let (mut scores, mut waited) = (BTreeMap::new(), Duration::ZERO);
        loop {
            let open = self.find_known_scores(scorer, batch.candidates, &mut scores)?;
            if open.is_empty() {
                break;
            }
            let share = self.share(&open, batch.later)?;
            let claimed = claim_free(self.context, open, share)?;
            match claimed.is_empty() {
                false => self.score_claimed(scorer, batch.candidates, &claimed, &mut scores)?,
                true => self.wait_for_others(&mut waited)?,
            }
        }
        scores.values().for_each(|score: &CandidateScore| self.count_evaluation(score.tokens()));
        Ok(scores.values().map(CandidateScore::bounds).collect())
    }

    /// Opens the round of `batch` to helpers if its candidates take long. Otherwise closes an open round.
    fn open_or_close_round(&mut self, batch: &CandidateBatch<'_>) -> Result<()> {
        let num_candidates = batch.candidates.len() + batch.later.len();
        let takes_long = self.seconds_scored > MIN_SECONDS_FOR_HELP * self.num_scored as f64;
        if !takes_long || num_candidates < 2 {
            return self.close_round();
        }
        self.is_open = true;
        self.round_files.open(&OpenRound::new(batch, is_cpu(self.context.device())))
    }

    /// Closes the current round to helpers.
    ///
    /// # Errors
    /// Fails if its file cannot be removed.
    pub(super) fn close_round(&mut self) -> Result<()> {
        match std::mem::take(&mut self.is_open) {
            true => self.round_files.close(),
            false => Ok(()),
        }
    }

    /// Adds to `scores`, by index, the scores of candidates that were scored or pruned since. Returns the
    /// other candidates that are not in `scores`.
    fn find_known_scores(
        &self,
        scorer: &MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut BTreeMap<usize, CandidateScore>,
    ) -> Result<Vec<OpenCandidate>> {
        let of_helpers = if self.is_open { self.round_files.read_pruned()? } else { BTreeMap::new() };
        let mut open = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            if scores.contains_key(&index) {
                continue;
            }
            let cell = self.score_cell(Split::Validation, candidate.mask)?;
            let parts = of_helpers.get(&mask_name(candidate.mask));
            let pruned_by_helper = || PartBounds::prune(parts?, candidate.prune_below.as_ref()?);
            let score = match (self.find_score(&cell)?, self.pruned.get(candidate.mask)) {
                (Some(result), _) => Some(scorer.prune_with_known_score(candidate, result)),
                (None, Some(PrunedCandidate { bounds, tokens })) => {
                    Some(CandidateScore::Pruned { bounds, tokens })
                }
                (None, None) => pruned_by_helper(),
            };
            match score {
                Some(score) => drop(scores.insert(index, score)),
                None => open.push((index, cell)),
            }
        }
        Ok(open)
    }

    /// Returns the number of candidates to claim at once. If others help, leaves some candidates to them.
    fn share(&self, open: &[OpenCandidate], later: &[Mask]) -> Result<usize> {
        if !self.is_open {
            return Ok(open.len());
        }
        let later = later.iter().map(|mask| self.score_cell(Split::Validation, mask));
        let later = later.collect::<Result<Vec<Cell>>>()?;
        let (mut holders, mut num_free) = (BTreeSet::new(), 0);
        for cell in open.iter().map(|(_, cell)| cell).chain(&later) {
            match self.context.store.lease_state(cell.id())? {
                LeaseState::Held(Some(lease)) if lease.attempt != *AttemptId::of_this_process() => {
                    holders.insert(lease.attempt);
                }
                LeaseState::Held(_) => {}
                _ if self.context.store.record_path(cell.id()).exists() => {}
                LeaseState::Free | LeaseState::Stale(_) => num_free += 1,
            }
        }
        Ok(match holders.len() {
            0 => open.len(),
            num_helpers => fair_share(num_free, 1 + num_helpers),
        })
    }

    /// Pauses, because other processes score all candidates that are left. This process holds no claim on a
    /// candidate meanwhile, so two searches cannot wait for each other. Prints a message after a second.
    fn wait_for_others(&self, waited: &mut Duration) -> Result<()> {
        self.task.check_interrupted()?;
        let before = *waited;
        thread::sleep(PAUSE);
        *waited += PAUSE;
        if before.as_secs() < 1 && waited.as_secs() >= 1 && !self.is_open {
            let line =
                format!("{}: waiting for another process that scores a candidate", self.cell.to_line());
            self.context.progress.print_line(&line);
        }
        Ok(())
    }

    /// Scores the claimed candidates, and adds their scores to `scores`, by index. Records the score of each
    /// candidate that is scored completely, and saves the bounds of each candidate that is pruned.
    fn score_claimed(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
        claimed: &[(usize, Cell, RunningCell<'_>)],
        scores: &mut BTreeMap<usize, CandidateScore>,
    ) -> Result<()> {
        let watch = self.context.meter.start();
        let to_score: Vec<Candidate<'_>> = claimed.iter().map(|(index, ..)| candidates[*index]).collect();
        let scored = scorer.score_with_pruning(&to_score, None)?;
        let (spent, total_work) = (watch.usage(), scored.iter().map(|one| one.layer_tokens).sum::<u64>());
        self.count_seconds(claimed.len(), spent.seconds);
        self.task.before_checkpoint()?;
        let mut pruned = Vec::new();
        for ((index, cell, claimed), one) in claimed.iter().zip(scored) {
            let spent = spent.scale(one.layer_tokens as f64 / total_work as f64);
            let score = match one.score {
                CandidateScore::Complete(result) => {
                    CandidateScore::Complete(self.record_score(cell.id(), claimed, spent, result)?)
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

    fn count_seconds(&mut self, num_candidates: usize, seconds: f64) {
        self.num_scored += num_candidates;
        self.seconds_scored += seconds;
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

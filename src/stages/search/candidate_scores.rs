//! The scores of a search's candidates: read from the store, computed, or computed by a helper.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use super::SearchJob;
use super::pruned::{PrunedCandidate, PrunedCandidates};
use super::shared_group::{GroupFiles, SharedGroup};
use super::shared_queue::OwnerQueue;
use crate::algorithms::candidate::Candidate;
use crate::algorithms::score::{
    CandidateScore, MultiDeviceScorer, ScoreBounds, ScoreResult, ScoredCandidate,
};
use crate::data::Split;
use crate::device::TimeAndEnergy;
use crate::observer::Observer;
use crate::runner::{ClaimOutcome, ProgressTask, RunContext, RunningCell};
use crate::stages::cell::Cell;
use crate::store::{CellId, EventKind};
use dtr_core::error::Result;
use dtr_model::Mask;
use dtr_ops::is_cpu;

/// A search lets others help if a candidate takes longer than this on average, in seconds. Otherwise the files
/// through which processes help would cost more than they save.
const MIN_SECONDS_FOR_HELP: f64 = 2.0;

/// Pause between two looks at candidates that other searches score.
const PAUSE: Duration = Duration::from_millis(250);

/// A candidate whose score is not known: its index among the candidates that the search asked to score, and
/// its cell.
type OpenCandidate = (usize, Cell);

/// A running search, with the number of its evaluations and tokens so far.
pub(super) struct SearchRun<'a> {
    context: &'a RunContext<'a>,
    cell: &'a Cell,
    job: &'a SearchJob,
    task: &'a ProgressTask<'a>,
    pruned: PrunedCandidates,
    group_files: GroupFiles,
    /// The number of groups of candidates that others could help to score.
    num_shared: usize,
    /// Whether the file of such a group may exist.
    has_group_file: bool,
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
            group_files: GroupFiles::new(context.store, cell.id()),
            num_shared: 0,
            // An earlier process may have left a file.
            has_group_file: true,
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

    /// Returns the bounds of the candidates' scores, in the order of `candidates`. Records the scores that are
    /// exact.
    ///
    /// # Errors
    /// Fails if the user asks to stop, if a candidate cannot be scored, or if the store cannot be read or
    /// written.
    pub(super) fn score_candidates(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
    ) -> Result<Vec<ScoreBounds>> {
        let (mut scores, mut waited) = (BTreeMap::new(), Duration::ZERO);
        loop {
            let open = self.find_known_scores(scorer, candidates, &mut scores)?;
            if open.is_empty() {
                break;
            }
            let claimed = self.claim_free(open)?;
            match claimed.is_empty() {
                false => self.score_claimed(scorer, candidates, &claimed, &mut scores)?,
                true => self.wait_for_others(&mut waited)?,
            }
        }
        scores.values().for_each(|score: &CandidateScore| self.count_evaluation(score.tokens()));
        Ok(scores.values().map(CandidateScore::bounds).collect())
    }

    /// Claims the candidates that no other search has claimed.
    fn claim_free(&self, open: Vec<OpenCandidate>) -> Result<Vec<(usize, Cell, RunningCell<'a>)>> {
        let mut claimed = Vec::new();
        for (index, cell) in open {
            if let Ok(running) = RunningCell::try_claim(self.context, &cell.spec, cell.to_line())? {
                claimed.push((index, cell, running));
            }
        }
        Ok(claimed)
    }

    /// Removes the files of the group that others could help to score last.
    ///
    /// # Errors
    /// Fails if a file cannot be removed.
    pub(super) fn close_group(&mut self) -> Result<()> {
        match std::mem::take(&mut self.has_group_file) {
            true => self.group_files.remove_group(),
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
        let mut open = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            if scores.contains_key(&index) {
                continue;
            }
            let cell = self.score_cell(Split::Validation, candidate.mask)?;
            let score = match (self.find_score(&cell)?, self.pruned.get(candidate.mask)) {
                (Some(result), _) => scorer.prune_with_known_score(candidate, result),
                (None, Some(PrunedCandidate { bounds, tokens })) => CandidateScore::Pruned { bounds, tokens },
                (None, None) => {
                    open.push((index, cell));
                    continue;
                }
            };
            scores.insert(index, score);
        }
        Ok(open)
    }

    /// Pauses, because other searches score all candidates that are left. This process holds no claim on a
    /// candidate meanwhile, so two searches cannot wait for each other. Prints a message after a second.
    fn wait_for_others(&self, waited: &mut Duration) -> Result<()> {
        self.task.check_interrupted()?;
        let before = *waited;
        thread::sleep(PAUSE);
        *waited += PAUSE;
        if before.as_secs() < 1 && waited.as_secs() >= 1 {
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
        let to_score: Vec<Candidate<'_>> = claimed.iter().map(|(index, ..)| candidates[*index]).collect();
        let (scored, spent) = self.score(scorer, &to_score)?;
        let total_work = scored.iter().map(|one| one.layer_tokens).sum::<u64>();
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

    /// Scores candidates. If candidates take long, lets other processes help. Also returns the usage of all
    /// processes.
    fn score(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
    ) -> Result<(Vec<ScoredCandidate>, TimeAndEnergy)> {
        if self.seconds_scored <= MIN_SECONDS_FOR_HELP * self.num_scored as f64 {
            self.close_group()?;
            let watch = self.context.meter.start();
            let scored = scorer.score_with_pruning(candidates)?;
            return Ok((scored, watch.usage()));
        }
        let (context, is_cpu) = (self.context, is_cpu(self.context.device()));
        let (mut scored, mut spent) = (Vec::new(), TimeAndEnergy::ZERO);
        for group in scorer.groups(candidates) {
            let scores = scorer.group_scores(group);
            let shared = SharedGroup::new(self.num_shared, group, &scores, is_cpu);
            (self.num_shared, self.has_group_file) = (self.num_shared + 1, true);
            let queue = OwnerQueue::open(context, &self.group_files, self.task, shared, scores)?;
            scorer.score_parts(group, &queue)?;
            let (of_group, of_all) = queue.finish();
            scored.extend(of_group);
            spent = spent + of_all;
        }
        Ok((scored, spent))
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

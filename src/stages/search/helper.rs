//! Scores candidates of a search that another process runs.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::SearchJob;
use super::candidate_scores::claim_free;
use super::open_round::{OpenRound, OpenRoundFiles, fair_share};
use super::pruned::mask_name;
use crate::algorithms::candidate::Candidate;
use crate::algorithms::score::{
    CandidateScore, MultiDeviceScorer, PartBounds, ScoreResult, candidates_per_batch,
};
use crate::data::Split;
use crate::runner::{RunContext, RunningCell};
use crate::stages::cell::Cell;
use crate::stages::models::ModelCache;
use dtr_core::error::Result;
use dtr_model::Mask;
use dtr_ops::is_cpu;

/// Shortest and longest pause between two looks at a search that offers no candidate. The pause doubles with
/// each look, because a look reads the leases of all candidates, and hundreds of workers may share the folder.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(4)];

/// The time between two looks for the next round, as a share of the time of the last candidates. A helper has
/// nothing to do between two rounds, and short candidates mean short rounds.
const SHARE_OF_WAIT: f64 = 0.05;

/// Looks for work in a search that another process runs, and helps as long as there is some.
pub(super) struct Helper<'a> {
    context: &'a RunContext<'a>,
    cell: &'a Cell,
    job: &'a SearchJob,
    last_look: Option<Instant>,
    /// The time from the last look to the next.
    pause: Duration,
}

impl<'a> Helper<'a> {
    pub(super) fn new(context: &'a RunContext<'a>, cell: &'a Cell, job: &'a SearchJob) -> Self {
        Self { context, cell, job, last_look: None, pause: PAUSES[0] }
    }

    /// Helps the search while its process lets others help. Returns at once if that process has opened no
    /// round.
    ///
    /// # Errors
    /// Fails if the user asks to stop, if a file cannot be read or written, or if a candidate cannot be
    /// scored.
    pub(super) fn help(&mut self, models: &mut ModelCache) -> Result<()> {
        if self.last_look.is_some_and(|last| last.elapsed() < self.pause) {
            return Ok(());
        }
        self.last_look = Some(Instant::now());
        self.pause = next_pause(self.pause);
        let (context, job) = (self.context, self.job);
        let round_files = OpenRoundFiles::new(context.store, self.cell.id());
        let Some(round) = round_files.read()? else { return Ok(()) };
        let of_base = job.score_cell(&self.cell.labels, Split::Validation, Vec::new())?;
        let of_base = context.store.find::<ScoreResult>(of_base.id())?.done();
        let Some(of_base) = of_base.filter(|_| round.accepts(is_cpu(context.device()))) else {
            return Ok(());
        };
        let replicas = models.load_replicas(context, &job.base)?;
        let twins = models.load_twins(context, &job.base, &job.variant, &job.twins)?;
        let validation =
            models.load_task_requests(context, &job.base, &job.task, Split::Validation, &job.validation)?;
        let of_base = job.prune.then_some(&of_base.outcome);
        let line = format!("{}: helps the process that runs it", self.cell.to_line());
        context.progress.print_line(&line);
        let mut work = HelpedSearch {
            context,
            cell: self.cell,
            job,
            round_files,
            scorer: MultiDeviceScorer::new(replicas.iter().zip(twins.iter()), &validation, of_base),
            pruned: BTreeMap::new(),
            look: PAUSES[0],
        };
        self.pause = PAUSES[0];
        let mut pause = PAUSES[0];
        while context.store.is_running(self.cell.id())? {
            context.check_interrupted()?;
            let Some(round) = work.round_files.read()? else { return Ok(()) };
            let start = Instant::now();
            let is_useful = match work.score_share(&round)? {
                true => {
                    work.look = start.elapsed().mul_f64(SHARE_OF_WAIT).min(PAUSES[0]);
                    true
                }
                false => work.wait_for_round(&round, pause)?,
            };
            pause = if is_useful { PAUSES[0] } else { next_pause(pause) };
        }
        Ok(())
    }
}

fn next_pause(pause: Duration) -> Duration {
    (pause * 2).min(PAUSES[1])
}

/// A search that this process helps.
struct HelpedSearch<'a> {
    context: &'a RunContext<'a>,
    cell: &'a Cell,
    job: &'a SearchJob,
    round_files: OpenRoundFiles,
    scorer: MultiDeviceScorer<'a>,
    /// The bounds of the candidates that this process has pruned, by the names of their masks.
    pruned: BTreeMap<String, Vec<PartBounds>>,
    /// The time between two looks for the next round.
    look: Duration,
}

impl<'a> HelpedSearch<'a> {
    /// Claims and scores some open candidates of a round. Returns whether there were any.
    fn score_share(&mut self, round: &OpenRound) -> Result<bool> {
        let claimed = self.claim_share(round)?;
        if claimed.is_empty() {
            return Ok(false);
        }
        let (incumbent, prune_below) = (round.incumbent(), round.prune_below());
        let candidates =
            claimed.iter().map(|(mask, ..)| Candidate { incumbent: &incumbent, mask, prune_below });
        let watch = self.context.meter.start();
        let round_files = &self.round_files;
        // The threshold rises while this process scores, because the search scores other candidates.
        let newest_threshold = || {
            let newest = round_files.read()?.filter(|newest| newest.incumbent() == incumbent);
            Ok(newest.and_then(|newest| newest.prune_below()))
        };
        let candidates: Vec<Candidate<'_>> = candidates.collect();
        let scored = self.scorer.score_with_pruning(&candidates, Some(&newest_threshold))?;
        let (spent, total_work) = (watch.usage(), scored.iter().map(|one| one.layer_tokens).sum::<u64>());
        for ((mask, _, claimed), one) in claimed.iter().zip(scored) {
            match one.score {
                CandidateScore::Complete(result) => {
                    let spent = spent.scale(one.layer_tokens as f64 / total_work as f64);
                    claimed.finish(spent, &[], Vec::new(), result)?;
                }
                CandidateScore::Pruned { .. } => {
                    self.pruned.insert(mask_name(mask), one.parts);
                }
            }
        }
        // The claims are held until the file is written, so that the search does not score the candidates.
        self.round_files.write_pruned(&self.pruned)?;
        Ok(true)
    }

    /// Waits until the search opens another round than `round`. Returns false if it did not within `limit`.
    fn wait_for_round(&self, round: &OpenRound, limit: Duration) -> Result<bool> {
        let start = Instant::now();
        loop {
            thread::sleep(self.look);
            self.context.check_interrupted()?;
            if self.round_files.read()?.as_ref() != Some(round) {
                return Ok(true);
            }
            if start.elapsed() >= limit {
                return Ok(false);
            }
        }
    }

    /// Claims this process's share of the candidates that nobody has scored, pruned or claimed.
    fn claim_share(&self, round: &OpenRound) -> Result<Vec<(Mask, Cell, RunningCell<'a>)>> {
        let pruned = self.round_files.read_pruned()?;
        let mut open = Vec::new();
        for mask in round.masks_for_helper().into_iter().filter(|mask| !pruned.contains_key(&mask_name(mask)))
        {
            let cell = self.job.score_cell(&self.cell.labels, Split::Validation, mask.layers())?;
            if !self.context.store.record_path(cell.id()).exists() {
                open.push((mask, cell));
            }
        }
        let limit = candidates_per_batch(is_cpu(self.context.device()), self.context.devices.len());
        let share = fair_share(open.len(), 2).min(limit);
        claim_free(self.context, open, share)
    }
}

//! Helps a search that another process runs.

use std::thread;
use std::time::{Duration, Instant};

use super::SearchJob;
use super::shared_group::{GroupFiles, SharedGroup};
use super::shared_queue::{HelperQueue, ScoredParts};
use crate::algorithms::candidate::Candidate;
use crate::algorithms::score::{MultiDeviceScorer, ScoreResult};
use crate::data::Split;
use crate::runner::RunContext;
use crate::stages::cell::Cell;
use crate::stages::models::ModelCache;
use dtr_core::error::Result;
use dtr_ops::is_cpu;

/// Shortest and longest pause between two looks at a search that offers no work. The pause doubles with each
/// look, because hundreds of workers may share the folder.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// The time between two looks for the next group, as a share of the time of a part, and its shortest value. A
/// helper has nothing to do between two groups, and short parts mean short groups.
const SHARE_OF_WAIT: f64 = 0.05;
const SHORTEST_LOOK: Duration = Duration::from_millis(20);

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

    /// Helps the search while its process lets others help. Returns at once if that process lets nobody help.
    /// Returns whether the search has ended.
    ///
    /// # Errors
    /// Fails if the user asks to stop, if a file cannot be read or written, or if a candidate cannot be
    /// scored.
    pub(super) fn help(&mut self, models: &mut ModelCache) -> Result<bool> {
        if self.last_look.is_some_and(|last| last.elapsed() < self.pause) {
            return Ok(false);
        }
        self.last_look = Some(Instant::now());
        self.pause = next_pause(self.pause);
        let (context, job) = (self.context, self.job);
        let files = GroupFiles::new(context.store, self.cell.id());
        if !files.announce_helper()? || self.find_group(&files)?.is_none() {
            return Ok(false);
        }
        let of_base = job.score_cell(&self.cell.labels, Split::Validation, Vec::new())?;
        let Some(of_base) = context.store.find::<ScoreResult>(of_base.id())?.done() else { return Ok(false) };
        let replicas = models.load_replicas(context, &job.base)?;
        let twins = models.load_twins(context, &job.base, &job.variant, &job.twins)?;
        let validation =
            models.load_task_requests(context, &job.base, &job.task, Split::Validation, &job.validation)?;
        let hybrids = replicas.iter().zip(twins.iter());
        let mut scorer = MultiDeviceScorer::new(hybrids, &validation, Some(&of_base.outcome));
        self.help_until_end(&files, &mut scorer)?;
        Ok(true)
    }

    /// Returns the current group, if this process can help to score it.
    fn find_group(&self, files: &GroupFiles) -> Result<Option<SharedGroup>> {
        let is_cpu = is_cpu(self.context.device());
        Ok(files.read_group()?.filter(|group| group.accepts(is_cpu)))
    }

    /// Helps until the search ends.
    fn help_until_end(&self, files: &GroupFiles, scorer: &mut MultiDeviceScorer<'_>) -> Result<()> {
        let context = self.context;
        let (mut pause, mut num_scored) = (PAUSES[0], 0);
        while context.store.is_running(self.cell.id())? {
            context.check_interrupted()?;
            let Some(group) = self.find_group(files)? else {
                thread::sleep(pause);
                pause = next_pause(pause);
                continue;
            };
            let scored = score_parts(context, files, &group, scorer)?;
            num_scored += scored.num_parts;
            let look = match scored.num_parts {
                0 => PAUSES[0],
                _ => scored.longest.mul_f64(SHARE_OF_WAIT).clamp(SHORTEST_LOOK, PAUSES[0]),
            };
            let is_next = wait_for_next_group(context, files, &group, look, pause)?;
            pause = if is_next { PAUSES[0] } else { next_pause(pause) };
        }
        if num_scored > 0 {
            let line = format!("{}: scored {num_scored} parts for another process", self.cell.to_line());
            context.progress.print_line(&line);
        }
        Ok(())
    }
}

fn next_pause(pause: Duration) -> Duration {
    (pause * 2).min(PAUSES[1])
}

/// Scores the candidates of a group on parts that nobody has claimed.
fn score_parts(
    context: &RunContext<'_>,
    files: &GroupFiles,
    group: &SharedGroup,
    scorer: &mut MultiDeviceScorer<'_>,
) -> Result<ScoredParts> {
    let (incumbent, masks) = (group.incumbent(), group.candidates());
    let candidate = |mask| Candidate { incumbent: &incumbent, mask, prune_below: None };
    let candidates: Vec<Candidate<'_>> = masks.iter().map(candidate).collect();
    let queue = HelperQueue::new(context, files, group);
    scorer.score_parts(&candidates, &queue)?;
    Ok(queue.scored_parts())
}

/// Waits until the search shares another group than `group`. Looks once per `look`. Returns false if there is
/// none within `limit`.
fn wait_for_next_group(
    context: &RunContext<'_>,
    files: &GroupFiles,
    group: &SharedGroup,
    look: Duration,
    limit: Duration,
) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < limit {
        thread::sleep(look);
        context.check_interrupted()?;
        if files.read_group()?.is_none_or(|next| next.name != group.name) {
            return Ok(true);
        }
    }
    Ok(false)
}

//! Scores the base and the hybrids of a search, trained or not, for stages that compare several of them.

use super::cell::Cell;
use super::models::ModelCache;
use super::score::ScoreJob;
use super::search::SearchJob;
use crate::algorithms::score::{ScoreResult, task_scorer};
use crate::observer::Observer;
use crate::runner::{ClaimOutcome, ProgressTask, RunContext, RunningCell};
use dtr_core::error::Result;
use dtr_model::Mask;

/// Scores the base and the hybrids of a search.
pub(super) struct HybridScorer<'a> {
    pub context: &'a RunContext<'a>,
    pub search: &'a SearchJob,
    /// The task that receives the progress.
    pub task: &'a ProgressTask<'a>,
}

impl HybridScorer<'_> {
    /// Returns the result of a score cell. Computes and records it if the store does not have it.
    ///
    /// # Errors
    /// Fails if the cell failed, if a file is missing or damaged, or if the user asked to stop.
    pub fn find_or_score(&self, models: &mut ModelCache, cell: &Cell) -> Result<ScoreResult> {
        let (context, task) = (self.context, self.task);
        task.check_interrupted()?;
        let result = match RunningCell::claim_blocking::<ScoreResult>(context, &cell.spec, cell.to_line())? {
            ClaimOutcome::Done(result) => result,
            ClaimOutcome::Claimed(claimed) => {
                let job = cell.downcast_job::<ScoreJob>().expect("a score cell has a score job");
                let watch = context.meter.start();
                let result = self.score(models, job)?;
                let spent = watch.usage();
                task.before_checkpoint()?;
                claimed.finish(spent, &[], Vec::new(), result)?
            }
        };
        task.advance(1);
        Ok(result)
    }

    fn score(&self, models: &mut ModelCache, job: &ScoreJob) -> Result<ScoreResult> {
        let (context, search) = (self.context, self.search);
        let requests = models.load_task_requests(context, &job.base, &job.task, job.split, &job.identity)?;
        if job.tuned.is_some() {
            let hybrid = models.load_tuned_model(context, search, job)?;
            return task_scorer(&hybrid, None, &requests, None).score(&Mask::empty(), &Mask::empty());
        }
        let mask: Mask = job.layers.iter().copied().collect();
        let replicas = models.load_replicas(context, &search.base)?;
        let twins = models.load_twins(context, &search.base, &search.variant, &search.twins)?;
        task_scorer(&replicas[0], Some(&twins[0]), &requests, None).score(&Mask::empty(), &mask)
    }
}

//! The stage `score`: scores a base or a hybrid on one split of a task.

use serde::Serialize;

use super::base::{BaseSource, BaseSpec};
use super::cell::{Cell, CellLabels};
use super::identity::SplitIdentity;
use super::models::ModelCache;
use super::planner::{Planner, SweepPoint};
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::algorithms::score::{ScoreResult, task_scorer};
use crate::data::Split;
use crate::data::Task;
use crate::resources::{ResourceEstimate, weight_bytes};
use crate::runner::{ClaimOutcome, RunContext, RunningCell, UsageRecorder};
use crate::store::{CellId, CellInputs, StageName};
use dtr_core::error::Result;
use dtr_model::{DecoderConfig, Mask};

/// The job that scores a base or a hybrid on one split of a task.
#[derive(Clone, Debug)]
pub struct ScoreJob {
    /// The source of the base.
    pub base: BaseSource,
    /// The distil cell of the twins. `None` if no layer is replaced.
    pub twins: Option<CellId>,
    /// The task.
    pub task: Task,
    /// The split.
    pub split: Split,
    /// The identity of the split at the time of the plan.
    pub identity: SplitIdentity,
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// The cell that trained the base or the hybrid. `None` if no cell did.
    pub tuned: Option<CellId>,
    /// Whether the attention in layers that are not replaced has the queries and keys of the base, in place of
    /// those that the cell `tuned` trained.
    pub restores_qk: bool,
}

/// Everything that a score depends on, apart from the cell's inputs. All fields are part of the cell's
/// key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreSpec {
    /// The base.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The identity of the split.
    pub task: SplitIdentity,
    /// The replaced layers, ascending. The input `twins` is the distil cell that holds the twins of these
    /// layers.
    pub layers: Vec<u32>,
    /// Whether the attention in layers that are not replaced has the queries and keys of the base, in place of
    /// those of the input `tuned`.
    #[serde(skip_serializing_if = "is_false")]
    pub restores_qk: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Stage for ScoreJob {
    const NAME: StageName = StageName::new("score");
    const VERSION: u32 = 5;
    type Spec = ScoreSpec;
    type Output = ScoreResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<ScoreSpec> {
        let (task, layers) = (self.identity.clone(), self.layers.clone());
        let base = self.base.spec_for_task(&self.task);
        Ok(ScoreSpec { base, task, layers, restores_qk: self.restores_qk })
    }

    /// The twins are an input only if a layer is replaced. All variants therefore share the cell that scores
    /// the base.
    fn inputs(&self) -> CellInputs {
        let mut inputs = self.base.inputs();
        if !self.layers.is_empty() {
            inputs.extend(self.twins.clone().map(|twins| ("twins".to_owned(), twins)));
        }
        inputs.extend(self.tuned.clone().map(|tuned| ("tuned".to_owned(), tuned)));
        inputs
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.base)
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let weight_bytes = weight_bytes(config, self.base.dtype());
        ResourceEstimate { evaluations: 1, weight_bytes, ..ResourceEstimate::default() }
    }

    fn count_work(&self, output: &ScoreResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: 1 }
    }

    /// Plans a cell for each base and task of a sweep without variants. Searches create all other score cells
    /// while they run.
    fn plan(point: &SweepPoint<'_>, planner: &mut Planner) -> Result<()> {
        for (model, variant, task) in point.manifest.sweep.combinations() {
            if variant.is_some() {
                continue;
            }
            let base = planner.plan_base(point, model)?;
            let labels = CellLabels { task: Some(task.to_owned()), ..point.labels(model) };
            let identity = planner.identify_task(point, task, Split::Test)?;
            let task = point.manifest.tasks[task].clone();
            let (split, layers) = (Split::Test, Vec::new());
            let job =
                Self { base, twins: None, task, split, identity, layers, tuned: None, restores_qk: false };
            planner.add_result_cell(Cell::new(job, labels)?)?;
        }
        Ok(())
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        group.iter().map(|(cell, job)| job.run_one(context, models, cell)).collect()
    }
}

impl ScoreJob {
    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        let claimed = match RunningCell::claim_blocking::<ScoreResult>(context, &cell.spec, cell.to_line())? {
            ClaimOutcome::Claimed(claimed) => claimed,
            ClaimOutcome::Done(_) => return Ok(CompletedBy::OtherProcess),
        };
        let recorder = UsageRecorder::begin(vec![&claimed])?;
        let base = &models.load_replicas(context, &self.base)?[0];
        let requests =
            models.load_task_requests(context, &self.base, &self.task, self.split, &self.identity)?;
        let result = task_scorer(base, None, &requests, None).score(&Mask::empty(), &Mask::empty())?;
        recorder.finish(0, &[], Vec::new(), result)?;
        Ok(CompletedBy::ThisProcess)
    }
}

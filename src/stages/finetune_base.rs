//! The stage `finetune-base`: makes a base from another base, by fine-tuning on the train split of a task.
//!
//! The stages after this one take the new base as they take any base.

use super::base::BaseSource;
use super::cell::{Cell, CellLabels};
use super::finetune::{FinetuneJob, FinetuneSpec};
use super::logit_distil::TUNED_FILE;
use super::models::{ModelCache, verified_base_path};
use super::planner::{Planner, SweepPoint};
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::algorithms::finetune::FinetuneResult;
use crate::data::Split;
use crate::manifest::FinetunedModel;
use crate::resources::ResourceEstimate;
use crate::runner::{ClaimOutcome, RunContext, RunningCell, UsageRecorder};
use crate::store::{CellInputs, StageName};
use dtr_core::error::{Error, Result};
use dtr_model::{DecoderConfig, write_finetuned_base};

/// The job that fine-tunes a base before its twins are distilled.
#[derive(Clone, Debug)]
pub struct FinetuneBaseJob {
    /// The fine-tuning, of a base.
    pub training: FinetuneJob,
}

/// Returns the cell that makes a base by fine-tuning `original`.
pub(super) fn plan_finetuned_base(
    point: &SweepPoint<'_>,
    planner: &mut Planner,
    original: BaseSource,
    finetuned: &FinetunedModel,
    labels: CellLabels,
) -> Result<Cell> {
    let task = &finetuned.task;
    let training = FinetuneJob {
        base: original,
        hybrid: None,
        recipe: point.manifest.finetune.for_model(None),
        num_checkpoints: 0,
        task: point.manifest.tasks[task].clone(),
        train: planner.identify_task(point, task, Split::Train)?,
        validation: planner.identify_task(point, task, Split::Validation)?,
        test: planner.identify_task(point, task, Split::Test)?,
    };
    Cell::new(FinetuneBaseJob { training }, labels)
}

impl Stage for FinetuneBaseJob {
    const NAME: StageName = StageName::new("finetune-base");
    const VERSION: u32 = 1;
    type Spec = FinetuneSpec;
    type Output = FinetuneResult;
    type Cache = ModelCache;

    /// The artifacts contain the base's chat template and end tokens, even if the fine-tuning does not read
    /// them.
    fn spec(&self) -> Result<FinetuneSpec> {
        let base = self.training.base.spec_with_generation_files();
        Ok(FinetuneSpec { base, ..self.training.spec()? })
    }

    fn inputs(&self) -> CellInputs {
        self.training.inputs()
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.training.base)
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        self.training.resources(config, &[])
    }

    fn count_work(&self, output: &FinetuneResult) -> WorkCounts {
        self.training.count_work(output)
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        group.iter().map(|(cell, job)| job.run_one(context, models, cell)).collect()
    }
}

impl FinetuneBaseJob {
    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        let claim = RunningCell::claim_blocking::<FinetuneResult>(context, &cell.spec, cell.to_line())?;
        let ClaimOutcome::Claimed(claimed) = claim else { return Ok(CompletedBy::OtherProcess) };
        let recorder = UsageRecorder::begin(vec![&claimed])?;
        let result = self.training.train(context, models, cell, &claimed, &recorder)?;
        let original = verified_base_path(context.store, &self.training.base)?;
        let tuned = claimed.artifact_path(TUNED_FILE)?;
        let files = write_finetuned_base(&original, &tuned, &claimed.artifact_folder()?)?;
        // The parameters are in the weight files too.
        std::fs::remove_file(&tuned).map_err(|cause| Error::io("remove", &tuned, cause))?;
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        recorder.finish(0, &files, Vec::new(), result)?;
        Ok(CompletedBy::ThisProcess)
    }
}

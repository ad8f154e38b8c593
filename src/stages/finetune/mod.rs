//! The stage `finetune`: fine-tunes a base or a hybrid on the train split of a task.

mod training;

use serde::Serialize;

use super::base::{BaseSource, BaseSpec};
use super::cell::Cell;
use super::identity::SplitIdentity;
use super::models::ModelCache;
use super::planner::{Planner, SweepPoint};
use super::search::SearchJob;
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::algorithms::finetune::{FinetuneConfig, FinetuneResult};
use crate::algorithms::tuning::HybridChoice;
use crate::data::{Split, Task};
use crate::resources::{FinetuneMemory, ResourceEstimate};
use crate::runner::RunContext;
use crate::store::{CellId, CellInputs, StageName};
use dtr_core::error::Result;
use dtr_model::{DecoderConfig, TwinVariant};
pub(super) use training::{finish_trainer, run_trainer};

/// The job that fine-tunes a base or a hybrid.
#[derive(Clone, Debug)]
pub struct FinetuneJob {
    /// The source of the base.
    pub base: BaseSource,
    /// The hybrid. `None` if the base itself is fine-tuned.
    pub hybrid: Option<FinetunedHybrid>,
    /// The training recipe, without settings on which the weights do not depend.
    pub recipe: FinetuneConfig,
    /// Number of checkpoints along the training that are kept as teachers.
    pub num_checkpoints: usize,
    /// The task.
    pub task: Task,
    /// The identity of the train split at the time of the plan.
    pub train: SplitIdentity,
    /// The identity of the validation split, whose questions must not be among the train items.
    pub validation: SplitIdentity,
    /// The identity of the test split, whose questions must not be among the train items.
    pub test: SplitIdentity,
}

/// A hybrid that is fine-tuned.
#[derive(Clone, Debug)]
pub struct FinetunedHybrid {
    /// The variant of the twins.
    pub variant: TwinVariant,
    /// The distil cell of the twins.
    pub twins: CellId,
    /// The search that chose the hybrid.
    pub search: CellId,
    /// The choice of the hybrid.
    pub choice: HybridChoice,
    /// The logit-distil cell that trained the hybrid before. `None` if no cell did.
    pub distilled: Option<CellId>,
}

/// Everything that the fine-tuned model depends on, apart from the cell's inputs. All fields are part of the
/// cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinetuneSpec {
    /// The base.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The training recipe, with the chosen hybrid. Its list of hybrids is empty if the base is fine-tuned.
    pub recipe: FinetuneConfig,
    /// Number of checkpoints along the training that are kept as teachers.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_checkpoints: usize,
    /// The identity of the train split.
    pub train: SplitIdentity,
    /// The identity of the validation split.
    pub validation: SplitIdentity,
    /// The identity of the test split.
    pub test: SplitIdentity,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Returns the name of the artifact that holds the trained parameters at a kept checkpoint. Numbers begin at
/// 1.
pub(in crate::stages) fn checkpoint_file(number: usize) -> String {
    format!("checkpoint-{number}.safetensors")
}

impl FinetuneJob {
    /// Creates the job that fine-tunes the base of `search`, or one of its hybrids, on its task.
    ///
    /// # Errors
    /// Fails if the task has no train split, or if a file cannot be read.
    pub(in crate::stages) fn plan(
        point: &SweepPoint<'_>,
        planner: &mut Planner,
        cell: &Cell,
        search: &SearchJob,
        hybrid: Option<FinetunedHybrid>,
    ) -> Result<Self> {
        let task = cell.labels.task.as_deref().expect("a search has a task");
        Ok(Self {
            base: search.base.clone(),
            recipe: point.manifest.finetune.for_model(hybrid.as_ref().map(|hybrid| hybrid.choice)),
            hybrid,
            num_checkpoints: 0,
            task: search.task.clone(),
            train: planner.identify_task(point, task, Split::Train)?,
            validation: search.validation.clone(),
            test: search.test.clone(),
        })
    }
}

impl Stage for FinetuneJob {
    const NAME: StageName = StageName::new("finetune");
    const VERSION: u32 = 1;
    type Spec = FinetuneSpec;
    type Output = FinetuneResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<FinetuneSpec> {
        Ok(FinetuneSpec {
            base: self.base.spec_for_task(&self.task),
            recipe: self.recipe.clone(),
            num_checkpoints: self.num_checkpoints,
            train: self.train.clone(),
            validation: self.validation.clone(),
            test: self.test.clone(),
        })
    }

    fn inputs(&self) -> CellInputs {
        let mut inputs = self.base.inputs();
        if let Some(hybrid) = &self.hybrid {
            inputs.insert("twins".to_owned(), hybrid.twins.clone());
            inputs.insert("search".to_owned(), hybrid.search.clone());
            inputs.extend(hybrid.distilled.clone().map(|cell| ("tuned".to_owned(), cell)));
        }
        inputs
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.base)
    }

    fn distinguishing_settings(&self) -> String {
        let model = self.hybrid.as_ref().map_or_else(|| "base".to_owned(), |hybrid| hybrid.choice.label());
        match self.num_checkpoints {
            0 => model,
            count => format!("{model} checkpoints={count}"),
        }
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let memory = self.memory(config);
        ResourceEstimate {
            tokens: self.max_tokens(),
            weight_bytes: memory.weight_bytes(),
            peak_bytes: memory.peak_bytes(),
            ..ResourceEstimate::default()
        }
    }

    fn count_work(&self, output: &FinetuneResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: 0 }
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        group.iter().map(|(cell, job)| job.run_one(context, models, cell)).collect()
    }
}

impl FinetuneJob {
    /// Returns the estimate of the memory for a base of shape `config`.
    pub(in crate::stages) fn memory<'a>(&'a self, config: &'a DecoderConfig) -> FinetuneMemory<'a> {
        FinetuneMemory {
            config,
            dtype: self.base.dtype(),
            hybrid: self.hybrid.as_ref().map(|hybrid| (&hybrid.variant, hybrid.choice)),
            recipe: &self.recipe,
        }
    }

    /// Returns the maximum number of tokens of all epochs. Returns 0 if the number of train items is unknown.
    pub fn max_tokens(&self) -> u64 {
        let num_items = self.train.max_items().unwrap_or_default() as u64;
        num_items * u64::from(self.recipe.epochs) * self.recipe.sequence_length as u64
    }
}

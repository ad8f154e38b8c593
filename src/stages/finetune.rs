//! The stage `finetune`: fine-tunes a base or a hybrid on the train split of a task.

use serde::Serialize;

use super::base::{BaseSource, BaseSpec};
use super::cell::Cell;
use super::identity::SplitIdentity;
use super::logit_distil::{TUNED_FILE, find_layers_of_hybrid};
use super::models::{ModelCache, read_tuned_parameters, tuned_file, verified_base_path};
use super::planner::{Planner, SweepPoint};
use super::search::SearchJob;
use super::stage::{CompletedBy, Stage, WorkCounts};
use super::training_cell::run_training_cell;
use crate::algorithms::finetune::{FinetuneConfig, FinetuneResult, Finetuner};
use crate::algorithms::training::Training;
use crate::algorithms::tuning::HybridChoice;
use crate::data::{ExampleSettings, QuestionDigests, Split, Task, TaskItems, TrainingExamples};
use crate::observer::Observer;
use crate::resources::{FinetuneMemory, ResourceEstimate};
use crate::runner::{RunContext, RunningCell, UsageRecorder};
use crate::store::{CellId, CellInputs, StageName, Store};
use dtr_core::error::{Error, Result};
use dtr_model::{
    BaseModel, Decoder, DecoderConfig, NamedTensors, SelectedParameters, TwinVariant, read_eos_token_ids,
};

/// The job that fine-tunes a base or a hybrid.
#[derive(Clone, Debug)]
pub struct FinetuneJob {
    /// The source of the base.
    pub base: BaseSource,
    /// The hybrid. `None` if the base itself is fine-tuned.
    pub hybrid: Option<FinetunedHybrid>,
    /// The training recipe, without settings on which the weights do not depend.
    pub recipe: FinetuneConfig,
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
    /// The identity of the train split.
    pub train: SplitIdentity,
    /// The identity of the validation split.
    pub validation: SplitIdentity,
    /// The identity of the test split.
    pub test: SplitIdentity,
}

impl FinetuneJob {
    /// Creates the job that fine-tunes the base of `search`, or one of its hybrids, on its task.
    ///
    /// # Errors
    /// Fails if the task has no train split, or if a file cannot be read.
    pub(super) fn plan(
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
            task: search.task.clone(),
            train: planner.identify_task(point, task, Split::Train)?,
            validation: search.validation.clone(),
            test: search.test.clone(),
        })
    }

    /// Returns the layers that the model replaces, ascending.
    fn layers(&self, store: &Store) -> Result<Vec<u32>> {
        let find = |hybrid: &FinetunedHybrid| find_layers_of_hybrid(store, &hybrid.search, hybrid.choice);
        self.hybrid.as_ref().map_or(Ok(Vec::new()), find)
    }

    /// Loads the model that is fine-tuned. Also returns those of its parameters that a logit-distil cell
    /// trained.
    fn load_start(
        &self,
        context: &RunContext<'_>,
        models: &mut ModelCache,
        layers: &[u32],
    ) -> Result<(Decoder, NamedTensors)> {
        let base = models.load_replicas(context, &self.base)?;
        let mut decoder = base[0].decoder.clone();
        let mut distilled = NamedTensors::default();
        if let Some(hybrid) = &self.hybrid {
            let twins = models.read_f32_twins(context, &self.base, &hybrid.variant, &hybrid.twins)?;
            decoder = decoder.with_twins(&twins, &layers.iter().copied().collect());
            if let Some(cell) = &hybrid.distilled {
                let path = tuned_file(context.store, cell)?;
                let names = read_tuned_parameters(&mut decoder, &path, |_| true)?;
                let is_selected = |name: &str| names.contains(name);
                let mut selected = SelectedParameters { module: &mut decoder, is_selected };
                distilled = NamedTensors::from_module(&mut selected);
            }
        }
        Ok((decoder, distilled))
    }

    /// Loads and tokenizes the train split. Refuses questions of the validation split and the test split.
    fn load_examples(&self, context: &RunContext<'_>, base: &BaseModel) -> Result<TrainingExamples> {
        let questions = QuestionDigests::load_disjoint(&self.task)?;
        let is_generative = self.task.is_generative();
        let path = is_generative.then(|| verified_base_path(context.store, &self.base)).transpose()?;
        let items = TaskItems::load(&self.task, Split::Train)?.render_chats(path.as_deref())?;
        let eos_token_ids = path.map_or(Ok(Vec::new()), |path| read_eos_token_ids(&path))?;
        let settings = ExampleSettings {
            max_tokens: self.recipe.sequence_length.min(base.decoder.config.max_positions),
            eos_token_ids: &eos_token_ids,
            held_out_fraction: self.recipe.held_out_fraction,
            seed: self.recipe.seed,
        };
        let examples = TrainingExamples::new(&base.tokenizer, &self.task, &items, &questions, &settings)?;
        if SplitIdentity::compute(&self.task, Split::Train)? != self.train {
            return Err(Error::failed("the train items of the task changed after the run began")
                .hint("run the same command again"));
        }
        Ok(examples)
    }

    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        run_training_cell(context, cell, &[TUNED_FILE], |claimed, recorder| {
            self.train(context, models, cell, claimed, recorder)
        })
    }

    /// Fine-tunes the model. Writes all parameters in which it differs from the base and its twins.
    pub(super) fn train(
        &self,
        context: &RunContext<'_>,
        models: &mut ModelCache,
        cell: &Cell,
        claimed: &RunningCell<'_>,
        recorder: &UsageRecorder<'_>,
    ) -> Result<FinetuneResult> {
        let layers = self.layers(context.store)?;
        let examples = self.load_examples(context, &models.load_replicas(context, &self.base)?[0])?;
        let (start, mut tensors) = self.load_start(context, models, &layers)?;
        let checkpoint = claimed.checkpoint(TUNED_FILE)?;
        let mut trainer = Finetuner::new_or_resume(start, layers, &self.recipe, &checkpoint)?;
        let num_tokens = trainer.schedule(&examples).num_tokens();
        let task = context.progress.start_task(&cell.to_line(), num_tokens, "tokens");
        let task = task.with_recorder(recorder)?;
        if trainer.num_steps_done() > 0 {
            task.message(&format!("resumes after step {}", trainer.num_steps_done()));
        }
        trainer.run(&examples, &task)?;
        let (result, trained) = trainer.finish(&examples);
        tensors.extend(trained);
        tensors.save(&claimed.artifact_path(TUNED_FILE)?)?;
        Ok(result)
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
        self.hybrid.as_ref().map_or_else(|| "base".to_owned(), |hybrid| hybrid.choice.label())
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let memory = FinetuneMemory {
            config,
            dtype: self.base.dtype(),
            hybrid: self.hybrid.as_ref().map(|hybrid| (&hybrid.variant, hybrid.choice)),
            recipe: &self.recipe,
        };
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
    /// Returns the maximum number of tokens of all epochs. Returns 0 if the number of train items is unknown.
    pub fn max_tokens(&self) -> u64 {
        let num_items = self.train.max_items().unwrap_or_default() as u64;
        num_items * u64::from(self.recipe.epochs) * self.recipe.sequence_length as u64
    }
}

//! The training of a base or a hybrid on the train split of a task, and the files that it writes.

use super::{FinetuneJob, FinetunedHybrid, checkpoint_file};
use crate::algorithms::finetune::{FinetuneResult, Finetuner, KeptCheckpoints};
use crate::algorithms::training::Training;
use crate::data::{ExampleSettings, QuestionDigests, Split, TaskItems, TrainingExamples};
use crate::observer::Observer;
use crate::runner::{RunContext, RunningCell, UsageRecorder};
use crate::stages::cell::Cell;
use crate::stages::identity::SplitIdentity;
use crate::stages::logit_distil::{TUNED_FILE, find_layers_of_hybrid};
use crate::stages::models::{ModelCache, read_tuned_parameters, tuned_file, verified_base_path};
use crate::stages::stage::CompletedBy;
use crate::stages::training_cell::run_training_cell;
use crate::store::Store;
use dtr_core::error::{Error, Result};
use dtr_core::files::remove_file_or_folder_if_present;
use dtr_model::{BaseModel, Decoder, NamedTensors, SelectedParameters, read_eos_token_ids};

impl FinetuneJob {
    /// Returns the layers that the model replaces, ascending.
    pub(in crate::stages) fn layers(&self, store: &Store) -> Result<Vec<u32>> {
        let find = |hybrid: &FinetunedHybrid| find_layers_of_hybrid(store, &hybrid.search, hybrid.choice);
        self.hybrid.as_ref().map_or(Ok(Vec::new()), find)
    }

    /// Loads the model that is fine-tuned. Also returns those of its parameters that a logit-distil cell
    /// trained.
    pub(in crate::stages) fn load_start(
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
    pub(in crate::stages) fn load_examples(
        &self,
        context: &RunContext<'_>,
        base: &BaseModel,
    ) -> Result<TrainingExamples> {
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

    /// Returns the names of the artifacts: the parameters after the best epoch, and the kept checkpoints.
    pub(in crate::stages) fn artifacts(&self) -> Vec<String> {
        let kept = (1..=self.num_checkpoints).map(checkpoint_file);
        std::iter::once(TUNED_FILE.to_owned()).chain(kept).collect()
    }

    pub(super) fn run_one(
        &self,
        context: &RunContext<'_>,
        models: &mut ModelCache,
        cell: &Cell,
    ) -> Result<CompletedBy> {
        let artifacts = self.artifacts();
        let artifacts: Vec<&str> = artifacts.iter().map(String::as_str).collect();
        run_training_cell(context, cell, &artifacts, |claimed, recorder| {
            self.train(context, models, cell, claimed, recorder)
        })
    }

    /// Fine-tunes the model. Writes all parameters in which it differs from the base and its twins.
    pub(in crate::stages) fn train(
        &self,
        context: &RunContext<'_>,
        models: &mut ModelCache,
        cell: &Cell,
        claimed: &RunningCell<'_>,
        recorder: &UsageRecorder<'_>,
    ) -> Result<FinetuneResult> {
        let layers = self.layers(context.store)?;
        let examples = self.load_examples(context, &models.load_replicas(context, &self.base)?[0])?;
        let (start, tensors) = self.load_start(context, models, &layers)?;
        let kept = (1..=self.num_checkpoints).map(|number| claimed.checkpoint(&checkpoint_file(number)));
        let kept = KeptCheckpoints::new(kept.collect::<Result<_>>()?);
        let mut trainer = self.new_trainer(claimed, &start, &layers, &kept, &examples)?;
        run_trainer(context, cell, recorder, &mut trainer, &examples)?;
        kept.write_safetensors(|index| claimed.artifact_path(&checkpoint_file(index + 1)))?;
        finish_trainer(trainer, &examples, tensors, claimed)
    }

    /// Creates or resumes the trainer. If a kept checkpoint is missing, begins again.
    fn new_trainer(
        &self,
        claimed: &RunningCell<'_>,
        start: &Decoder,
        layers: &[u32],
        kept: &KeptCheckpoints,
        examples: &TrainingExamples,
    ) -> Result<Finetuner> {
        let checkpoint = claimed.checkpoint(TUNED_FILE)?;
        let create = || {
            Finetuner::new_or_resume(start.clone(), layers.to_vec(), &self.recipe, &checkpoint)?
                .keep(kept.clone(), examples)
        };
        if let Some(trainer) = create()? {
            return Ok(trainer);
        }
        remove_file_or_folder_if_present(checkpoint.path())?;
        Ok(create()?.expect("a new training has passed no checkpoint"))
    }
}

/// Trains for all epochs, with a progress bar for `cell`.
pub(in crate::stages) fn run_trainer(
    context: &RunContext<'_>,
    cell: &Cell,
    recorder: &UsageRecorder<'_>,
    trainer: &mut Finetuner,
    examples: &TrainingExamples,
) -> Result<()> {
    let num_tokens = trainer.schedule(examples).num_tokens();
    let task = context.progress.start_task(&cell.to_line(), num_tokens, "tokens");
    let task = task.with_recorder(recorder)?;
    if trainer.num_steps_done() > 0 {
        task.message(&format!("resumes after step {}", trainer.num_steps_done()));
    }
    trainer.run(examples, &task)
}

/// Writes the parameters that the training changed, and `tensors`. Returns the result of the training.
pub(in crate::stages) fn finish_trainer(
    trainer: Finetuner,
    examples: &TrainingExamples,
    mut tensors: NamedTensors,
    claimed: &RunningCell<'_>,
) -> Result<FinetuneResult> {
    let (result, trained) = trainer.finish(examples);
    tensors.extend(trained);
    tensors.save(&claimed.artifact_path(TUNED_FILE)?)?;
    Ok(result)
}

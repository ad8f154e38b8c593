//! The stage `checkpoint-distil`: trains a hybrid on the train split of a task, with checkpoints of a
//! fine-tuned base as teachers.

mod teacher;

use serde::Serialize;

use super::base::{BaseSource, BaseSpec};
use super::cell::Cell;
use super::finetune::{FinetuneJob, FinetunedHybrid, finish_trainer, run_trainer};
use super::identity::SplitIdentity;
use super::logit_distil::TUNED_FILE;
use super::models::{ModelCache, read_tuned_parameters, tuned_file};
use super::stage::{CompletedBy, Stage, WorkCounts};
use super::training_cell::run_training_cell;
use crate::algorithms::checkpoint_distil::{CheckpointDistilResult, CheckpointObjective, DistilMethod};
use crate::algorithms::finetune::{FinetuneConfig, Finetuner};
use crate::resources::{CheckpointDistilMemory, ResourceEstimate};
use crate::runner::{RunContext, RunningCell, UsageRecorder};
use crate::store::{CellId, CellInputs, StageName};
use dtr_core::error::Result;
use dtr_model::{Decoder, DecoderConfig, to_dtype};
pub use teacher::{NamedVocabulary, Teacher, ensure_equal_vocabularies};

/// The job that trains a student of checkpoints.
#[derive(Clone, Debug)]
pub struct CheckpointDistilJob {
    /// The student's data and recipe, as for a fine-tuning without a teacher.
    pub student: FinetuneJob,
    /// The hybrid that becomes the student.
    pub hybrid: FinetunedHybrid,
    /// The method.
    pub method: DistilMethod,
    /// Number of stages, each with a teacher of its own.
    pub num_stages: u32,
    /// The teacher.
    pub teacher: Teacher,
    /// The cell that fine-tuned the same hybrid without a teacher. `None` if the method has no weights.
    pub finetuned: Option<CellId>,
}

/// Everything that the student depends on, apart from the cell's inputs. All fields are part of the cell's
/// key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointDistilSpec {
    /// The base of the student.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The base of the teacher, if it is another one. Its weights are an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<BaseSpec>,
    /// The method.
    pub method: DistilMethod,
    /// Number of stages.
    pub num_stages: u32,
    /// The training recipe, with the chosen hybrid.
    pub recipe: FinetuneConfig,
    /// The identity of the train split.
    pub train: SplitIdentity,
    /// The identity of the validation split.
    pub validation: SplitIdentity,
    /// The identity of the test split.
    pub test: SplitIdentity,
}

impl CheckpointDistilJob {
    /// Returns whether the student's own base is the teacher.
    pub fn has_own_teacher(&self) -> bool {
        self.teacher.training.base == self.student.base
    }

    /// Returns the maximum number of tokens that pass through the student and through teachers without a
    /// gradient. A teacher sees all batches. Before each stage, the schedule takes two divergences from each
    /// teacher, each of two models. Weights need the losses of the student once, and those of a teacher in
    /// each stage.
    pub fn max_forward_tokens(&self) -> [u64; 2] {
        let (recipe, num_stages) = (&self.student.recipe, u64::from(self.num_stages));
        let all = self.student.max_tokens();
        let train_split = all / u64::from(recipe.epochs);
        let (mut of_student, mut of_teacher) = (0, all);
        if self.method.is_weighted() {
            of_student += train_split;
            of_teacher += num_stages * train_split;
        }
        if self.method.is_scheduled() {
            let held_out = (recipe.held_out_fraction * train_split as f64) as u64;
            let compared = num_stages * self.teacher.num_models() as u64 * held_out;
            of_student += compared;
            of_teacher += 3 * compared;
        }
        [of_student, of_teacher]
    }

    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        run_training_cell(context, cell, &[TUNED_FILE], |claimed, recorder| {
            self.train(context, models, cell, claimed, recorder)
        })
    }

    /// Trains the student. Writes all parameters in which it differs from the base and its twins.
    fn train(
        &self,
        context: &RunContext<'_>,
        models: &mut ModelCache,
        cell: &Cell,
        claimed: &RunningCell<'_>,
        recorder: &UsageRecorder<'_>,
    ) -> Result<CheckpointDistilResult> {
        let (student, recipe) = (&self.student, &self.student.recipe);
        let layers = student.layers(context.store)?;
        let bases = models.load_replicas(context, &student.base)?;
        let examples = student.load_examples(context, &bases[0])?;
        let (start, tensors) = student.load_start(context, models, &layers)?;
        let teachers = self.teacher.open(context, models, &bases[0], &cell.labels.model)?;
        let objective = CheckpointObjective::new(
            self.method,
            u64::from(self.num_stages),
            recipe.micro_batch_size,
            teachers,
            || self.load_finetuned(context, start.clone()),
            &examples,
        )?;
        let checkpoint = claimed.checkpoint(TUNED_FILE)?;
        let objective = Box::new(objective);
        let mut trainer = Finetuner::with_objective(start.clone(), layers, recipe, &checkpoint, objective)?;
        run_trainer(context, cell, recorder, &mut trainer, &examples)?;
        let teachers = trainer.teachers().to_vec();
        let training = finish_trainer(trainer, &examples, tensors, claimed)?;
        Ok(CheckpointDistilResult { training, teachers })
    }

    /// Returns the same hybrid after fine-tuning without a teacher. `start` is the hybrid before.
    fn load_finetuned(&self, context: &RunContext<'_>, start: Decoder) -> Result<Decoder> {
        let cell = self.finetuned.as_ref().expect("a method with weights has a fine-tuned student");
        let mut decoder = start;
        read_tuned_parameters(&mut decoder, &tuned_file(context.store, cell)?, |_| true)?;
        let dtype = decoder.dtype();
        Ok(to_dtype(decoder, dtype))
    }
}

impl Stage for CheckpointDistilJob {
    const NAME: StageName = StageName::new("checkpoint-distil");
    const VERSION: u32 = 1;
    type Spec = CheckpointDistilSpec;
    type Output = CheckpointDistilResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<CheckpointDistilSpec> {
        let student = &self.student;
        Ok(CheckpointDistilSpec {
            base: student.base.spec_for_task(&student.task),
            teacher: (!self.has_own_teacher()).then(|| self.teacher.training.base.spec()),
            method: self.method,
            num_stages: self.num_stages,
            recipe: student.recipe.clone(),
            train: student.train.clone(),
            validation: student.validation.clone(),
            test: student.test.clone(),
        })
    }

    fn inputs(&self) -> CellInputs {
        let mut inputs = self.student.inputs();
        inputs.insert("teacher".to_owned(), self.teacher.cell.clone());
        inputs.extend(self.finetuned.clone().map(|cell| ("finetuned".to_owned(), cell)));
        inputs
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.student.base)
    }

    fn distinguishing_settings(&self) -> String {
        format!("{} {}", self.hybrid.choice.label(), self.method.student_name())
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        // Until the teacher's shape is known, the estimate assumes that of the student.
        let teacher = self.teacher.training.base.config().ok().flatten();
        let memory = CheckpointDistilMemory {
            student: self.student.memory(config),
            teacher: teacher.as_ref().unwrap_or(config),
            has_own_teacher: self.has_own_teacher(),
        };
        ResourceEstimate {
            tokens: self.student.max_tokens(),
            weight_bytes: memory.weight_bytes(),
            peak_bytes: memory.peak_bytes(),
            ..ResourceEstimate::default()
        }
    }

    fn count_work(&self, output: &CheckpointDistilResult) -> WorkCounts {
        WorkCounts { tokens: output.training.tokens, evaluations: 0 }
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        group.iter().map(|(cell, job)| job.run_one(context, models, cell)).collect()
    }
}

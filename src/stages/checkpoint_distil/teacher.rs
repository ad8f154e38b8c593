//! The teacher of students: a base whose fine-tuning keeps checkpoints.

use crate::algorithms::checkpoint_distil::Teachers;
use crate::runner::RunContext;
use crate::stages::finetune::FinetuneJob;
use crate::stages::models::{ModelCache, find_done_record, read_tuned_parameters};
use crate::store::CellId;
use dtr_core::error::{Error, Result};
use dtr_model::{BaseModel, DecoderConfig, Tokenizer};

/// The teacher of students.
#[derive(Clone, Debug)]
pub struct Teacher {
    /// Name of the model in the manifest.
    pub model: String,
    /// The fine-tuning that keeps checkpoints.
    pub training: FinetuneJob,
    /// The cell of the fine-tuning.
    pub cell: CellId,
}

/// A model whose vocabulary is compared with that of another model.
pub struct NamedVocabulary<'a> {
    /// Name of the model in the manifest.
    pub model: &'a str,
    /// The shape of the model.
    pub config: &'a DecoderConfig,
    /// The tokenizer of the model.
    pub tokenizer: &'a Tokenizer,
}

impl<'a> NamedVocabulary<'a> {
    fn of_base(model: &'a str, base: &'a BaseModel) -> Self {
        Self { model, config: &base.decoder.config, tokenizer: &base.tokenizer }
    }
}

impl Teacher {
    /// Returns the number of models from which a schedule chooses: the checkpoints, and the model after the
    /// best epoch.
    pub fn num_models(&self) -> usize {
        self.training.num_checkpoints + 1
    }

    /// Verifies the checkpoints. `student` is the base of the student, and `student_name` is its name.
    ///
    /// # Errors
    /// Fails if the teacher has another vocabulary, or if a file is missing or damaged.
    pub(super) fn open(
        &self,
        context: &RunContext<'_>,
        models: &mut ModelCache,
        student: &BaseModel,
        student_name: &str,
    ) -> Result<Teachers> {
        let base = &models.load_replicas(context, &self.training.base)?[0];
        let student = NamedVocabulary::of_base(student_name, student);
        ensure_equal_vocabularies(&student, &NamedVocabulary::of_base(&self.model, base))?;
        let record = find_done_record::<FinetuneJob>(context.store, &self.cell)?;
        // The parameters after the best epoch are the first artifact, and the last teacher.
        let mut artifacts = self.training.artifacts();
        artifacts.rotate_left(1);
        let verify = |name: &String| context.store.verify_artifact(&record, name);
        let paths = artifacts.iter().map(verify).collect::<Result<Vec<_>>>()?;
        let decoder = base.decoder.clone();
        let load = move |index: usize| {
            let mut teacher = decoder.clone();
            read_tuned_parameters(&mut teacher, &paths[index], |_| true)?;
            Ok(teacher)
        };
        Ok(Teachers { count: self.num_models(), load: Box::new(load) })
    }
}

/// Checks that student and teacher give the same tokens to each text, and logits to the same tokens.
///
/// # Errors
/// Fails if the tokenizers or the sizes of the vocabularies differ.
pub fn ensure_equal_vocabularies(student: &NamedVocabulary<'_>, teacher: &NamedVocabulary<'_>) -> Result<()> {
    let sizes = [student, teacher].map(|model| model.config.vocab_size);
    let reason = if student.tokenizer.to_json()? != teacher.tokenizer.to_json()? {
        "their tokenizers differ".to_owned()
    } else if sizes[0] != sizes[1] {
        format!("their vocabularies have {} and {} tokens", sizes[0], sizes[1])
    } else {
        return Ok(());
    };
    let (student, teacher) = (student.model, teacher.model);
    Err(Error::manifest(format!(
        "cannot distil checkpoints of `{teacher}` into hybrids of `{student}`: {reason}"
    ))
    .hint(format!(
        "name a teacher in place of `{teacher}` that has the tokenizer of `{student}`, or remove \
             `checkpoint-distil.teacher`: then `{student}` itself is the teacher"
    )))
}

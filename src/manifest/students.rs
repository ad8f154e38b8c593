//! Checks the table `[checkpoint-distil]`, whose students refer to other tables.

use super::source_map::{EntryPart, SourceMap};
use super::suggestions::did_you_mean;
use super::{Manifest, ModelSource};
use dtr_core::error::{Error, Result};

/// Checks that each student is also fine-tuned without a teacher, and that the teacher is a model with
/// weights.
pub(super) fn check_students(manifest: &Manifest, sources: &SourceMap) -> Result<()> {
    let config = &manifest.checkpoint_distil;
    if config.is_disabled() {
        return Ok(());
    }
    let is_missing = |hybrid: &usize| !manifest.finetune.hybrids.contains(&config.hybrids[*hybrid]);
    if let Some(index) = (0..config.hybrids.len()).find(is_missing) {
        let error = Error::manifest(format!(
            "`{}` cannot become a student, because `[finetune]` does not train it",
            config.hybrids[index].label()
        ))
        .hint(
            "add the hybrid to `finetune.hybrids`: students are compared with it, and its losses are weights",
        );
        let place = ["checkpoint-distil", "hybrids", &index.to_string()];
        return Err(sources.underline_entry(error, &place, EntryPart::Value, "not fine-tuned"));
    }
    match &config.teacher {
        Some(teacher) => check_teacher(manifest, teacher).map_err(|error| underline_teacher(sources, error)),
        None => Ok(()),
    }
}

fn check_teacher(manifest: &Manifest, teacher: &str) -> Result<()> {
    let models: Vec<&str> = manifest.models.keys().map(String::as_str).collect();
    if !models.contains(&teacher) {
        return Err(Error::manifest(format!("no model is called `{teacher}`")).hint(did_you_mean(
            teacher,
            &models,
            "the models defined are",
        )));
    }
    match manifest.original_model(teacher).source {
        ModelSource::Shape(_) => Err(Error::manifest(format!(
            "`{teacher}` is only a shape, and a model without weights cannot be a teacher"
        ))),
        _ => Ok(()),
    }
}

fn underline_teacher(sources: &SourceMap, error: Error) -> Error {
    sources.underline_entry(error, &["checkpoint-distil", "teacher"], EntryPart::Value, "not a teacher")
}

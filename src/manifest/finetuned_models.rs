//! The chains of models that are fine-tuned from one another.

use std::collections::BTreeSet;

use super::source_map::{EntryPart, SourceMap};
use super::suggestions::did_you_mean;
use super::{FinetunedModel, Manifest, ModelConfig, ModelSource};
use dtr_core::error::{Error, Result};

impl Manifest {
    /// Returns the model from which fine-tuning makes the model `name`. If the model is not fine-tuned, returns
    /// its own definition.
    pub fn original_model(&self, name: &str) -> &ModelConfig {
        let model = &self.models[name];
        match &model.source {
            ModelSource::Finetuned(finetuned) => self.original_model(&finetuned.model),
            _ => model,
        }
    }

    /// Returns whether fine-tuning makes the model `name`.
    pub fn is_finetuned(&self, name: &str) -> bool {
        matches!(self.models.get(name).map(|model| &model.source), Some(ModelSource::Finetuned(_)))
    }

    /// Returns the names of the bases that the sweep fine-tunes before it distils them, and the names of the
    /// tasks that they are fine-tuned on.
    pub fn finetunings_of_bases(&self) -> BTreeSet<(&str, &str)> {
        let mut finetunings = BTreeSet::new();
        for name in &self.sweep.model {
            let mut name = name.as_str();
            while let ModelSource::Finetuned(finetuned) = &self.models[name].source {
                finetunings.insert((name, finetuned.task.as_str()));
                name = &finetuned.model;
            }
        }
        finetunings
    }
}

/// Checks the models that are fine-tuned, including those that the sweep does not use.
pub(super) fn check_finetuned_models(manifest: &Manifest, sources: &SourceMap) -> Result<()> {
    for (name, model) in &manifest.models {
        if let ModelSource::Finetuned(finetuned) = &model.source {
            FinetunedModelCheck { manifest, sources, name, model, finetuned }.run()?;
        }
    }
    Ok(())
}

struct FinetunedModelCheck<'a> {
    manifest: &'a Manifest,
    sources: &'a SourceMap,
    name: &'a str,
    model: &'a ModelConfig,
    finetuned: &'a FinetunedModel,
}

impl FinetunedModelCheck<'_> {
    fn run(&self) -> Result<()> {
        let models: Vec<&str> = self.manifest.models.keys().map(String::as_str).collect();
        let tasks: Vec<&str> = self.manifest.tasks.keys().map(String::as_str).collect();
        self.check_name("model", &self.finetuned.model, &models)?;
        self.check_name("task", &self.finetuned.task, &tasks)?;
        self.check_origin()?;
        if self.model.dtype.is_f32() {
            return Ok(());
        }
        let error = Error::manifest(format!(
            "`models.{}` has the `dtype` of the model that is fine-tuned",
            self.name
        ))
        .hint(format!("set `dtype` in `[models.{}]`, and remove it here", self.finetuned.model));
        let place = ["models", self.name, "dtype"];
        Err(self.sources.underline_entry(error, &place, EntryPart::Value, "of the other model"))
    }

    fn check_name(&self, key: &str, name: &str, defined: &[&str]) -> Result<()> {
        if defined.contains(&name) {
            return Ok(());
        }
        let error = Error::manifest(format!("no {key} is called `{name}`")).hint(did_you_mean(
            name,
            defined,
            &format!("the {key}s defined are"),
        ));
        Err(self.underline(error, key, "not defined"))
    }

    /// Checks that the chain of models ends, and that it ends at a model with weights.
    fn check_origin(&self) -> Result<()> {
        let mut seen = vec![self.name];
        let mut next = self.finetuned.model.as_str();
        loop {
            if seen.contains(&next) {
                let error = Error::manifest(format!("the model `{next}` is fine-tuned from itself"))
                    .hint("name a model that does not depend on this one");
                return Err(self.underline(error, "model", "a cycle"));
            }
            seen.push(next);
            match self.manifest.models.get(next).map(|model| &model.source) {
                Some(ModelSource::Finetuned(finetuned)) => next = &finetuned.model,
                Some(ModelSource::Shape(_)) => {
                    let error = Error::manifest(format!(
                        "`{next}` is only a shape, and a model without weights cannot be fine-tuned"
                    ));
                    return Err(self.underline(error, "model", "no weights"));
                }
                _ => return Ok(()),
            }
        }
    }

    fn underline(&self, error: Error, key: &str, label: &str) -> Error {
        let place = ["models", self.name, "source", "finetuned", key];
        self.sources.underline_entry(error, &place, EntryPart::Value, label)
    }
}

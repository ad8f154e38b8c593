//! Lists the models and data files that an experiment reads from the Hugging Face hub.

use std::collections::BTreeSet;

use crate::data::documents::list_files;
use crate::data::{CorpusSource, Split, Task};
use crate::hub::{self, FileLocation, PinnedRepo};
use crate::manifest::{Manifest, ModelSource};
use dtr_core::error::Result;

/// The models and data files that an experiment reads from the hub. If the hub can be reached, each
/// repository is pinned to a commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Downloads {
    /// Repositories of bases in the Hugging Face format. dtr downloads only the files that dtr reads.
    pub models: BTreeSet<PinnedRepo>,
    /// Data files and GGUF files, by repository and path.
    pub files: BTreeSet<(PinnedRepo, String)>,
}

impl Downloads {
    /// Adds the files that the sweep of `manifest` reads.
    ///
    /// # Errors
    /// Fails if the hub does not know a revision.
    pub(super) fn add(&mut self, manifest: &Manifest) -> Result<()> {
        if manifest.sweep.task.is_empty() {
            return Ok(());
        }
        let config = &manifest.checkpoint_distil;
        let teacher = config.teacher.as_ref().filter(|_| !config.is_disabled());
        for model in manifest.sweep.model.iter().chain(teacher) {
            if let ModelSource::Hub(model) = &manifest.original_model(model).source {
                let repo = hub::default_hub().pin_if_reachable(&model.into())?;
                match &model.file {
                    Some(file) => drop(self.files.insert((repo, file.clone()))),
                    None => drop(self.models.insert(repo)),
                }
            }
        }
        for task in &manifest.sweep.task {
            let task = &manifest.tasks[task];
            task.paths()?.iter().try_for_each(|path| self.add_file(path))?;
            if !manifest.finetune.is_disabled() {
                self.add_train_files(task)?;
            }
        }
        for (_, task) in manifest.finetunings_of_bases() {
            let task = &manifest.tasks[task];
            task.paths()?.iter().try_for_each(|path| self.add_file(path))?;
            self.add_train_files(task)?;
        }
        let is_trained =
            |model: &String| matches!(manifest.original_model(model).source, ModelSource::Pretrain(_));
        let reads_corpus = !manifest.sweep.variant.is_empty() || manifest.sweep.model.iter().any(is_trained);
        if reads_corpus { self.add_corpus(&manifest.corpus.source) } else { Ok(()) }
    }

    /// Adds the files of a task's train split. Adds none if the task has no train split.
    fn add_train_files(&mut self, task: &Task) -> Result<()> {
        let paths = if task.has_train_split() { task.paths_of_split(Split::Train)? } else { Vec::new() };
        paths.iter().try_for_each(|path| self.add_file(path))
    }

    fn add_corpus(&mut self, source: &CorpusSource) -> Result<()> {
        match source {
            CorpusSource::Synthetic(_) => Ok(()),
            CorpusSource::Files(corpus) => {
                list_files(corpus)?.iter().try_for_each(|file| self.add_file(file))
            }
            CorpusSource::Mixture(portions) => {
                portions.iter().try_for_each(|portion| self.add_corpus(&portion.source))
            }
        }
    }

    fn add_file(&mut self, path: &str) -> Result<()> {
        if let FileLocation::Hub(repo, file) = FileLocation::parse(path)? {
            self.files.insert((hub::default_hub().pin_if_reachable(&repo)?, file));
        }
        Ok(())
    }

    /// Returns whether the experiment reads nothing from the hub.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && self.files.is_empty()
    }
}

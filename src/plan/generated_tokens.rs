//! Estimates how many tokens models generate for generative tasks. The answer to an item of a generative task
//! is a text that the model generates.

use std::collections::BTreeMap;

use crate::data::{Split, Task, TaskItems};
use crate::hub;
use crate::stages::{Cell, FinetuneScoreJob, ScoreJob, SearchJob, TunedScoreJob};
use dtr_core::error::Result;

/// Estimates the number of generated tokens. Caches the number of items of each split.
#[derive(Default)]
pub(super) struct GeneratedTokens {
    num_items: BTreeMap<(String, Split), u64>,
}

impl GeneratedTokens {
    /// Returns the maximum number of tokens that the models of a cell generate. The cell reaches this number
    /// if every text has the maximum length, and if a search prunes no candidate. Returns 0 for
    /// multiple-choice tasks, and for tasks whose files are not downloaded.
    ///
    /// # Errors
    /// Fails if the shape of the base or the items of the task cannot be read.
    pub fn of_cell(&mut self, cell: &Cell) -> Result<u64> {
        let (task, splits) = if let Some(job) = cell.downcast_job::<SearchJob>() {
            let Some(config) = job.base.config()? else { return Ok(0) };
            (&job.task, job.max_evaluations_by_split(config.num_layers as u64).to_vec())
        } else if let Some(job) = cell.downcast_job::<ScoreJob>() {
            (&job.task, vec![(job.split, 1)])
        } else if let Some(job) = cell.downcast_job::<TunedScoreJob>() {
            (&job.search.task, vec![(Split::Test, 3)])
        } else if let Some(job) = cell.downcast_job::<FinetuneScoreJob>() {
            let num_models = job.models().len() as u64;
            (&job.search.task, vec![(Split::Validation, num_models), (Split::Test, num_models)])
        } else {
            return Ok(0);
        };
        let Some(settings) = task.generation_settings() else { return Ok(0) };
        let name = cell.labels.task.clone().unwrap_or_default();
        let mut tokens = 0;
        for (split, evaluations) in splits {
            let num_items = self.num_items(&name, task, split)?;
            tokens += evaluations * num_items * settings.max_tokens as u64;
        }
        Ok(tokens)
    }

    fn num_items(&mut self, name: &str, task: &Task, split: Split) -> Result<u64> {
        let key = (name.to_owned(), split);
        if let Some(count) = self.num_items.get(&key) {
            return Ok(*count);
        }
        let is_downloaded = hub::are_local_or_cached(task.paths_of_split(split)?.iter().map(String::as_str))?;
        let count = match is_downloaded.then(|| TaskItems::load(task, split)).transpose()? {
            Some(TaskItems::Generative(items)) => items.len() as u64,
            Some(TaskItems::Choices(_)) | None => 0,
        };
        self.num_items.insert(key, count);
        Ok(count)
    }
}

//! Estimates how long the distillations, the searches and the trainings after the searches of a plan take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::expand::Plan;
use crate::data::{Split, Task, TaskItems, TaskRequests};
use crate::hub;
use crate::resources::{
    SplitSize, WorkAmount, WorkRates, distil_work, finetune_work, forward_work, logit_distil_work,
    search_work,
};
use crate::stages::{
    BaseSource, Cell, CheckpointDistilJob, DistilJob, FinetuneBaseJob, FinetuneJob, LogitDistilJob,
    SearchJob, Stage,
};
use dtr_core::error::Result;
use dtr_model::{BaseModel, DecoderConfig};

/// Number of validation tokens to which [`TimeEstimate::seconds_per_10k_tokens`] refers.
pub const ESTIMATE_TOKENS: u64 = 10_000;

/// The time that the cells of a plan take on a device, without the time of downloads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeEstimate {
    /// Seconds of all distillations, of twins and of logits, and of all fine-tunings.
    pub distil_seconds: f64,
    /// Maximum seconds of the searches on tasks whose files are on disk, one after the other. A search takes
    /// this long if it replaces every layer and prunes no candidate.
    pub search_seconds: f64,
    /// The tasks whose number of tokens is unknown, because the task's files or a base's tokenizer are not
    /// downloaded.
    pub tasks_not_downloaded: BTreeSet<String>,
    /// Maximum seconds of one search on a task in [`tasks_not_downloaded`](Self::tasks_not_downloaded), for
    /// each 10,000 tokens of the validation split. The number is for the slowest base and variant.
    pub seconds_per_10k_tokens: f64,
    /// Whether the shape of a base is unknown. The cells of such a base are not part of the estimate.
    pub has_unknown_shape: bool,
}

impl TimeEstimate {
    /// Estimates the time of a plan on a device with these rates.
    ///
    /// # Errors
    /// Fails if a file of a base or of a task cannot be read.
    pub fn new(plan: &Plan, rates: &WorkRates) -> Result<Self> {
        let mut estimate = Self::default();
        estimate.add_distillations(plan, rates)?;
        estimate.add_searches(plan, rates)?;
        for job in plan.cells.iter().filter_map(Cell::downcast_job::<LogitDistilJob>) {
            let Some(config) = estimate.known_config(&job.base)? else { continue };
            estimate.distil_seconds += rates.distil_seconds(logit_distil_work(&config, &job.recipe));
        }
        let of_bases = plan.cells.iter().filter_map(Cell::downcast_job::<FinetuneBaseJob>);
        let finetunings = plan.cells.iter().filter_map(Cell::downcast_job::<FinetuneJob>);
        for job in finetunings.chain(of_bases.map(|job| &job.training)) {
            let Some(config) = estimate.known_config(&job.base)? else { continue };
            let length = job.recipe.sequence_length.min(config.max_positions);
            let work = finetune_work(&config, job.max_tokens(), length);
            estimate.distil_seconds += rates.distil_seconds(work);
        }
        for job in plan.cells.iter().filter_map(Cell::downcast_job::<CheckpointDistilJob>) {
            let Some(config) = estimate.known_config(&job.student.base)? else { continue };
            let Some(teacher) = estimate.known_config(&job.teacher.training.base)? else { continue };
            estimate.distil_seconds += rates.distil_seconds(student_work(job, &config, &teacher));
        }
        Ok(estimate)
    }

    /// Adds the distillations. Cells of a group share the forward passes of their base.
    fn add_distillations(&mut self, plan: &Plan, rates: &WorkRates) -> Result<()> {
        let mut pending: Vec<&DistilJob> = plan.cells.iter().filter_map(Cell::downcast_job).collect();
        while let Some(first) = pending.first().copied() {
            let (group, others) = pending.into_iter().partition(|job| Stage::is_grouped_with(first, job));
            pending = others;
            let Some(config) = self.known_config(&first.base)? else { continue };
            let variants: Vec<_> = group.iter().map(|job: &&DistilJob| &job.variant).collect();
            self.distil_seconds += rates.distil_seconds(distil_work(&config, &variants, &first.recipe));
        }
        Ok(())
    }

    fn add_searches(&mut self, plan: &Plan, rates: &WorkRates) -> Result<()> {
        let mut sizes = TaskSizes::default();
        for cell in &plan.cells {
            let Some(job) = cell.downcast_job::<SearchJob>() else { continue };
            let Some(config) = self.known_config(&job.base)? else { continue };
            let seconds = |validation, test| {
                let stops = job.earlier_stops.criteria().count() as u64;
                let work = search_work(&config, &job.variant, &job.strategy, stops, validation, test);
                rates.search_seconds(work)
            };
            let task = cell.labels.task.clone().unwrap_or_default();
            match sizes.get(job, &task, &config)? {
                Some([validation, test]) => self.search_seconds += seconds(validation, test),
                None => {
                    self.tasks_not_downloaded.insert(task);
                    let unread = SplitSize { tokens: ESTIMATE_TOKENS, targets: ESTIMATE_TOKENS };
                    let no_test = SplitSize { tokens: 0, targets: 0 };
                    self.seconds_per_10k_tokens = self.seconds_per_10k_tokens.max(seconds(unread, no_test));
                }
            }
        }
        Ok(())
    }

    /// Returns the shape of a base. If the shape is unknown, sets
    /// [`has_unknown_shape`](Self::has_unknown_shape).
    fn known_config(&mut self, base: &BaseSource) -> Result<Option<DecoderConfig>> {
        let config = base.config()?;
        self.has_unknown_shape |= config.is_none();
        Ok(config)
    }
}

/// Returns the work of training a student. `config` is the shape of its base, and `teacher` that of the
/// teacher.
fn student_work(job: &CheckpointDistilJob, config: &DecoderConfig, teacher: &DecoderConfig) -> WorkAmount {
    let length = job.student.recipe.sequence_length.min(config.max_positions);
    let [of_student, of_teacher] = job.max_forward_tokens();
    finetune_work(config, job.student.max_tokens(), length)
        + forward_work(config, of_student, length)
        + forward_work(teacher, of_teacher, length)
}

/// The sizes of the validation split and the test split of each task. The keys are the path of a base and the
/// name of a task. `None` if a file is not downloaded.
#[derive(Default)]
struct TaskSizes(BTreeMap<(PathBuf, String), Option<[SplitSize; 2]>>);

impl TaskSizes {
    fn get(&mut self, job: &SearchJob, task: &str, config: &DecoderConfig) -> Result<Option<[SplitSize; 2]>> {
        let BaseSource::Stored { path, .. } = job.base.original() else { return Ok(None) };
        let key = (path.clone(), task.to_owned());
        if !self.0.contains_key(&key) {
            let is_known = BaseModel::has_tokenizer(path) && has_files(&job.task)?;
            let measure = || -> Result<[SplitSize; 2]> {
                let size = |split| split_size(path, config, &job.task, split);
                Ok([size(Split::Validation)?, size(Split::Test)?])
            };
            self.0.insert(key.clone(), is_known.then(measure).transpose()?);
        }
        Ok(self.0[&key])
    }
}

/// Returns whether the files of a task are on disk.
fn has_files(task: &Task) -> Result<bool> {
    hub::are_local_or_cached(task.paths()?.iter().map(String::as_str))
}

fn split_size(folder: &Path, config: &DecoderConfig, task: &Task, split: Split) -> Result<SplitSize> {
    let tokenizer = BaseModel::read_tokenizer(folder)?;
    let items = TaskItems::load(task, split)?.render_chats(Some(folder))?;
    let requests = TaskRequests::new(&tokenizer, task, items, config.max_positions)?;
    Ok(SplitSize { tokens: requests.num_tokens() as u64, targets: requests.num_targets() as u64 })
}

//! The trait [`Stage`], through which the planner, the scheduler and the report use every kind of work.

use std::any::Any;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::base::BaseSource;
use super::cell::Cell;
use super::planner::{Planner, SweepPoint};
use crate::resources::ResourceEstimate;
use crate::runner::RunContext;
use crate::store::{CellId, CellInputs, CellSpec, Lookup, StageName, Store};
use dtr_core::error::Result;
use dtr_model::DecoderConfig;

/// A kind of work whose results the store keeps. A type that implements this trait is a stage, and a value of
/// the type is one job.
///
/// To add a stage, implement this trait in a new file, and add a line to [`super::STAGES`].
pub trait Stage: Debug + Send + Sync + Sized + 'static {
    /// The name of the stage in folders, records and keys.
    const NAME: StageName;

    /// The version of the algorithm. It is part of the key of each cell.
    ///
    /// Increase the version when the same specification gives another result, for example after a bug fix,
    /// with another order of operations, or with a new default that is not in the specification. The increase
    /// also changes the keys of the cells that read this stage's results. Keep the version if only messages
    /// or the speed change. The results of `throughput` are speeds, so its version increases with a change of
    /// speed too.
    const VERSION: u32;

    /// Whether the result is a measurement of time, which differs from run to run.
    const MEASURES_TIME: bool = false;

    /// Everything that the result depends on, apart from the inputs.
    type Spec: Serialize;

    /// The type of the result, as the store records it.
    type Output: Serialize + DeserializeOwned;

    /// The type of a value that successive cells share in memory, such as loaded models. Stages with the same
    /// type share one value. The value is dropped before a stage with another type begins.
    type Cache: Default + 'static;

    /// Returns everything that the result depends on, apart from the inputs.
    ///
    /// # Errors
    /// Fails if a file whose content is part of the specification cannot be read.
    fn spec(&self) -> Result<Self::Spec>;

    /// Returns the cells whose results the job reads, by role.
    fn inputs(&self) -> CellInputs;

    /// Returns the base whose weights the job reads, if there is one.
    fn base(&self) -> Option<&BaseSource> {
        None
    }

    /// Returns the shape of the model, or `None` if its configuration has not been downloaded yet.
    ///
    /// # Errors
    /// Fails if a configuration on disk cannot be read.
    fn config(&self) -> Result<Option<DecoderConfig>> {
        self.base().map_or(Ok(None), BaseSource::config)
    }

    /// Returns the manifest's setting that makes the job compute in bf16. Returns `None` if the job computes
    /// in f32.
    fn bf16_setting(&self) -> Option<&'static str> {
        let is_f32 = self.base().is_none_or(|base| base.dtype().is_f32());
        (!is_f32).then_some("dtype = \"bf16\"")
    }

    /// Returns the settings that distinguish the job from other jobs with the same labels, or an empty
    /// string.
    fn distinguishing_settings(&self) -> String {
        String::new()
    }

    /// Returns whether one call of [`run`](Self::run) should do this job and the other job together.
    fn is_grouped_with(&self, _other: &Self) -> bool {
        false
    }

    /// Returns the resources that the job needs for a model of shape `config`. `group` holds this job and the
    /// jobs that run together with it.
    fn resources(&self, config: &DecoderConfig, group: &[&Self]) -> ResourceEstimate;

    /// Counts the work of a finished job.
    fn count_work(&self, output: &Self::Output) -> WorkCounts;

    /// Returns a copy of this job for each other machine on which a cell of `recorded` ran. Returns no copies
    /// if the cell's key does not depend on the machine.
    fn jobs_on_other_machines(&self, _recorded: &[CellSpec]) -> Vec<Self> {
        Vec::new()
    }

    /// Adds the cells that a point of the sweep asks for, and the input cells of these cells.
    ///
    /// # Errors
    /// Fails if the manifest asks for an impossible cell, or if a file cannot be read.
    fn plan(_point: &SweepPoint<'_>, _planner: &mut Planner) -> Result<()> {
        Ok(())
    }

    /// Computes and records the results of a group of cells. Returns, for each cell, the process that
    /// completed the cell, or an error.
    fn run(
        context: &RunContext<'_>,
        cache: &mut Self::Cache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>>;
}

/// The process that computed and recorded a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletedBy {
    /// The process that called [`Stage::run`].
    ThisProcess,
    /// Another process, for which the caller of [`Stage::run`] waited.
    OtherProcess,
}

/// The number of tokens and evaluations of a finished job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkCounts {
    /// Number of tokens that went through a model.
    pub tokens: u64,
    /// Number of times that a base or a hybrid was scored.
    pub evaluations: u64,
}

/// A job of any stage. This trait erases the type of the [`Stage`], so that a plan can hold jobs of all
/// stages.
pub trait Job: Debug + Send + Sync {
    /// Returns the job as [`Any`]. The caller can downcast the returned value to the type of the stage.
    fn as_any(&self) -> &dyn Any;

    /// See [`Stage::MEASURES_TIME`].
    fn measures_time(&self) -> bool;

    /// See [`Stage::base`].
    fn base(&self) -> Option<&BaseSource>;

    /// See [`Stage::bf16_setting`].
    fn bf16_setting(&self) -> Option<&'static str>;

    /// See [`Stage::config`].
    ///
    /// # Errors
    /// Fails if a configuration on disk cannot be read.
    fn config(&self) -> Result<Option<DecoderConfig>>;

    /// See [`Stage::distinguishing_settings`].
    fn distinguishing_settings(&self) -> String;

    /// See [`Stage::is_grouped_with`]. Returns false for a job of another stage.
    fn is_grouped_with(&self, other: &dyn Job) -> bool;

    /// See [`Stage::resources`]. Ignores cells of `group` that do not run together with this job.
    fn resources(&self, config: &DecoderConfig, group: &[&Cell]) -> ResourceEstimate;

    /// Reads the record of a cell of this stage, and counts the work if the cell is done.
    ///
    /// # Errors
    /// Fails if the record cannot be read.
    fn find_work_counts(&self, store: &Store, cell: &CellId) -> Result<Lookup<WorkCounts>>;

    /// Returns the cells of the jobs that [`Stage::jobs_on_other_machines`] returns.
    ///
    /// # Errors
    /// Fails if the specification of a job cannot be created.
    fn cells_on_other_machines(&self, cell: &Cell, recorded: &[CellSpec]) -> Result<Vec<Cell>>;

    /// See [`Stage::run`].
    fn run(
        &self,
        context: &RunContext<'_>,
        cache: &mut StageCache,
        cells: &[&Cell],
    ) -> Vec<Result<CompletedBy>>;
}

impl<S: Stage> Job for S {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn measures_time(&self) -> bool {
        S::MEASURES_TIME
    }

    fn base(&self) -> Option<&BaseSource> {
        Stage::base(self)
    }

    fn bf16_setting(&self) -> Option<&'static str> {
        Stage::bf16_setting(self)
    }

    fn config(&self) -> Result<Option<DecoderConfig>> {
        Stage::config(self)
    }

    fn distinguishing_settings(&self) -> String {
        Stage::distinguishing_settings(self)
    }

    fn is_grouped_with(&self, other: &dyn Job) -> bool {
        other.as_any().downcast_ref().is_some_and(|other| Stage::is_grouped_with(self, other))
    }

    fn resources(&self, config: &DecoderConfig, group: &[&Cell]) -> ResourceEstimate {
        let others = group.iter().filter_map(|cell| cell.downcast_job::<S>());
        let group: Vec<&S> = others.filter(|other| Stage::is_grouped_with(self, other)).collect();
        match group.as_slice() {
            [] => Stage::resources(self, config, &[self]),
            group => Stage::resources(self, config, group),
        }
    }

    fn find_work_counts(&self, store: &Store, cell: &CellId) -> Result<Lookup<WorkCounts>> {
        Ok(match store.find::<S::Output>(cell)? {
            Lookup::Done(record) => Lookup::Done(record.map(|output| self.count_work(&output))),
            Lookup::Failed(record) => Lookup::Failed(record),
            Lookup::Corrupt { path, reason } => Lookup::Corrupt { path, reason },
            Lookup::Missing => Lookup::Missing,
        })
    }

    fn cells_on_other_machines(&self, cell: &Cell, recorded: &[CellSpec]) -> Result<Vec<Cell>> {
        let others = self.jobs_on_other_machines(recorded).into_iter();
        others.map(|job| Cell::new(job, cell.labels.clone())).collect()
    }

    fn run(
        &self,
        context: &RunContext<'_>,
        cache: &mut StageCache,
        cells: &[&Cell],
    ) -> Vec<Result<CompletedBy>> {
        let group: Vec<(&Cell, &S)> = cells
            .iter()
            .map(|cell| (*cell, cell.downcast_job::<S>().expect("all cells of a group belong to one stage")))
            .collect();
        S::run(context, cache.get_or_default::<S::Cache>(), &group)
    }
}

/// The value that the cells of the current stage share in memory.
#[derive(Default)]
pub struct StageCache(Option<Box<dyn Any>>);

impl StageCache {
    /// Returns the value of type `T`. Drops a value of another type first, to free its memory.
    fn get_or_default<T: Default + 'static>(&mut self) -> &mut T {
        if !self.0.as_ref().is_some_and(|value| value.is::<T>()) {
            self.0 = None;
        }
        let value = self.0.get_or_insert_with(|| Box::new(T::default()));
        value.downcast_mut().expect("the value has type `T`")
    }
}

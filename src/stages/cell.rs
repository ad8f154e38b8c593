//! A planned cell: its specification, its labels, and the job that computes its result.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::base::BaseSource;
use super::stage::{Job, Stage};
use crate::store::{CellId, CellInputs, CellKey, CellSpec, StageName};
use dtr_core::error::Result;

/// The labels of a cell in messages and tables. The cell's key does not depend on its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CellLabels {
    /// Name of the base model.
    pub model: String,
    /// Name of the linear variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Name of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Values of the other sweep axes, by each axis's dotted key in the manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, String>,
}

impl CellLabels {
    /// Returns `model variant task key=value …` on one line.
    pub fn to_line(&self) -> String {
        let mut words = vec![self.model.clone()];
        words.extend(self.variant.clone());
        words.extend(self.task.clone());
        words.extend(self.axes.iter().map(|(key, value)| format!("{key}={value}")));
        words.join(" ")
    }
}

/// A planned cell.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The specification. Its digest is the cell's key.
    pub spec: CellSpec,
    /// The labels of the cell in messages and tables.
    pub labels: CellLabels,
    /// The job that computes the cell's result.
    pub job: Arc<dyn Job>,
}

impl Cell {
    /// Creates the cell of a job.
    ///
    /// # Errors
    /// Fails if a file that the specification names cannot be read, or if a number in the specification is
    /// not finite.
    pub fn new<S: Stage>(job: S, labels: CellLabels) -> Result<Self> {
        let spec = CellSpec::new(S::NAME, S::VERSION, &job.spec()?, job.inputs())?;
        Ok(Self { spec, labels, job: Arc::new(job) })
    }

    /// Returns the stage and key.
    pub fn id(&self) -> &CellId {
        &self.spec.id
    }

    /// Returns the key.
    pub fn key(&self) -> CellKey {
        self.spec.id.key
    }

    /// Returns the name of the stage.
    pub fn stage(&self) -> &StageName {
        &self.spec.id.stage
    }

    /// Returns the cells whose results this cell reads, by role.
    pub fn inputs(&self) -> &CellInputs {
        &self.spec.inputs
    }

    /// Returns the job, or `None` if the cell does not belong to the stage `S`.
    pub fn downcast_job<S: Stage>(&self) -> Option<&S> {
        self.job.as_any().downcast_ref()
    }

    /// Returns the base whose weights the job reads, if there is one.
    pub fn base(&self) -> Option<&BaseSource> {
        self.job.base()
    }

    /// Returns `stage model variant task …` on one line.
    pub fn to_line(&self) -> String {
        let parts = [self.stage().to_string(), self.labels.to_line(), self.job.distinguishing_settings()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

//! How a cell ended, as its worker tells it, before the store vouches for it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use dtr_core::error::Result;

use super::cell_spec::CellSpec;
use super::finite::ensure_finite;
use super::key::Key;
use super::now;
use super::provenance::Provenance;
use super::record::{Artifact, FORMAT, Outcome, Record};
use super::stage::Stage;

/// How a cell ended, as its worker tells it; [`super::Claim::finish`] makes a [`Record`] of it.
#[derive(Clone, Debug)]
pub struct Draft<T> {
    /// What was done: the very spec that the key was made of.
    pub spec: Value,
    /// What it was done on: the very inputs that the key was made of.
    pub inputs: BTreeMap<String, Key>,
    /// The names of the artifacts that were written.
    pub artifacts: Vec<String>,
    /// Seconds of work: of training over all the processes that took part, of the rest in the one that ended it.
    pub seconds: f64,
    /// Joules that the device took meanwhile, where it tells.
    pub joules: Option<f64>,
    /// Which program and machine did it.
    pub provenance: Provenance,
    /// How it ended.
    pub outcome: Outcome<T>,
}

impl<T: Serialize> Draft<T> {
    /// The record of the cell `key` with this end, if all its numbers are finite.
    pub(super) fn into_record(
        self,
        stage: Stage,
        key: Key,
        artifacts: BTreeMap<String, Artifact>,
    ) -> Result<Record<T>> {
        ensure_finite(&self.outcome)?;
        ensure_finite(&(self.seconds, self.joules))?;
        Ok(Record {
            format: FORMAT,
            stage,
            key,
            version: stage.version(),
            spec: self.spec,
            inputs: self.inputs,
            artifacts,
            seconds: self.seconds,
            joules: self.joules,
            finished: now(),
            provenance: self.provenance,
            outcome: self.outcome,
        })
    }
}

impl<T> Draft<T> {
    /// What the cell `key` would be if this is its draft; see [`CellSpec::key_matches`].
    pub(super) fn outline(&self, stage: Stage, key: Key) -> CellSpec {
        let (spec, inputs) = (self.spec.clone(), self.inputs.clone());
        CellSpec { stage, key, version: stage.version(), spec, inputs }
    }
}

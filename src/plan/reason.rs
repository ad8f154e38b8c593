//! Why a cell would run: what the store knows of it, and what differs from the nearest that ran.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::cells::Cell;
use super::expand::Plan;
use super::state::{CellState, Check, cell_state};
use crate::store::{CellSpec, Key, Store};
use dtr_core::error::Result;

/// Whether a cell stands, runs, or would run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Its result is there.
    Done,
    /// A process is at work on it.
    Running,
    /// It ended with an error; it runs again when a sweep is told to.
    Failed,
    /// It has no result.
    Missing,
}

/// A value of a spec that differs from the nearest cell's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The value's dotted path in the spec.
    pub path: String,
    /// What it was; absent when the path is new.
    pub before: Option<Value>,
    /// What it is; absent when the path is gone.
    pub after: Option<Value>,
}

/// Why a cell would run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing like it was ever done.
    New,
    /// The nearest cell that was done differs in these values.
    Changed(Vec<Change>),
    /// A cell it takes as input runs first.
    InputRuns(String),
    /// It ended with this error.
    Failed(String),
    /// What is left of it cannot be believed.
    Damaged(String),
}

impl Reason {
    /// The reason as one line.
    pub fn line(&self) -> String {
        match self {
            Self::New => "never done".to_owned(),
            Self::Changed(changes) => changes.iter().map(Change::line).collect::<Vec<_>>().join("; "),
            Self::InputRuns(role) => format!("waits for its {role}"),
            Self::Failed(error) => format!("failed before, and runs again with `--retry-failed`: {error}"),
            Self::Damaged(why) => why.clone(),
        }
    }
}

impl Change {
    fn line(&self) -> String {
        let show = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        format!("{}: {} -> {}", self.path, show(&self.before), show(&self.after))
    }
}

/// The status of each cell of `plan`, and why it would run if it would.
pub fn status(plan: &Plan, store: &Store) -> Result<Vec<(Status, Option<Reason>)>> {
    let mut known: BTreeMap<Key, Status> = BTreeMap::new();
    let mut all = Vec::with_capacity(plan.cells.len());
    for cell in &plan.cells {
        let (status, reason) = cell_status(cell, store, &known)?;
        known.insert(cell.key, status);
        all.push((status, reason));
    }
    Ok(all)
}

fn cell_status(
    cell: &Cell,
    store: &Store,
    known: &BTreeMap<Key, Status>,
) -> Result<(Status, Option<Reason>)> {
    let (status, reason) = match cell_state(store, cell, Check::Quick)? {
        CellState::Done => return Ok((Status::Done, None)),
        CellState::Failed(error) => (Status::Failed, Some(Reason::Failed(error))),
        CellState::Damaged(why) => (Status::Missing, Some(Reason::Damaged(why))),
        CellState::Missing => (Status::Missing, None),
    };
    if store.is_running(cell.stage, &cell.key)? {
        return Ok((Status::Running, reason));
    }
    let waits = cell.inputs.iter().find(|(_, key)| known.get(key).is_some_and(|s| *s != Status::Done));
    let reason = match (reason, waits) {
        (Some(reason), _) => reason,
        (None, Some((role, _))) => Reason::InputRuns(role.clone()),
        (None, None) => nearest(cell, &store.cell_specs(cell.stage)?),
    };
    Ok((status, Some(reason)))
}

/// Compares with the cell of the same stage that differs in the fewest values.
fn nearest(cell: &Cell, cell_specs: &[CellSpec]) -> Reason {
    let own = leaves(&cell.spec, &cell.inputs);
    cell_specs
        .iter()
        .map(|outline| changes(&leaves(&outline.spec, &outline.inputs), &own))
        .min_by_key(Vec::len)
        .map_or(Reason::New, Reason::Changed)
}

/// Every value of a spec and its inputs by dotted path.
fn leaves(spec: &Value, inputs: &BTreeMap<String, Key>) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    collect(spec, String::new(), &mut leaves);
    leaves.extend(inputs.iter().map(|(role, key)| (format!("input {role}"), Value::from(key.short()))));
    leaves
}

fn collect(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(value, path, leaves);
            }
        }
        Value::Null => {}
        value => {
            leaves.insert(path, value.clone());
        }
    }
}

fn changes(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<Change> {
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let change = |path: &String| Change {
        path: path.clone(),
        before: before.get(path).cloned(),
        after: after.get(path).cloned(),
    };
    paths.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

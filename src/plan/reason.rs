//! The status of each cell of a plan, and the reason why it would run.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::expand::Plan;
use crate::stages::Cell;
use crate::store::{CellSpec, CellState, Check, Key, Store};
use dtr_core::error::Result;

/// The status of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It has a result.
    Done,
    /// A process works on it.
    Running,
    /// It failed. `dtr sweep --retry-failed` runs it again.
    Failed,
    /// It has no result.
    Missing,
}

/// A value that differs between two specifications.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The dotted path of the value in the specification.
    pub path: String,
    /// The earlier value; `None` if there was none.
    pub before: Option<Value>,
    /// The new value; `None` if there is none.
    pub after: Option<Value>,
}

/// The reason why a cell would run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No cell of the stage has run.
    New,
    /// The most similar cell that ran differs in these values.
    Changed(Vec<Change>),
    /// Its input of this role is not done.
    InputRuns(String),
    /// It failed with this error.
    Failed(String),
    /// Its result is damaged, for this reason.
    Damaged(String),
}

impl Reason {
    /// Returns the reason as one line.
    pub fn line(&self) -> String {
        match self {
            Self::New => "never done".to_owned(),
            Self::Changed(changes) => changes.iter().map(Change::line).collect::<Vec<_>>().join("; "),
            Self::InputRuns(role) => format!("waits for its {role}"),
            Self::Failed(error) => format!("failed before, and runs again with `--retry-failed`: {error}"),
            Self::Damaged(reason) => reason.clone(),
        }
    }
}

impl Change {
    fn line(&self) -> String {
        let show = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        format!("{}: {} -> {}", self.path, show(&self.before), show(&self.after))
    }
}

/// Returns the status of each cell of `plan`, and the reason why a cell that is not done would run.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn status(plan: &Plan, store: &Store) -> Result<Vec<(Status, Option<Reason>)>> {
    let mut known: BTreeMap<Key, Status> = BTreeMap::new();
    let mut all = Vec::with_capacity(plan.cells.len());
    for cell in &plan.cells {
        let (status, reason) = cell_status(cell, store, &known)?;
        known.insert(cell.key(), status);
        all.push((status, reason));
    }
    Ok(all)
}

fn cell_status(
    cell: &Cell,
    store: &Store,
    known: &BTreeMap<Key, Status>,
) -> Result<(Status, Option<Reason>)> {
    let (status, reason) = match store.cell_state(cell.id(), Check::Quick)? {
        CellState::Done => return Ok((Status::Done, None)),
        CellState::Failed(error) => (Status::Failed, Some(Reason::Failed(error))),
        CellState::Damaged(reason) => (Status::Missing, Some(Reason::Damaged(reason))),
        CellState::Missing => (Status::Missing, None),
    };
    if store.is_running(cell.id())? {
        return Ok((Status::Running, reason));
    }
    let is_pending = |key: &Key| known.get(key).is_some_and(|status| *status != Status::Done);
    let pending_input = cell.inputs().iter().find(|(_, input)| is_pending(&input.key));
    let reason = match (reason, pending_input) {
        (Some(reason), _) => reason,
        (None, Some((role, _))) => Reason::InputRuns(role.clone()),
        (None, None) => compare_with_nearest(&cell.spec, &store.ended_specs(cell.stage())?),
    };
    Ok((status, Some(reason)))
}

/// Compares a cell with the ended cell that differs from it in the fewest values.
fn compare_with_nearest(spec: &CellSpec, ended: &[CellSpec]) -> Reason {
    let own = leaves(spec);
    ended
        .iter()
        .map(|other| changes(&leaves(other), &own))
        .min_by_key(Vec::len)
        .map_or(Reason::New, Reason::Changed)
}

/// Returns every value of a specification and its inputs, by dotted path.
fn leaves(spec: &CellSpec) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    collect_leaves(&spec.spec, String::new(), &mut leaves);
    let inputs = spec.inputs.iter();
    leaves.extend(inputs.map(|(role, input)| (format!("input {role}"), Value::from(input.key.short()))));
    leaves
}

fn collect_leaves(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect_leaves(value, path, leaves);
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

//! The status of each cell of a plan, and the reason why `dtr sweep` would run the cell.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::expand::Plan;
use crate::stages::Cell;
use crate::store::{CellKey, CellSpec, CellState, CheckDepth, Store};
use dtr_core::error::Result;

/// The status of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellStatus {
    /// The cell has a result.
    Done,
    /// A process works on the cell.
    Running,
    /// The cell failed. `dtr sweep --retry-failed` runs it again.
    Failed,
    /// The cell has no result, or its result is damaged.
    Missing,
}

/// A value that differs between two specifications.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpecChange {
    /// The dotted path of the value in the specification.
    pub path: String,
    /// The value in the earlier specification. `None` if the earlier specification has no such value.
    pub before: Option<Value>,
    /// The value in the new specification. `None` if the new specification has no such value.
    pub after: Option<Value>,
}

/// The reason why a cell would run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunReason {
    /// No cell of the same stage has been recorded.
    New,
    /// No recorded cell has the same specification. The most similar recorded cell of the stage differs in
    /// these values.
    Changed(Vec<SpecChange>),
    /// The cell reads the result of another cell, which is not done. The text is the role of the other cell,
    /// such as `twins`.
    InputRuns(String),
    /// The cell failed with this error.
    Failed(String),
    /// The cell's result is damaged. The text describes the damage.
    Damaged(String),
}

impl RunReason {
    /// Returns the reason as one line.
    pub fn to_line(&self) -> String {
        match self {
            Self::New => "never done".to_owned(),
            Self::Changed(changes) => changes.iter().map(SpecChange::to_line).collect::<Vec<_>>().join("; "),
            Self::InputRuns(role) => format!("waits for its {role}"),
            Self::Failed(error) => format!("failed before, and runs again with `--retry-failed`: {error}"),
            Self::Damaged(reason) => reason.clone(),
        }
    }
}

impl SpecChange {
    /// Returns the change as `path: before -> after`.
    pub fn to_line(&self) -> String {
        let show = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        format!("{}: {} -> {}", self.path, show(&self.before), show(&self.after))
    }
}

/// Returns the status of each cell of `plan`. For a cell that is not done, also returns the reason why it
/// would run.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn cell_statuses(plan: &Plan, store: &Store) -> Result<Vec<(CellStatus, Option<RunReason>)>> {
    let mut statuses: BTreeMap<CellKey, CellStatus> = BTreeMap::new();
    let mut all = Vec::with_capacity(plan.cells.len());
    for cell in &plan.cells {
        let (status, reason) = find_cell_status(cell, store, &statuses)?;
        statuses.insert(cell.key(), status);
        all.push((status, reason));
    }
    Ok(all)
}

fn find_cell_status(
    cell: &Cell,
    store: &Store,
    statuses: &BTreeMap<CellKey, CellStatus>,
) -> Result<(CellStatus, Option<RunReason>)> {
    let (status, reason) = match store.cell_state(cell.id(), CheckDepth::Quick)? {
        CellState::Done => return Ok((CellStatus::Done, None)),
        CellState::Failed(error) => (CellStatus::Failed, Some(RunReason::Failed(error))),
        CellState::Damaged(reason) => (CellStatus::Missing, Some(RunReason::Damaged(reason))),
        CellState::Missing => (CellStatus::Missing, None),
    };
    if store.is_running(cell.id())? {
        return Ok((CellStatus::Running, reason));
    }
    let is_pending = |key: &CellKey| statuses.get(key).is_some_and(|status| *status != CellStatus::Done);
    let pending_input = cell.inputs().iter().find(|(_, input)| is_pending(&input.key));
    let reason = match (reason, pending_input) {
        (Some(reason), _) => reason,
        (None, Some((role, _))) => RunReason::InputRuns(role.clone()),
        (None, None) => compare_with_nearest(&cell.spec, &store.recorded_specs(cell.stage())?),
    };
    Ok((status, Some(reason)))
}

/// Compares a cell with the recorded cell that differs from it in the fewest values.
fn compare_with_nearest(spec: &CellSpec, recorded: &[CellSpec]) -> RunReason {
    let own = flatten_spec(spec);
    recorded
        .iter()
        .map(|other| compare_values(&flatten_spec(other), &own))
        .min_by_key(Vec::len)
        .map_or(RunReason::New, RunReason::Changed)
}

/// Compares two JSON values. Ignores members that are `null`.
pub fn compare_json(before: &Value, after: &Value) -> Vec<SpecChange> {
    let [before, after] = [before, after].map(|value| {
        let mut values = BTreeMap::new();
        flatten_value(value, String::new(), &mut values);
        values
    });
    compare_values(&before, &after)
}

/// Returns all values of a specification except nulls, by dotted path. The key of each input is also a value.
fn flatten_spec(spec: &CellSpec) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    flatten_value(&spec.spec, String::new(), &mut values);
    let inputs = spec.inputs.iter();
    values.extend(inputs.map(|(role, input)| (format!("input {role}"), Value::from(input.key.short()))));
    values
}

fn flatten_value(value: &Value, path: String, values: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten_value(value, path, values);
            }
        }
        Value::Null => {}
        value => {
            values.insert(path, value.clone());
        }
    }
}

fn compare_values(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<SpecChange> {
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let change = |path: &String| SpecChange {
        path: path.clone(),
        before: before.get(path).cloned(),
        after: after.get(path).cloned(),
    };
    paths.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

//! Expands a manifest into the cells of each combination of sweep axis values, without duplicates. A sweep
//! axis is a manifest key with several values.

use std::collections::{BTreeMap, BTreeSet};

use super::compatibility;
use super::compatibility_cache::CompatibilityCache;
use super::downloads::Downloads;
use super::portable;
use super::selection::CellSelection;
use crate::device::{self, MachineLabel};
use crate::manifest::{LoadedManifest, Manifest};
use crate::stages::{Cell, InputIdentities, Planner, STAGES, SweepPoint, stage_order};
use crate::store::{CellKey, StageName};
use dtr_core::error::Result;

/// The cells of an experiment.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the experiment.
    pub name: String,
    /// Title of the experiment's tables and figures.
    pub title: String,
    /// The research question of the experiment. `None` if the manifest has no question.
    pub question: Option<String>,
    /// Confidence level of the report's intervals.
    pub confidence: f64,
    /// The cells without duplicates, in the order of stages. A cell comes after its inputs.
    pub cells: Vec<Cell>,
    /// The cells that a sweep runs.
    pub selection: CellSelection,
    /// The models and data files that the cells read from the hub.
    pub downloads: Downloads,
    /// The identities of the files from which the keys of the cells are computed.
    pub identities: InputIdentities,
    /// Notes for the user about the files of bases, such as unused tensors.
    pub notes: BTreeSet<String>,
}

impl Plan {
    /// Returns the cell with this key, or `None` if the plan has no such cell.
    pub fn cell(&self, key: &CellKey) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.key() == *key)
    }

    /// Returns the cells of a stage, in the order of the plan.
    pub fn cells_of(&self, stage: &StageName) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.stage() == stage)
    }
}

/// Plans a loaded manifest for the CPU of this machine.
///
/// # Errors
/// Fails if a combination of axis values is invalid, or if a file of a base, corpus or task cannot be read.
pub fn plan_for_cpu(loaded: &LoadedManifest) -> Result<Plan> {
    plan_for_machine(loaded, &device::DeviceChoice::Cpu.machine_label())
}

/// Plans a loaded manifest for `machine`. Only the keys of cells that measure time depend on the machine.
///
/// # Errors
/// Fails for the same reasons as [`plan_for_cpu`].
pub fn plan_for_machine(loaded: &LoadedManifest, machine: &MachineLabel) -> Result<Plan> {
    let (mut downloads, mut notes) = (Downloads::default(), BTreeSet::new());
    let cache = CompatibilityCache::of_user();
    let plan = expand(loaded, machine, Planner::default(), |manifest| {
        downloads.add(manifest)?;
        notes.extend(compatibility::check(loaded, manifest, &cache)?);
        Ok(())
    })?;
    portable::check(loaded, &plan)?;
    Ok(Plan { downloads, notes, ..plan })
}

/// Plans a loaded manifest for `machine` without reading a file. `identities` comes from an earlier plan of
/// the same manifest.
///
/// # Errors
/// Fails if `identities` lacks an input of the manifest, or if a combination of axis values is invalid.
pub fn plan_from_identities(
    loaded: &LoadedManifest,
    machine: &MachineLabel,
    identities: InputIdentities,
) -> Result<Plan> {
    expand(loaded, machine, Planner::from_identities(identities), |_| Ok(()))
}

/// Adds the cells of each combination of axis values to `planner`. Calls `check` with the manifest of each
/// combination first.
fn expand(
    loaded: &LoadedManifest,
    machine: &MachineLabel,
    mut planner: Planner,
    mut check: impl FnMut(&Manifest) -> Result<()>,
) -> Result<Plan> {
    let manifest = &loaded.manifest;
    for values in combinations(&manifest.sweep.axes) {
        let manifest = &loaded.with_overrides(&values)?;
        let axes = &values.into_iter().map(|(key, value)| (key, value_text(&value))).collect();
        check(manifest)?;
        let point = SweepPoint { loaded, manifest, axes, machine };
        for stage in &STAGES {
            (stage.plan)(&point, &mut planner)?;
        }
    }
    let (mut cells, identities) = planner.into_parts();
    cells.sort_by_key(|cell| stage_order(cell.stage()));
    let name = manifest.name.clone().unwrap_or_default();
    Ok(Plan {
        title: manifest.report.title.clone().or(manifest.question.clone()).unwrap_or_else(|| name.clone()),
        question: manifest.question.clone(),
        name,
        confidence: manifest.report.confidence,
        cells,
        selection: CellSelection::All,
        downloads: Downloads::default(),
        identities,
        notes: BTreeSet::new(),
    })
}

/// Returns all combinations that have one value for each axis. Without axes, returns one empty combination.
fn combinations(axes: &BTreeMap<String, Vec<toml::Value>>) -> Vec<Vec<(String, toml::Value)>> {
    let mut all = vec![Vec::new()];
    for (key, values) in axes {
        all = all
            .into_iter()
            .flat_map(|combination: Vec<(String, toml::Value)>| {
                values.iter().map(move |value| {
                    let mut longer = combination.clone();
                    longer.push((key.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    all
}

/// Formats a value as a label. Strings get no quotes. `{ random = { seed = 0 } }` becomes `random:seed=0`.
fn value_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => table.iter().map(member_text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Formats an entry of a table as `key=value`. If the value is a table, returns `key:` and the entries of
/// that table.
fn member_text((key, value): (&String, &toml::Value)) -> String {
    let toml::Value::Table(table) = value else { return format!("{key}={}", value_text(value)) };
    let members: Vec<String> = table.iter().map(member_text).collect();
    if members.is_empty() { key.clone() } else { format!("{key}:{}", members.join(" ")) }
}

//! Checks the experiment's name and everything that a sweep refers to by name.

use super::dotted_key::{format_dotted_key, parse_dotted_key};
use super::load::LoadedManifest;
use super::source_map::EntryPart;
use super::suggestions::{did_you_mean, quote_list};
use super::{Exclusion, Manifest, ModelSource};
use crate::algorithms::search::StopCriterion;
use crate::algorithms::throughput::ReplacedLayerChoice;
use dtr_core::error::{Error, Result};

/// The tables whose keys can be axes of a sweep.
const SWEEPABLE: [&str; 10] = [
    "models",
    "variants",
    "tasks",
    "corpus",
    "distil",
    "search",
    "logit-distil",
    "finetune",
    "checkpoint-distil",
    "pretrain",
];

/// Maximum number of combinations of the values in `sweep.axes`.
const MAX_COMBINATIONS: usize = 10_000;

/// Maximum length of an experiment's name, in bytes. File names contain the experiment's name, and file
/// systems limit the length of file names.
const MAX_NAME_BYTES: usize = 100;

/// Checks the name, the sweep, and the models that the sweep uses.
pub(super) fn check_names_and_sweep(loaded: &LoadedManifest) -> Result<()> {
    let check = ReferenceCheck { loaded, manifest: &loaded.manifest };
    let sweep = &loaded.manifest.sweep;
    check.check_name()?;
    check.check_names("model", &sweep.model)?;
    check.check_names("variant", &sweep.variant)?;
    check.check_names("task", &sweep.task)?;
    check.check_num_combinations()?;
    sweep.axes.iter().try_for_each(|(key, values)| check.check_axis(key, values))?;
    check.check_overlapping_axes()?;
    sweep
        .exclude
        .iter()
        .enumerate()
        .try_for_each(|(index, exclude)| check.check_exclusion(index, exclude))?;
    check.check_not_empty()?;
    check.check_weightless_models()?;
    check.check_trajectory()?;
    check.check_tuned_hybrids()
}

struct ReferenceCheck<'a> {
    loaded: &'a LoadedManifest,
    manifest: &'a Manifest,
}

impl ReferenceCheck<'_> {
    fn underline_entry(&self, error: Error, path: &[&str], part: EntryPart, label: &str) -> Error {
        self.loaded.source_map().underline_entry(error, path, part, label)
    }

    fn check_name(&self) -> Result<()> {
        let Some(name) = &self.manifest.name else {
            let error = Error::manifest("the experiment has no `name`")
                .hint("write `name = \"my-experiment\"` at the top");
            return Err(self.underline_entry(error, &["name"], EntryPart::Key, "`name` is missing"));
        };
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed) {
            return Ok(());
        }
        let error = Error::manifest(format!("`{name}` cannot name an experiment")).hint(
            "use at most 100 lower-case letters, digits, hyphens and dots, since files are named after the experiment",
        );
        Err(self.underline_entry(error, &["name"], EntryPart::Value, "not a valid name"))
    }

    /// Returns the names that are defined for an axis.
    fn defined_names(&self, axis: &str) -> Vec<&str> {
        match axis {
            "model" => self.manifest.models.keys().map(String::as_str).collect(),
            "variant" => self.manifest.variants.keys().map(String::as_str).collect(),
            _ => self.manifest.tasks.keys().map(String::as_str).collect(),
        }
    }

    /// Checks that the entries of `sweep.model`, `.variant` or `.task` are defined and differ.
    fn check_names(&self, axis: &str, entries: &[String]) -> Result<()> {
        let defined = self.defined_names(axis);
        for (index, entry) in entries.iter().enumerate() {
            let path = ["sweep", axis, &index.to_string()];
            if !defined.contains(&entry.as_str()) {
                let error = Error::manifest(format!("no {axis} is called `{entry}`")).hint(did_you_mean(
                    entry,
                    &defined,
                    &format!("the {axis}s defined are"),
                ));
                return Err(self.underline_entry(error, &path, EntryPart::Value, "not defined"));
            }
            if entries[..index].contains(entry) {
                return Err(self.repeated_value_error(&path, entry));
            }
        }
        Ok(())
    }

    fn repeated_value_error(&self, path: &[&str], value: &str) -> Error {
        let error = Error::manifest(format!(
            "`{value}` is on the axis `{}` twice",
            format_dotted_key(&path[..path.len() - 1])
        ));
        self.underline_entry(error, path, EntryPart::Value, "repeated")
    }

    /// Checks that each value of an axis gives a valid manifest, and that these manifests differ.
    fn check_axis(&self, key: &str, values: &[toml::Value]) -> Result<()> {
        self.check_axis_key(key)?;
        if values.is_empty() {
            let error = Error::manifest(format!("the axis `{key}` has no values"));
            return Err(self.underline_entry(error, &["sweep", "axes", key], EntryPart::Value, "no values"));
        }
        let mut points = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let point = self.loaded.with_overrides(&[(key.to_owned(), value.clone())])?;
            if points.contains(&point) {
                let path = ["sweep", "axes", key, &index.to_string()];
                return Err(self.repeated_value_error(&path, &value.to_string()));
            }
            points.push(point);
        }
        Ok(())
    }

    /// Checks that the axes do not have too many combinations. The number is limited because all combinations
    /// are planned before any cell runs.
    fn check_num_combinations(&self) -> Result<()> {
        let lengths = self.manifest.sweep.axes.values().map(|values| values.len().max(1));
        if lengths.fold(1_usize, usize::saturating_mul) <= MAX_COMBINATIONS {
            return Ok(());
        }
        let error = Error::manifest(format!("the axes make more than {MAX_COMBINATIONS} combinations"))
            .hint("leave out values, or split the experiment into several");
        Err(self.underline_entry(error, &["sweep", "axes"], EntryPart::Key, "too many values"))
    }

    /// Checks that no two axes set the same value of the manifest.
    fn check_overlapping_axes(&self) -> Result<()> {
        let axes: Vec<_> = self
            .manifest
            .sweep
            .axes
            .keys()
            .map(|key| (key, parse_dotted_key(key).unwrap_or_default()))
            .collect();
        for (index, (key, path)) in axes.iter().enumerate() {
            let clashes = |other: &[String]| other.starts_with(path) || path.starts_with(other);
            if let Some((other, _)) = axes[..index].iter().find(|(_, other)| clashes(other)) {
                let error = Error::manifest(format!("the axes `{other}` and `{key}` set the same value"));
                return Err(self.underline_entry(
                    error,
                    &["sweep", "axes", key],
                    EntryPart::Key,
                    "one too many",
                ));
            }
        }
        Ok(())
    }

    fn check_axis_key(&self, key: &str) -> Result<()> {
        let refuse = |message: String, hint: String| {
            let error = Error::manifest(message).hint(hint);
            Err(self.underline_entry(error, &["sweep", "axes", key], EntryPart::Key, "not an axis"))
        };
        let path = parse_dotted_key(key).unwrap_or_default();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let axis = match path[..] {
            [axis @ ("model" | "variant" | "task")] => {
                return refuse(
                    format!("`{key}` is an axis of its own"),
                    format!("write `{axis} = […]` in `[sweep]`"),
                );
            }
            [table, ..] if !SWEEPABLE.contains(&table) => {
                let hint = did_you_mean(table, &SWEEPABLE, "an axis can be over a key of");
                return refuse(format!("no axis can be over `{key}`"), hint);
            }
            [] => return refuse(format!("`{key}` is not a dotted key"), AXIS_EXAMPLE.to_owned()),
            ["models", ..] => "model",
            ["variants", ..] => "variant",
            ["tasks", ..] => "task",
            _ => return Ok(()),
        };
        let defined = self.defined_names(axis);
        match path[1..] {
            [name, _, ..] if defined.contains(&name) => Ok(()),
            [name, ..] => refuse(
                format!("no {axis} is called `{name}`"),
                did_you_mean(name, &defined, &format!("the {axis}s defined are")),
            ),
            [] => refuse(format!("no axis can be over all of `{key}`"), AXIS_EXAMPLE.to_owned()),
        }
    }

    /// Checks that the sweep's axes contain the model, the variant and the task of an exclusion. Otherwise,
    /// the exclusion would match nothing.
    fn check_exclusion(&self, index: usize, exclude: &Exclusion) -> Result<()> {
        let sweep = &self.manifest.sweep;
        for (axis, name, entries) in [
            ("model", &exclude.model, &sweep.model),
            ("variant", &exclude.variant, &sweep.variant),
            ("task", &exclude.task, &sweep.task),
        ] {
            let Some(name) = name.as_ref().filter(|name| !entries.contains(name)) else { continue };
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            let error = Error::manifest(format!("this excludes nothing: `{name}` is not in `sweep.{axis}`"))
                .hint(did_you_mean(name, &entries, &format!("in `sweep.{axis}` are")));
            let path = ["sweep", "exclude", &index.to_string(), axis];
            return Err(self.underline_entry(error, &path, EntryPart::Value, "matches nothing"));
        }
        Ok(())
    }

    fn check_not_empty(&self) -> Result<()> {
        let sweep = &self.manifest.sweep;
        let is_timed = self.manifest.throughput.is_enabled();
        for (axis, entries) in [("model", &sweep.model), ("task", &sweep.task)] {
            if entries.is_empty() && !(is_timed && axis == "task") {
                let error = Error::manifest(format!("the sweep names no {axis}, so it has no cells"))
                    .hint(format!("the {axis}s defined are {}", quote_list(&self.defined_names(axis))));
                return Err(self.underline_entry(
                    error,
                    &["sweep", axis],
                    EntryPart::Value,
                    &format!("no {axis}"),
                ));
            }
        }
        let is_left =
            if is_timed { !sweep.model_variant_pairs().is_empty() } else { !sweep.combinations().is_empty() };
        if !is_left {
            let error = Error::manifest("the sweep excludes all of its cells");
            return Err(self.underline_entry(
                error,
                &["sweep", "exclude"],
                EntryPart::Key,
                "nothing is left",
            ));
        }
        Ok(())
    }
}

impl ReferenceCheck<'_> {
    /// Checks that no model without weights is scored on a task.
    fn check_weightless_models(&self) -> Result<()> {
        let sweep = &self.manifest.sweep;
        for (model, _, task) in sweep.combinations() {
            if let ModelSource::Shape(_) = &self.manifest.models[model].source {
                let index = sweep.model.iter().position(|name| name == model).unwrap_or_default();
                let error = Error::manifest(format!(
                    "`{model}` is only a shape, and a model without weights cannot be scored on the task `{task}`"
                ))
                .hint("time it with `[throughput]`, or exclude it from tasks with `sweep.exclude`");
                return Err(self.underline_entry(
                    error,
                    &["sweep", "model", &index.to_string()],
                    EntryPart::Value,
                    "no weights",
                ));
            }
        }
        Ok(())
    }

    /// Checks that the sweep runs a search if the manifest trains hybrids. These hybrids come from searches.
    fn check_tuned_hybrids(&self) -> Result<()> {
        let (manifest, sweep) = (self.manifest, &self.manifest.sweep);
        if sweep.combinations().iter().any(|(_, variant, _)| variant.is_some()) {
            return Ok(());
        }
        let tables =
            [("logit-distil", &manifest.logit_distil.hybrids), ("finetune", &manifest.finetune.hybrids)];
        match tables.into_iter().find(|(_, hybrids)| !hybrids.is_empty()) {
            None => Ok(()),
            Some((table, _)) => {
                let error = Error::manifest("the sweep has no search whose hybrids could be trained")
                    .hint("add variants to `sweep.variant` and tasks to `sweep.task`");
                Err(self.underline_entry(error, &[table, "hybrids"], EntryPart::Value, "of no search"))
            }
        }
    }

    /// Checks `throughput.layers = { trajectory = … }`. This setting times hybrids with the layers that a
    /// search replaced. The sweep must run a search for each timed model and variant. No search may stop
    /// before it has replaced all layers.
    fn check_trajectory(&self) -> Result<()> {
        let (throughput, sweep) = (&self.manifest.throughput, &self.manifest.sweep);
        let ReplacedLayerChoice::Trajectory { task } = &throughput.layers else { return Ok(()) };
        if !throughput.is_enabled() {
            return Ok(());
        }
        let place = ["throughput", "layers", "trajectory", "task"];
        let searched = sweep.combinations();
        let lacks = |(model, variant): &(&str, Option<&str>)| {
            variant.is_some() && !searched.contains(&(*model, *variant, task.as_str()))
        };
        if let Some((model, variant)) = sweep.model_variant_pairs().into_iter().find(lacks) {
            let variant = variant.unwrap_or_default();
            let error = Error::manifest(format!(
                "the sweep has no search of `{model}` and `{variant}` for the task `{task}`"
            ))
            .hint("name a task of `sweep.task` that is not excluded for this model and variant");
            return Err(self.underline_entry(error, &place, EntryPart::Value, "not searched"));
        }
        match self.manifest.search.stop {
            StopCriterion::Never {} => Ok(()),
            StopCriterion::MaxRelativeDrop(_) | StopCriterion::MinScore(_) => {
                let message = "the search may stop before it has replaced all layers";
                let error = Error::manifest(message)
                    .hint("write `search.stop = { never = {} }`, or time evenly spread layers with `throughput.layers = { uniform = {} }`");
                Err(self.underline_entry(error, &place, EntryPart::Value, "may stop before the last layer"))
            }
        }
    }
}

const AXIS_EXAMPLE: &str = "write for example `\"distil.token-budget\" = [\"1M\", \"10M\"]`";

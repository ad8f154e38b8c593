//! The experiment's name, and the names on its sweep's axes.

use super::load::Loaded;
use super::node::{dotted, steps};
use super::spans::At;
use super::suggest::{did_you_mean, listed};
use super::{Exclude, Manifest, ModelSource};
use crate::algorithms::search::StopCriterion;
use crate::algorithms::throughput::TimedLayers;
use dtr_core::error::{Error, Result};

/// The tables that an axis may reach into; the others change no result, or are the sweep itself.
const SWEPT: [&str; 7] = ["models", "variants", "tasks", "corpus", "distil", "search", "pretrain"];

/// The most combinations of the axes' values.
const MOST_COMBINATIONS: usize = 10_000;

/// The longest name of an experiment, in bytes: file systems take somewhat more.
const LONGEST_NAME: usize = 100;

/// Checks what a sweep needs and what it names.
pub(super) fn check(loaded: &Loaded) -> Result<()> {
    let check = Check { loaded, manifest: &loaded.manifest };
    let sweep = &loaded.manifest.sweep;
    check.name()?;
    check.named("model", &sweep.model)?;
    check.named("variant", &sweep.variant)?;
    check.named("task", &sweep.task)?;
    check.few_enough()?;
    sweep.axes.iter().try_for_each(|(key, values)| check.axis(key, values))?;
    check.apart()?;
    sweep.exclude.iter().enumerate().try_for_each(|(index, exclude)| check.exclude(index, exclude))?;
    check.not_empty()?;
    check.shapes()?;
    check.trajectory()
}

struct Check<'a> {
    loaded: &'a Loaded,
    manifest: &'a Manifest,
}

impl Check<'_> {
    fn point(&self, error: Error, path: &[&str], at: At, label: &str) -> Error {
        self.loaded.sources().point(error, path, at, label)
    }

    fn name(&self) -> Result<()> {
        let Some(name) = &self.manifest.name else {
            let error = Error::manifest("the experiment has no `name`")
                .hint("write `name = \"my-experiment\"` at the top");
            return Err(self.point(error, &["name"], At::Key, "`name` is missing"));
        };
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        if (1..=LONGEST_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed) {
            return Ok(());
        }
        let error = Error::manifest(format!("`{name}` cannot name an experiment")).hint(
            "names are at most 100 lower-case letters, digits, hyphens and dots, as files are named after them",
        );
        Err(self.point(error, &["name"], At::Value, "not such a name"))
    }

    /// The names defined for an axis.
    fn defined(&self, axis: &str) -> Vec<&str> {
        match axis {
            "model" => self.manifest.models.keys().map(String::as_str).collect(),
            "variant" => self.manifest.variants.keys().map(String::as_str).collect(),
            _ => self.manifest.tasks.keys().map(String::as_str).collect(),
        }
    }

    /// The entries of `sweep.model`, `.variant` or `.task` must be defined, and differ.
    fn named(&self, axis: &str, entries: &[String]) -> Result<()> {
        let defined = self.defined(axis);
        for (index, entry) in entries.iter().enumerate() {
            let path = ["sweep", axis, &index.to_string()];
            if !defined.contains(&entry.as_str()) {
                let error = Error::manifest(format!("no {axis} is called `{entry}`")).hint(did_you_mean(
                    entry,
                    &defined,
                    &format!("the {axis}s defined are"),
                ));
                return Err(self.point(error, &path, At::Value, "not defined"));
            }
            if entries[..index].contains(entry) {
                return Err(self.twice(&path, entry));
            }
        }
        Ok(())
    }

    fn twice(&self, path: &[&str], value: &str) -> Error {
        let error =
            Error::manifest(format!("`{value}` is on the axis `{}` twice", dotted(&path[..path.len() - 1])));
        self.point(error, path, At::Value, "the same cells again")
    }

    /// An axis over a dotted key: each of its values must make a manifest.
    fn axis(&self, key: &str, values: &[toml::Value]) -> Result<()> {
        self.axis_key(key)?;
        if values.is_empty() {
            let error = Error::manifest(format!("the axis `{key}` has no values"));
            return Err(self.point(error, &["sweep", "axes", key], At::Value, "no values, so no cells"));
        }
        let mut points = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let point = self.loaded.with(&[(key.to_owned(), value.clone())])?;
            if points.contains(&point) {
                let path = ["sweep", "axes", key, &index.to_string()];
                return Err(self.twice(&path, &value.to_string()));
            }
            points.push(point);
        }
        Ok(())
    }

    /// Axes multiply, and every combination is looked at before anything runs.
    fn few_enough(&self) -> Result<()> {
        let lengths = self.manifest.sweep.axes.values().map(|values| values.len().max(1));
        if lengths.fold(1_usize, usize::saturating_mul) <= MOST_COMBINATIONS {
            return Ok(());
        }
        let error = Error::manifest(format!("the axes make more than {MOST_COMBINATIONS} combinations"))
            .hint("an experiment asks one question: leave out values, or make several of it");
        Err(self.point(error, &["sweep", "axes"], At::Key, "too many values"))
    }

    /// Axes that reach into one another would undo each other's values.
    fn apart(&self) -> Result<()> {
        let axes: Vec<_> =
            self.manifest.sweep.axes.keys().map(|key| (key, steps(key).unwrap_or_default())).collect();
        for (index, (key, path)) in axes.iter().enumerate() {
            let clashes = |other: &[String]| other.starts_with(path) || path.starts_with(other);
            if let Some((other, _)) = axes[..index].iter().find(|(_, other)| clashes(other)) {
                let error = Error::manifest(format!("the axes `{other}` and `{key}` set the same value"));
                return Err(self.point(error, &["sweep", "axes", key], At::Key, "one too many"));
            }
        }
        Ok(())
    }

    fn axis_key(&self, key: &str) -> Result<()> {
        let refuse = |message: String, hint: String| {
            let error = Error::manifest(message).hint(hint);
            Err(self.point(error, &["sweep", "axes", key], At::Key, "not an axis"))
        };
        let path = steps(key).unwrap_or_default();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let axis = match path[..] {
            [axis @ ("model" | "variant" | "task")] => {
                return refuse(
                    format!("`{key}` is an axis of its own"),
                    format!("write `{axis} = […]` in `[sweep]`"),
                );
            }
            [table, ..] if !SWEPT.contains(&table) => {
                let hint = did_you_mean(table, &SWEPT, "an axis can be over a key of");
                return refuse(format!("no axis can be over `{key}`"), hint);
            }
            [] => return refuse(format!("`{key}` is not a dotted key"), EXAMPLE.to_owned()),
            ["models", ..] => "model",
            ["variants", ..] => "variant",
            ["tasks", ..] => "task",
            _ => return Ok(()),
        };
        let defined = self.defined(axis);
        match path[1..] {
            [name, _, ..] if defined.contains(&name) => Ok(()),
            [name, ..] => refuse(
                format!("no {axis} is called `{name}`"),
                did_you_mean(name, &defined, &format!("the {axis}s defined are")),
            ),
            [] => refuse(format!("no axis can be over all of `{key}`"), EXAMPLE.to_owned()),
        }
    }

    /// What an exclusion names must be on the axes, or it matches nothing.
    fn exclude(&self, index: usize, exclude: &Exclude) -> Result<()> {
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
            return Err(self.point(error, &path, At::Value, "matches nothing"));
        }
        Ok(())
    }

    fn not_empty(&self) -> Result<()> {
        let sweep = &self.manifest.sweep;
        let is_timed = self.manifest.throughput.is_asked();
        for (axis, entries) in [("model", &sweep.model), ("task", &sweep.task)] {
            if entries.is_empty() && !(is_timed && axis == "task") {
                let error = Error::manifest(format!("the sweep names no {axis}, so it has no cells"))
                    .hint(format!("the {axis}s defined are {}", listed(&self.defined(axis))));
                return Err(self.point(error, &["sweep", axis], At::Value, &format!("no {axis}")));
            }
        }
        let is_left = if is_timed { !sweep.systems().is_empty() } else { !sweep.combinations().is_empty() };
        if !is_left {
            let error = Error::manifest("the sweep excludes all of its cells");
            return Err(self.point(error, &["sweep", "exclude"], At::Key, "nothing is left"));
        }
        Ok(())
    }
}

impl Check<'_> {
    /// A base that is only a shape has no weights to score a task with.
    fn shapes(&self) -> Result<()> {
        let sweep = &self.manifest.sweep;
        for (model, _, task) in sweep.combinations() {
            if let ModelSource::Shape(_) = &self.manifest.models[model].source {
                let index = sweep.model.iter().position(|name| name == model).unwrap_or_default();
                let error = Error::manifest(format!(
                    "`{model}` is only a shape: without weights it cannot answer the task `{task}`"
                ))
                .hint("a shape can be timed (`[throughput]`); keep it from tasks with `sweep.exclude`");
                return Err(self.point(
                    error,
                    &["sweep", "model", &index.to_string()],
                    At::Value,
                    "no weights",
                ));
            }
        }
        Ok(())
    }

    /// A trajectory that is timed must be one of the sweep's, and go through all numbers of layers.
    fn trajectory(&self) -> Result<()> {
        let (throughput, sweep) = (&self.manifest.throughput, &self.manifest.sweep);
        let TimedLayers::Trajectory { task } = &throughput.layers else { return Ok(()) };
        if !throughput.is_asked() {
            return Ok(());
        }
        let place = ["throughput", "layers", "trajectory", "task"];
        let searched = sweep.combinations();
        let lacks = |(model, variant): &(&str, Option<&str>)| {
            variant.is_some() && !searched.contains(&(*model, *variant, task.as_str()))
        };
        if let Some((model, variant)) = sweep.systems().into_iter().find(lacks) {
            let variant = variant.unwrap_or_default();
            let error = Error::manifest(format!(
                "the sweep has no search of `{model}` and `{variant}` for the task `{task}`"
            ))
            .hint("name a task of `sweep.task` that is searched for each of them");
            return Err(self.point(error, &place, At::Value, "not searched"));
        }
        match self.manifest.search.stop {
            StopCriterion::Never {} => Ok(()),
            StopCriterion::MaxRelativeDrop(_) | StopCriterion::MinScore(_) => {
                let error = Error::manifest("a search that stops early has no layers for every number of them")
                    .hint("write `search.stop = { never = {} }`, or time layers that are spread evenly: `throughput.layers = { uniform = {} }`");
                Err(self.point(error, &place, At::Value, "may end before"))
            }
        }
    }
}

const EXAMPLE: &str = "write for example `\"distil.token-budget\" = [\"1M\", \"10M\"]`";

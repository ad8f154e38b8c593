//! Plans the throughput cells that a point of a sweep asks for.

use std::collections::BTreeMap;

use super::{ReplacedLayers, ThroughputJob};
use crate::algorithms::throughput::{ReplacedCounts, ReplacedLayerChoice};
use crate::manifest::{EntryPart, Manifest};
use crate::stages::cell::{Cell, CellLabels};
use crate::stages::planner::{Planner, SweepPoint};
use crate::stages::search::SearchJob;
use crate::stages::stage::Stage;
use dtr_core::error::{Error, Result};
use dtr_model::Mask;

/// Adds a cell for each combination of a base or hybrid, a context length and a batch size.
pub(super) fn plan_timings(point: &SweepPoint<'_>, planner: &mut Planner) -> Result<()> {
    let recipe = &point.manifest.throughput;
    if !recipe.is_enabled() {
        return Ok(());
    }
    let mut pairs = point.manifest.sweep.model_variant_pairs();
    pairs.sort_by_key(|(model, _)| point.manifest.is_finetuned(model));
    for (model, variant) in pairs {
        let axes = point.labels_of_searches(model).axes;
        let labels = timing_labels(point.manifest, model, variant, &axes);
        for job in jobs_of_labels(point, planner, &labels)? {
            for &context in &recipe.contexts {
                for &batch_size in &recipe.batch_sizes {
                    let job = ThroughputJob { context, batch_size, ..job.clone() };
                    let cell = Cell::new(job, labels.clone())?;
                    // Fine-tuning does not change the speed of a model. The first model's cell is enough.
                    if !point.manifest.is_finetuned(model) || !planner.has_cell(&cell.key()) {
                        planner.add_result_cell_once(cell)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Returns the jobs with the labels `labels`. Labels without a variant have one job, which times the base.
/// Labels with a variant have one job per number of replaced layers. Each of these jobs times a hybrid.
///
/// The context length and batch size of these jobs are 0. The caller sets both values.
fn jobs_of_labels(
    point: &SweepPoint<'_>,
    planner: &mut Planner,
    labels: &CellLabels,
) -> Result<Vec<ThroughputJob>> {
    let model = &labels.model;
    let config = planner.model_config(point, model)?.ok_or_else(|| {
        Error::manifest(format!("`{model}` cannot be timed before its shape is known"))
            .hint("set `config` beside `repo`")
    })?;
    let recipe = &point.manifest.throughput;
    let num_layers = config.num_layers as u32;
    let base = ThroughputJob {
        config,
        variant: None,
        layers: ReplacedLayers::Fixed(Vec::new()),
        context: 0,
        batch_size: 0,
        recipe: recipe.clone(),
        machine: point.machine.clone(),
    };
    let Some(variant) = &labels.variant else { return Ok(vec![base]) };
    let counts = recipe.replaced.for_layers(num_layers);
    if let Some(count) = counts.iter().find(|count| **count > num_layers) {
        return Err(too_many_layers_error(point, model, *count, num_layers));
    }
    let search = labels.task.as_ref().and_then(|_| {
        let axes = point.labels_of_searches(model).axes;
        let search_labels = CellLabels { axes, ..labels.clone() };
        let cell = planner.cells_of(&SearchJob::NAME).find(|cell| cell.labels == search_labels);
        cell.map(|cell| cell.id().clone())
    });
    let hybrid = |num_replaced| ThroughputJob {
        variant: Some(point.manifest.variants[variant].clone()),
        layers: match &search {
            None => ReplacedLayers::Fixed(Mask::evenly_spaced(num_layers, num_replaced).layers()),
            Some(search) => ReplacedLayers::FromSearch { num_replaced, search: search.clone() },
        },
        ..base.clone()
    };
    Ok(counts.into_iter().map(hybrid).collect())
}

/// Returns the labels of a timed base or hybrid. The labels include only the axes that affect the speed.
fn timing_labels(
    manifest: &Manifest,
    model: &str,
    variant: Option<&str>,
    axes: &BTreeMap<String, String>,
) -> CellLabels {
    let task = match &manifest.throughput.layers {
        ReplacedLayerChoice::Trajectory { task } if variant.is_some() => Some(task.clone()),
        _ => None,
    };
    let decides_speed = |key: &str| {
        task.is_some() || key.starts_with("models.") || (variant.is_some() && key.starts_with("variants."))
    };
    let axes = axes.iter().filter(|(key, _)| decides_speed(key));
    CellLabels {
        model: model.to_owned(),
        variant: variant.map(str::to_owned),
        axes: axes.map(|(key, value)| (key.clone(), value.clone())).collect(),
        task,
    }
}

/// Returns the error for a manifest that asks to replace `count` of the `num_layers` layers of `model`.
fn too_many_layers_error(point: &SweepPoint<'_>, model: &str, count: u32, num_layers: u32) -> Error {
    let error = Error::manifest(format!("`{model}` has {num_layers} layers, so {count} cannot be replaced"));
    let index = match &point.manifest.throughput.replaced {
        ReplacedCounts::Counts(counts) => counts.iter().position(|one| *one == count).unwrap_or_default(),
        ReplacedCounts::All {} | ReplacedCounts::Every(_) => 0,
    };
    let path = ["throughput", "replaced", "counts", &index.to_string()];
    point.loaded.source_map().underline_entry(error, &path, EntryPart::Value, "more than the model has")
}

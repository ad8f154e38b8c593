//! Cells that time: a base, and hybrids of it, for each context and batch size.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::cells::{Cell, Labels, Work};
use super::expand::Plan;
use super::shapes::shape;
use super::spec::ThroughputSpec;
use crate::algorithms::throughput::{Replaced, ThroughputConfig, TimedLayers};
use crate::device::HardwareLabel;
use crate::manifest::{At, Loaded, Manifest};
use crate::store::{CellSpec, Key, Stage};
use dtr_core::error::{Error, Result};
use dtr_model::Variant;
use dtr_model::{DecoderConfig, Mask};

/// Timing one base or hybrid at one context and batch size.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The base's shape.
    pub shape: DecoderConfig,
    /// The twins' shape; none where no layer is replaced.
    pub variant: Option<Variant>,
    /// The replaced layers.
    pub layers: Layers,
    /// Tokens of the prompt.
    pub context: usize,
    /// Prompts side by side.
    pub batch_size: usize,
    /// How it is timed.
    pub recipe: ThroughputConfig,
    /// What computes.
    pub machine: HardwareLabel,
}

/// Which layers are replaced.
#[derive(Clone, Debug)]
pub enum Layers {
    /// These, ascending.
    These(Vec<u32>),
    /// As many as this, as a search did; its cell.
    Of(u32, Key),
}

impl Timing {
    /// How many layers are replaced.
    pub fn num_replaced(&self) -> u32 {
        match &self.layers {
            Layers::These(layers) => layers.len() as u32,
            Layers::Of(num_replaced, _) => *num_replaced,
        }
    }

    /// Tokens that go through the model in all runs.
    pub fn num_tokens(&self) -> u64 {
        let runs = self.recipe.warm_up + self.recipe.repeats;
        (runs * self.batch_size * (self.context + self.recipe.new_tokens)) as u64
    }

    /// What tells it from others of the same base and variant.
    pub(super) fn line(&self) -> String {
        format!("replaced={} context={} batch-size={}", self.num_replaced(), self.context, self.batch_size)
    }

    /// The base at the same context and batch size, which a hybrid's speed is compared with.
    pub fn of_base(&self) -> Self {
        Self { variant: None, layers: Layers::These(Vec::new()), ..self.clone() }
    }

    /// The same on every machine that timed anything of what the store remembers, this one first.
    pub fn everywhere(&self, known: &[CellSpec]) -> Vec<Self> {
        let machine = |outline: &CellSpec| HardwareLabel::deserialize(&outline.spec["machine"]).ok();
        let others: BTreeSet<HardwareLabel> =
            known.iter().filter_map(machine).filter(|machine| *machine != self.machine).collect();
        let elsewhere = others.into_iter().map(|machine| Self { machine, ..self.clone() });
        std::iter::once(self.clone()).chain(elsewhere).collect()
    }

    fn spec(&self) -> ThroughputSpec {
        let recipe = &self.recipe;
        ThroughputSpec {
            shape: self.shape.clone(),
            block: self.variant.as_ref().map(|variant| variant.block.clone()),
            geometry: self.variant.as_ref().map(|variant| variant.geometry.clone()),
            num_replaced: self.num_replaced(),
            layers: match &self.layers {
                Layers::These(layers) => Some(layers.clone()),
                Layers::Of(..) => None,
            },
            context: self.context,
            batch_size: self.batch_size,
            new_tokens: recipe.new_tokens,
            prefill_chunk: recipe.prefill_chunk,
            warm_up: recipe.warm_up,
            repeats: recipe.repeats,
            seed: recipe.seed,
            machine: self.machine.clone(),
        }
    }
}

impl Cell {
    /// The cell that times a base or a hybrid.
    pub fn throughput(work: Timing, labels: Labels) -> Result<Self> {
        let inputs = match &work.layers {
            Layers::These(_) => BTreeMap::new(),
            Layers::Of(_, search) => BTreeMap::from([("search".to_owned(), *search)]),
        };
        Self::new(Stage::Throughput, &work.spec(), inputs, labels, Work::Throughput(work))
    }
}

/// Adds the cells that time what the sweep of `manifest` names, a point of the axes of `loaded`.
pub(super) fn expand(
    plan: &mut Plan,
    loaded: &Loaded,
    manifest: &Manifest,
    axes: &BTreeMap<String, String>,
    machine: &HardwareLabel,
) -> Result<()> {
    let recipe = &manifest.throughput;
    if !recipe.is_asked() {
        return Ok(());
    }
    for (model, variant) in manifest.sweep.systems() {
        let shape = shape(manifest, model)?.ok_or_else(|| {
            Error::manifest(format!("`{model}` cannot be timed before its shape is known"))
                .hint("name a `config` beside its `repo`")
        })?;
        let base = Timing {
            shape,
            variant: None,
            layers: Layers::These(Vec::new()),
            context: 0,
            batch_size: 0,
            recipe: recipe.clone(),
            machine: machine.clone(),
        };
        let labels = labels(manifest, model, variant, axes);
        let systems = match variant {
            None => vec![base],
            Some(variant) => hybrids(plan, loaded, manifest, &base, variant, &labels, axes)?,
        };
        for system in systems {
            for &context in &recipe.contexts {
                for &batch_size in &recipe.batch_sizes {
                    let work = Timing { context, batch_size, ..system.clone() };
                    plan.add_timed(Cell::throughput(work, labels.clone())?)?;
                }
            }
        }
    }
    Ok(())
}

/// A hybrid for each number of replaced layers.
fn hybrids(
    plan: &Plan,
    loaded: &Loaded,
    manifest: &Manifest,
    base: &Timing,
    variant: &str,
    labels: &Labels,
    axes: &BTreeMap<String, String>,
) -> Result<Vec<Timing>> {
    let num_layers = base.shape.num_layers as u32;
    let counts = base.recipe.replaced.counts(num_layers);
    if let Some(most) = counts.iter().find(|count| **count > num_layers) {
        return Err(too_many(loaded, &labels.model, &base.recipe.replaced, *most, num_layers));
    }
    let search = match &labels.task {
        None => None,
        Some(_) => {
            let wanted = Labels { axes: axes.clone(), ..labels.clone() };
            plan.of(Stage::Search).find(|cell| cell.labels == wanted).map(|cell| cell.key)
        }
    };
    let of = |num_replaced| Timing {
        variant: Some(manifest.variants[variant].clone()),
        layers: match search {
            None => Layers::These(Mask::evenly_spaced(num_layers, num_replaced).layers()),
            Some(search) => Layers::Of(num_replaced, search),
        },
        ..base.clone()
    };
    Ok(counts.into_iter().map(of).collect())
}

/// What a timed system is called: its speed depends on few of the axes.
fn labels(
    manifest: &Manifest,
    model: &str,
    variant: Option<&str>,
    axes: &BTreeMap<String, String>,
) -> Labels {
    let task = match &manifest.throughput.layers {
        TimedLayers::Trajectory { task } if variant.is_some() => Some(task.clone()),
        _ => None,
    };
    let decides = |key: &str| {
        task.is_some() || key.starts_with("models.") || (variant.is_some() && key.starts_with("variants."))
    };
    Labels {
        model: model.to_owned(),
        variant: variant.map(str::to_owned),
        axes: axes
            .iter()
            .filter(|(key, _)| decides(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        task,
    }
}

fn too_many(loaded: &Loaded, model: &str, replaced: &Replaced, count: u32, num_layers: u32) -> Error {
    let error =
        Error::manifest(format!("`{model}` has {num_layers} layers, so that {count} cannot be replaced"));
    let index = match replaced {
        Replaced::Counts(counts) => counts.iter().position(|one| *one == count).unwrap_or_default(),
        Replaced::All {} | Replaced::Every(_) => 0,
    };
    let path = ["throughput", "replaced", "counts", &index.to_string()];
    loaded.sources().point(error, &path, At::Value, "more than it has")
}

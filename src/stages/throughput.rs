//! The stage `throughput`: times prefill and decoding of a base or a hybrid with random weights.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::cell::{Cell, Labels};
use super::models::find_done;
use super::planner::{Planner, SweepPoint};
use super::search::SearchJob;
use super::stage::{Completion, Stage, Usage};
use crate::algorithms::throughput::{
    PromptShape, ReplacedCounts, ThroughputConfig, ThroughputResult, TiledWeights, TimedLayers,
    measure_throughput,
};
use crate::device::HardwareLabel;
use crate::manifest::{Dtype, EntryPart, Manifest};
use crate::resources::{Resources, cache_bytes, twin_bytes, weight_bytes};
use crate::runner::{ClaimOutcome, ClaimedCell, RunContext};
use crate::store::{CellId, CellSpec, Inputs, StageName, Store};
use dtr_core::error::{Error, Result};
use dtr_core::process::CpuTimes;
use dtr_core::seed::Seed;
use dtr_model::{
    BlockConfig, Decoder, DecoderConfig, GeometryConfig, Hybrid, Mask, TwinInit, Twins, Variant,
};

/// The job that times one base or hybrid at one context and batch size.
#[derive(Clone, Debug)]
pub struct ThroughputJob {
    /// The shape of the base.
    pub config: DecoderConfig,
    /// The shape of the twins; `None` for a base.
    pub variant: Option<Variant>,
    /// The replaced layers.
    pub layers: ReplacedLayers,
    /// Number of tokens of a prompt.
    pub context: usize,
    /// Number of prompts in a batch.
    pub batch_size: usize,
    /// The settings of the measurement.
    pub recipe: ThroughputConfig,
    /// The machine that computes.
    pub machine: HardwareLabel,
}

/// The layers that a timed hybrid replaces.
#[derive(Clone, Debug)]
pub enum ReplacedLayers {
    /// These layers, ascending.
    Fixed(Vec<u32>),
    /// The layers of a search's hybrid.
    FromSearch {
        /// The number of replaced layers.
        num_replaced: u32,
        /// The search.
        search: CellId,
    },
}

/// Everything that decides a speed: shapes, settings and the machine, but no weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThroughputSpec {
    /// The shape of the base.
    pub shape: DecoderConfig,
    /// The kind of linear block; `None` for a base.
    pub block: Option<BlockConfig>,
    /// The heads and widths of the linear block.
    pub geometry: Option<GeometryConfig>,
    /// Number of replaced layers.
    pub num_replaced: u32,
    /// The replaced layers, ascending; `None` if the input `search` has chosen them.
    pub layers: Option<Vec<u32>>,
    /// Number of tokens of a prompt.
    pub context: usize,
    /// Number of prompts in a batch.
    pub batch_size: usize,
    /// Number of tokens decoded after a prompt.
    pub new_tokens: usize,
    /// Number of tokens of each prompt that a forward pass reads.
    pub prefill_chunk: usize,
    /// Number of warm-up runs, whose times are dropped.
    pub warm_up: usize,
    /// Number of runs that are timed.
    pub repeats: usize,
    /// The seed of prompts and weights.
    pub seed: Seed,
    /// The machine that computes.
    pub machine: HardwareLabel,
}

impl Stage for ThroughputJob {
    const NAME: StageName = StageName::new("throughput");
    const VERSION: u32 = 4;
    const MEASURES_TIME: bool = true;
    type Spec = ThroughputSpec;
    type Output = ThroughputResult;
    type Cache = RandomModels;

    fn spec(&self) -> Result<ThroughputSpec> {
        let recipe = &self.recipe;
        Ok(ThroughputSpec {
            shape: self.config.clone(),
            block: self.variant.as_ref().map(|variant| variant.block.clone()),
            geometry: self.variant.as_ref().map(|variant| variant.geometry.clone()),
            num_replaced: self.num_replaced(),
            layers: match &self.layers {
                ReplacedLayers::Fixed(layers) => Some(layers.clone()),
                ReplacedLayers::FromSearch { .. } => None,
            },
            context: self.context,
            batch_size: self.batch_size,
            new_tokens: recipe.new_tokens,
            prefill_chunk: recipe.prefill_chunk,
            warm_up: recipe.warm_up,
            repeats: recipe.repeats,
            seed: recipe.seed,
            machine: self.machine.clone(),
        })
    }

    fn inputs(&self) -> Inputs {
        match &self.layers {
            ReplacedLayers::Fixed(_) => Inputs::new(),
            ReplacedLayers::FromSearch { search, .. } => {
                Inputs::from([("search".to_owned(), search.clone())])
            }
        }
    }

    fn config(&self) -> Result<Option<DecoderConfig>> {
        Ok(Some(self.config.clone()))
    }

    fn detail(&self) -> String {
        format!("replaced={} context={} batch-size={}", self.num_replaced(), self.context, self.batch_size)
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> Resources {
        let twins = self.variant.as_ref().map_or(0, |variant| twin_bytes(config, variant, Dtype::F32));
        let weight_bytes = weight_bytes(config, Dtype::F32) + twins;
        let num_full_layers = config.num_layers - self.num_replaced() as usize;
        let num_positions = self.batch_size * (self.context + self.recipe.new_tokens);
        Resources {
            tokens: self.num_tokens(),
            weight_bytes,
            peak_bytes: weight_bytes + cache_bytes(config, num_full_layers, num_positions),
            ..Resources::default()
        }
    }

    fn usage(&self, _output: &ThroughputResult) -> Usage {
        Usage { tokens: self.num_tokens(), evaluations: 0 }
    }

    fn on_other_machines(&self, ended: &[CellSpec]) -> Vec<Self> {
        let machine = |cell: &CellSpec| HardwareLabel::deserialize(&cell.spec["machine"]).ok();
        let machines: BTreeSet<HardwareLabel> =
            ended.iter().filter_map(machine).filter(|machine| *machine != self.machine).collect();
        machines.into_iter().map(|machine| Self { machine, ..self.clone() }).collect()
    }

    fn plan(point: &SweepPoint<'_>, planner: &mut Planner) -> Result<()> {
        let recipe = &point.manifest.throughput;
        if !recipe.is_enabled() {
            return Ok(());
        }
        for (model, variant) in point.manifest.sweep.systems() {
            let labels = labels(point.manifest, model, variant, point.axes);
            for system in systems(point, planner, &labels)? {
                for &context in &recipe.contexts {
                    for &batch_size in &recipe.batch_sizes {
                        let job = Self { context, batch_size, ..system.clone() };
                        planner.add_result_once(Cell::new(job, labels.clone())?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut RandomModels,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<Completion>> {
        group.iter().map(|(cell, job)| job.run_one(context, models, cell)).collect()
    }
}

impl ThroughputJob {
    /// Returns the number of replaced layers.
    pub fn num_replaced(&self) -> u32 {
        match &self.layers {
            ReplacedLayers::Fixed(layers) => layers.len() as u32,
            ReplacedLayers::FromSearch { num_replaced, .. } => *num_replaced,
        }
    }

    /// Returns the number of tokens that go through the model in all runs.
    pub fn num_tokens(&self) -> u64 {
        let runs = self.recipe.warm_up + self.recipe.repeats;
        (runs * self.batch_size * (self.context + self.recipe.new_tokens)) as u64
    }

    /// Returns the job that times the base at the same context and batch size, as the reference for a hybrid.
    pub fn of_base(&self) -> Self {
        Self { variant: None, layers: ReplacedLayers::Fixed(Vec::new()), ..self.clone() }
    }

    fn run_one(
        &self,
        context: &RunContext<'_>,
        models: &mut RandomModels,
        cell: &Cell,
    ) -> Result<Completion> {
        let claimed = match ClaimedCell::claim_wait::<ThroughputResult>(context, &cell.spec, cell.line())? {
            ClaimOutcome::Claimed(claimed) => claimed,
            ClaimOutcome::Done(_) => return Ok(Completion::ByOtherProcess),
        };
        claimed.begin()?;
        let watch = context.meter.start();
        let result = self.measure(context, models, cell)?;
        claimed.finish(watch.usage(), &[], Vec::new(), result)?;
        Ok(Completion::ByThisProcess)
    }

    fn measure(
        &self,
        context: &RunContext<'_>,
        models: &mut RandomModels,
        cell: &Cell,
    ) -> Result<ThroughputResult> {
        let mask: Mask = self.replaced_layers(context.store)?.into_iter().collect();
        let (base, twins) = models.load(self, context.device())?;
        let model = match twins {
            Some(twins) => Hybrid::new(base, twins, &mask),
            None => Hybrid::from_base(base),
        };
        let task = context.progress.task(&cell.line(), self.num_tokens(), "tokens");
        let shape = PromptShape { context: self.context, batch_size: self.batch_size };
        let load_before = CpuTimes::now();
        let (bytes, runs) = measure_throughput(&model, &self.recipe, shape, context.device(), &task)?;
        let other_cpus = load_before.zip(CpuTimes::now()).map(|(before, now)| before.other_cpus_until(&now));
        Ok(ThroughputResult {
            layers: mask.layers(),
            cache_bytes: bytes.cache,
            state_bytes: bytes.recurrent,
            other_cpus,
            runs,
        })
    }

    fn replaced_layers(&self, store: &Store) -> Result<Vec<u32>> {
        let (num_replaced, search) = match &self.layers {
            ReplacedLayers::Fixed(layers) => return Ok(layers.clone()),
            ReplacedLayers::FromSearch { num_replaced, search } => (*num_replaced, search),
        };
        let result = find_done::<SearchJob>(store, search)?.outcome;
        let round = result.rounds.into_iter().find(|round| round.num_replaced == num_replaced);
        let missing = || Error::failed(format!("{search} has no hybrid with {num_replaced} layers replaced"));
        Ok(round.ok_or_else(missing)?.layers)
    }
}

/// The base and the twins with random weights of the job that was timed last.
#[derive(Default)]
pub struct RandomModels {
    base: Option<(DecoderConfig, Seed, Decoder)>,
    twins: Option<(Variant, Twins)>,
}

impl RandomModels {
    /// Returns a base of the job's shape, and twins for it if layers are replaced.
    fn load(&mut self, job: &ThroughputJob, device: &Device) -> Result<(&Decoder, Option<&Twins>)> {
        let seed = job.recipe.seed;
        let is_loaded = self.base.as_ref().is_some_and(|base| base.0 == job.config && base.1 == seed);
        if !is_loaded {
            // Drop the previous base first, since two bases may not fit in memory.
            *self = Self::default();
            let mut source = TiledWeights::new(seed.child("throughput/base"), device);
            self.base = Some((job.config.clone(), seed, Decoder::new(&job.config, &mut source)?));
        }
        let (_, _, base) = self.base.as_ref().expect("the base was loaded above");
        let Some(variant) = &job.variant else { return Ok((base, None)) };
        // Initial values do not change the speed, and only random initial values allow any geometry.
        let variant = Variant { init: TwinInit::Random, ..variant.clone() };
        if self.twins.as_ref().is_none_or(|twins| twins.0 != variant) {
            self.twins = None;
            let mut source = TiledWeights::new(seed.child("throughput/twins"), device);
            let twins = Twins::new(&variant, base, &mut source)?;
            self.twins = Some((variant, twins));
        }
        Ok((base, self.twins.as_ref().map(|(_, twins)| twins)))
    }
}

/// Returns the systems to time under `labels`: the base, or a hybrid for each number of replaced layers.
///
/// The caller sets the context and batch size, which are 0 here.
fn systems(point: &SweepPoint<'_>, planner: &mut Planner, labels: &Labels) -> Result<Vec<ThroughputJob>> {
    let model = &labels.model;
    let config = planner.config(point, model)?.ok_or_else(|| {
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
        return Err(too_many_layers(point, model, *count, num_layers));
    }
    let search = labels.task.as_ref().and_then(|_| {
        let searched = Labels { axes: point.axes.clone(), ..labels.clone() };
        let cell = planner.cells_of(&SearchJob::NAME).find(|cell| cell.labels == searched);
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

/// Returns the labels of a timed system, with only the axes on which its speed depends.
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
    let decides_speed = |key: &str| {
        task.is_some() || key.starts_with("models.") || (variant.is_some() && key.starts_with("variants."))
    };
    let axes = axes.iter().filter(|(key, _)| decides_speed(key));
    Labels {
        model: model.to_owned(),
        variant: variant.map(str::to_owned),
        axes: axes.map(|(key, value)| (key.clone(), value.clone())).collect(),
        task,
    }
}

fn too_many_layers(point: &SweepPoint<'_>, model: &str, count: u32, num_layers: u32) -> Error {
    let error =
        Error::manifest(format!("`{model}` has {num_layers} layers, so that {count} cannot be replaced"));
    let index = match &point.manifest.throughput.replaced {
        ReplacedCounts::Counts(counts) => counts.iter().position(|one| *one == count).unwrap_or_default(),
        ReplacedCounts::All {} | ReplacedCounts::Every(_) => 0,
    };
    let path = ["throughput", "replaced", "counts", &index.to_string()];
    point.loaded.source_map().label_entry(error, &path, EntryPart::Value, "more than it has")
}

//! The stage `throughput`: times the prefill and the decoding of a base or a hybrid with random weights.

mod plan;
mod random_models;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use random_models::RandomModelCache;

use super::cell::Cell;
use super::models::find_done_record;
use super::planner::{Planner, SweepPoint};
use super::search::SearchJob;
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::algorithms::throughput::{PromptShape, ThroughputConfig, ThroughputResult, measure_throughput};
use crate::device::MachineLabel;
use crate::manifest::Dtype;
use crate::resources::{ResourceEstimate, kv_cache_bytes, twin_bytes, weight_bytes};
use crate::runner::{ClaimOutcome, RunContext, RunningCell, UsageRecorder};
use crate::store::{CellId, CellInputs, CellSpec, StageName, Store};
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_core::system_info::CpuTimes;
use dtr_model::{BlockConfig, DecoderConfig, GeometryConfig, Hybrid, Mask, TwinVariant};

/// The job that times one base or hybrid at one context length and one batch size.
#[derive(Clone, Debug)]
pub struct ThroughputJob {
    /// The shape of the base.
    pub config: DecoderConfig,
    /// The shape of the twins. `None` if the base is timed.
    pub variant: Option<TwinVariant>,
    /// The replaced layers.
    pub layers: ReplacedLayers,
    /// Number of tokens of a prompt.
    pub context: usize,
    /// Number of prompts in a batch.
    pub batch_size: usize,
    /// The settings of the measurement.
    pub recipe: ThroughputConfig,
    /// The machine that runs the model.
    pub machine: MachineLabel,
}

/// The layers that a timed hybrid replaces.
#[derive(Clone, Debug)]
pub enum ReplacedLayers {
    /// The given layers, ascending.
    Fixed(Vec<u32>),
    /// The layers of the hybrid that a search found for a given number of replaced layers.
    FromSearch {
        /// The number of replaced layers.
        num_replaced: u32,
        /// The search cell.
        search: CellId,
    },
}

/// Everything that a speed depends on, apart from the cell's inputs: shapes, settings and the machine. All
/// fields are part of the cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThroughputSpec {
    /// The shape of the base.
    pub shape: DecoderConfig,
    /// The kind of linear block. `None` for a base.
    pub block: Option<BlockConfig>,
    /// The heads and widths of the linear block. `None` for a base.
    pub geometry: Option<GeometryConfig>,
    /// Number of replaced layers.
    pub num_replaced: u32,
    /// The replaced layers, ascending. `None` if the result of the cell's input `search` names the layers.
    pub layers: Option<Vec<u32>>,
    /// Number of tokens of a prompt.
    pub context: usize,
    /// Number of prompts in a batch.
    pub batch_size: usize,
    /// Number of tokens that each run decodes after a prompt.
    pub new_tokens: usize,
    /// Number of tokens of each prompt that one forward pass of the prefill processes.
    pub prefill_chunk: usize,
    /// Number of warm-up runs, whose times are discarded.
    pub warm_up: usize,
    /// Number of timed runs.
    pub repeats: usize,
    /// The seed of prompts and weights.
    pub seed: Seed,
    /// The machine that runs the model.
    pub machine: MachineLabel,
}

impl Stage for ThroughputJob {
    const NAME: StageName = StageName::new("throughput");
    const VERSION: u32 = 4;
    const MEASURES_TIME: bool = true;
    type Spec = ThroughputSpec;
    type Output = ThroughputResult;
    type Cache = RandomModelCache;

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

    fn inputs(&self) -> CellInputs {
        match &self.layers {
            ReplacedLayers::Fixed(_) => CellInputs::new(),
            ReplacedLayers::FromSearch { search, .. } => {
                CellInputs::from([("search".to_owned(), search.clone())])
            }
        }
    }

    fn config(&self) -> Result<Option<DecoderConfig>> {
        Ok(Some(self.config.clone()))
    }

    fn distinguishing_settings(&self) -> String {
        format!("replaced={} context={} batch-size={}", self.num_replaced(), self.context, self.batch_size)
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let twins = self.variant.as_ref().map_or(0, |variant| twin_bytes(config, variant, Dtype::F32));
        let weight_bytes = weight_bytes(config, Dtype::F32) + twins;
        let num_full_layers = config.num_layers - self.num_replaced() as usize;
        let num_positions = self.batch_size * (self.context + self.recipe.new_tokens);
        ResourceEstimate {
            tokens: self.num_tokens(),
            weight_bytes,
            peak_bytes: weight_bytes + kv_cache_bytes(config, num_full_layers, num_positions),
            ..ResourceEstimate::default()
        }
    }

    fn count_work(&self, _output: &ThroughputResult) -> WorkCounts {
        WorkCounts { tokens: self.num_tokens(), evaluations: 0 }
    }

    fn jobs_on_other_machines(&self, recorded: &[CellSpec]) -> Vec<Self> {
        let machine = |cell: &CellSpec| MachineLabel::deserialize(&cell.spec["machine"]).ok();
        let machines: BTreeSet<MachineLabel> =
            recorded.iter().filter_map(machine).filter(|machine| *machine != self.machine).collect();
        machines.into_iter().map(|machine| Self { machine, ..self.clone() }).collect()
    }

    fn plan(point: &SweepPoint<'_>, planner: &mut Planner) -> Result<()> {
        plan::plan_timings(point, planner)
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut RandomModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
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

    /// Returns the job that times the base at the same context length and batch size. The speed-up of this
    /// job's hybrid is relative to the speed of that base.
    pub fn to_base_job(&self) -> Self {
        Self { variant: None, layers: ReplacedLayers::Fixed(Vec::new()), ..self.clone() }
    }

    fn run_one(
        &self,
        context: &RunContext<'_>,
        models: &mut RandomModelCache,
        cell: &Cell,
    ) -> Result<CompletedBy> {
        let claimed =
            match RunningCell::claim_blocking::<ThroughputResult>(context, &cell.spec, cell.to_line())? {
                ClaimOutcome::Claimed(claimed) => claimed,
                ClaimOutcome::Done(_) => return Ok(CompletedBy::OtherProcess),
            };
        let recorder = UsageRecorder::begin(vec![&claimed])?;
        let result = self.measure(context, models, cell)?;
        recorder.finish(0, &[], Vec::new(), result)?;
        Ok(CompletedBy::ThisProcess)
    }

    fn measure(
        &self,
        context: &RunContext<'_>,
        models: &mut RandomModelCache,
        cell: &Cell,
    ) -> Result<ThroughputResult> {
        let mask: Mask = self.replaced_layers(context.store)?.into_iter().collect();
        let (base, twins) = models.load(self, context.device())?;
        let model = match twins {
            Some(twins) => Hybrid::new(base, twins, &mask),
            None => Hybrid::from_base(base),
        };
        let task = context.progress.start_task(&cell.to_line(), self.num_tokens(), "tokens");
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
        let result = find_done_record::<SearchJob>(store, search)?.outcome;
        let round = result.rounds.into_iter().find(|round| round.num_replaced == num_replaced);
        let missing = || Error::failed(format!("{search} has no hybrid with {num_replaced} layers replaced"));
        Ok(round.ok_or_else(missing)?.layers)
    }
}

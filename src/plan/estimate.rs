//! What an experiment will cost, as far as a plan can know: evaluations, tokens, downloads, memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cells::{Cell, Work};
use super::expand::Plan;
use super::memory::{Lessons, element};
use super::shapes::shape;
use crate::algorithms::score::MAX_CACHE_BYTES;
use crate::hub;
use crate::manifest::{Dtype, Manifest, ModelSource};
use crate::store::{Key, Stage};
use dtr_core::error::Result;
use dtr_model::Variant;
use dtr_model::{BaseModel, DecoderConfig, Mixer};

/// Bytes of a parameter, a moment, a gradient or an activation in memory.
const BYTES: u64 = 4;

/// Bytes of a parameter in a repository: 16-bit weights.
const STORED_BYTES: u64 = 2;

/// What the cells that are not done will cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Cells to do, by stage.
    pub cells: BTreeMap<Stage, usize>,
    /// Scorings of a hybrid on a split, if every search replaces every layer and none is remembered.
    pub evaluations_at_most: u64,
    /// Tokens that twins learn from, over all distillations; one teacher serves all variants of a base.
    pub distil_tokens: u64,
    /// Tokens read and decoded to time them.
    pub throughput_tokens: u64,
    /// Bytes of weights to download, where they are 16 bits wide.
    pub download_bytes: u64,
    /// Files of rows and text to download, of sizes that only the hub knows.
    pub download_files: usize,
    /// Memory of the device, by base.
    pub memory: BTreeMap<String, Memory>,
    /// Repositories whose commit is not known, since the hub could not be asked: keys change when it is.
    pub unpinned: BTreeSet<String>,
    /// Bases whose shape is not known before they are downloaded.
    pub unknown: BTreeSet<String>,
}

/// Bytes on the device, the temporaries of a pass left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Base, twins of all variants that learn together with moments and gradients, and one batch of lessons; in bf16, which only a
    /// GPU computes, the peak there, temporaries and all.
    pub distil_bytes: u64,
    /// Base, twins of one variant, and kept hidden states.
    pub search_bytes: u64,
    /// Base, twins of one variant, and keys and values of the longest context in the largest batch that is timed.
    pub throughput_bytes: u64,
}

impl Estimate {
    /// What the cells of `plan` for which `is_to_do` will cost.
    ///
    /// # Errors
    /// When the configuration of a base on disk cannot be read.
    pub fn of(plan: &Plan, manifest: &Manifest, is_to_do: impl Fn(&Cell) -> bool) -> Result<Self> {
        let mut estimate = Self::default();
        let to_do: Vec<&Cell> = plan.cells.iter().filter(|cell| is_to_do(cell)).collect();
        let mut shapes = Shapes { manifest, known: BTreeMap::new() };
        for cell in &to_do {
            *estimate.cells.entry(cell.stage).or_default() += 1;
            let Some(config) = shapes.of(&cell.labels.model)? else {
                estimate.unknown.insert(cell.labels.model.clone());
                continue;
            };
            estimate.evaluations_at_most += evaluations(cell, config.num_layers as u64);
        }
        let distillations: Vec<&Cell> =
            to_do.iter().copied().filter(|cell| cell.stage == Stage::Distil).collect();
        estimate.distil_tokens = distillations.iter().map(|cell| tokens(cell)).sum();
        estimate.throughput_tokens = to_do.iter().map(|cell| timed_tokens(cell)).sum();
        let takes_memory = |stage| matches!(stage, Stage::Distil | Stage::Search | Stage::Throughput);
        for cell in to_do.iter().filter(|cell| takes_memory(cell.stage)) {
            if let Some(config) = shapes.of(&cell.labels.model)? {
                let memory = estimate.memory.entry(cell.labels.model.clone()).or_default();
                *memory = memory.max(need(cell, plan, &distillations, &config));
            }
        }
        if !to_do.is_empty() {
            estimate.add_downloads(plan, &mut shapes)?;
        }
        Ok(estimate)
    }

    fn add_downloads(&mut self, plan: &Plan, shapes: &mut Shapes<'_>) -> Result<()> {
        let hub = hub::default_hub();
        // What is only timed needs no weights.
        let answering: BTreeSet<&str> =
            shapes.manifest.sweep.combinations().into_iter().map(|(model, ..)| model).collect();
        for model in answering {
            let ModelSource::Hub(source) = &shapes.manifest.models[model].source else { continue };
            if !BaseModel::has_all_files(&hub.snapshot_folder(&hub.pin_if_reachable(&source.into())?)) {
                let parameters = shapes.of(model)?.map_or(0, |config| config.num_parameters());
                self.download_bytes += STORED_BYTES * parameters;
            }
        }
        let names = plan.needs.files.iter().map(|(pinned, _)| pinned).chain(&plan.needs.models);
        self.unpinned = names.filter(|pinned| !pinned.repo().is_pinned()).map(ToString::to_string).collect();
        let absent = |(pinned, file): &&(hub::PinnedRepo, String)| hub.cached_file(pinned, file).is_none();
        self.download_files = plan.needs.files.iter().filter(absent).count();
        Ok(())
    }
}

impl Memory {
    fn max(self, other: Self) -> Self {
        Self {
            distil_bytes: self.distil_bytes.max(other.distil_bytes),
            search_bytes: self.search_bytes.max(other.search_bytes),
            throughput_bytes: self.throughput_bytes.max(other.throughput_bytes),
        }
    }
}

/// Shapes of bases, each read once.
struct Shapes<'a> {
    manifest: &'a Manifest,
    known: BTreeMap<String, Option<DecoderConfig>>,
}

impl Shapes<'_> {
    /// The shape of a base; none where only the hub has it.
    fn of(&mut self, model: &str) -> Result<Option<DecoderConfig>> {
        if !self.known.contains_key(model) {
            let config = shape(self.manifest, model)?;
            self.known.insert(model.to_owned(), config);
        }
        Ok(self.known[model].clone())
    }
}

/// Scorings that a cell asks for at most.
fn evaluations(cell: &Cell, num_layers: u64) -> u64 {
    match &cell.work {
        Work::Search(work) => work.evaluations_at_most(num_layers),
        Work::Score(_) => 1,
        Work::Pretrain(_) | Work::Distil(_) | Work::Throughput(_) => 0,
    }
}

fn tokens(cell: &Cell) -> u64 {
    match &cell.work {
        Work::Distil(work) => work.recipe.token_budget.0,
        _ => 0,
    }
}

fn timed_tokens(cell: &Cell) -> u64 {
    match &cell.work {
        Work::Throughput(work) => work.num_tokens(),
        _ => 0,
    }
}

fn need(cell: &Cell, plan: &Plan, distillations: &[&Cell], config: &DecoderConfig) -> Memory {
    let dtype = cell.base().map_or(Dtype::F32, |base| base.dtype());
    let base = element(dtype) * config.num_parameters();
    let twins =
        |variant: &Variant| BYTES * config.num_layers as u64 * Mixer::num_twin_parameters(variant, config);
    let variant_of = |key: &Key| match plan.cell(key).map(|cell| &cell.work) {
        Some(Work::Distil(work)) => Some(&work.variant),
        _ => None,
    };
    match &cell.work {
        Work::Distil(work) => {
            let beside = distillations.iter().filter_map(|other| match &other.work {
                Work::Distil(other) if work.learns_with(other) => Some(&other.variant),
                _ => None,
            });
            if dtype == Dtype::Bf16 {
                let lessons = Lessons { config, dtype, variants: beside.collect(), recipe: &work.recipe };
                return Memory { distil_bytes: lessons.bytes(config.num_layers), ..Memory::default() };
            }
            // A parameter, its two moments and its gradient.
            let learning = 4 * beside.map(twins).sum::<u64>();
            let batch = (work.recipe.batch_size * work.recipe.sequence_length) as u64;
            let lessons = 2 * BYTES * batch * (config.num_layers * config.hidden_size) as u64;
            Memory { distil_bytes: base + learning + lessons, ..Memory::default() }
        }
        Work::Search(work) => {
            let twins = variant_of(&work.twins).map_or(0, twins);
            Memory { search_bytes: base + twins + MAX_CACHE_BYTES as u64, ..Memory::default() }
        }
        Work::Throughput(work) => {
            let twins = work.variant.as_ref().map_or(0, twins);
            let full = config.num_layers - work.num_replaced() as usize;
            let row = 2 * full * config.num_kv_heads * config.head_dim;
            let cache = BYTES * (row * work.batch_size * (work.context + work.recipe.new_tokens)) as u64;
            Memory { throughput_bytes: base + twins + cache, ..Memory::default() }
        }
        Work::Pretrain(_) | Work::Score(_) => Memory::default(),
    }
}

//! Adds up the resources of a plan's cells: evaluations, tokens, downloads and memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::expand::Plan;
use super::generated_tokens::GeneratedTokens;
use crate::hub::{self, PinnedRepo};
use crate::resources::ResourceEstimate;
use crate::stages::{BaseSource, Cell, ModelIdentity};
use crate::store::StageName;
use dtr_core::error::{Error, Result};
use dtr_core::files::format_bytes;
use dtr_model::BaseModel;

/// Bytes of one parameter in a repository of the hub, on the assumption that weights there have 16 bits.
const STORED_BYTES: u64 = 2;

/// The resources of the cells that are not done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlanEstimate {
    /// Number of cells, by stage.
    pub cells: BTreeMap<StageName, usize>,
    /// Maximum number of times that a base or a hybrid is scored. This number is reached if every search
    /// replaces every layer and no score is cached.
    pub max_evaluations: u64,
    /// Maximum number of tokens that models generate for generative tasks.
    pub max_generated_tokens: u64,
    /// Number of tokens for training or timing, by stage. The tokens of a distillation are counted once for
    /// each variant, although one forward pass of the base serves all variants.
    pub tokens: BTreeMap<StageName, u64>,
    /// Bytes of weights to download, on the assumption that the weights have 16 bits.
    pub download_bytes: u64,
    /// Number of data files to download. Only the hub knows their sizes.
    pub download_files: usize,
    /// Peak memory in bytes, by base and stage. See [`ResourceEstimate::peak_bytes`].
    pub memory: BTreeMap<String, BTreeMap<StageName, u64>>,
    /// Repositories whose commit is unknown because the hub cannot be reached. Cells that read these
    /// repositories get new keys once the commits are known.
    pub unpinned: BTreeSet<String>,
    /// Bases that must be downloaded before their shape is known.
    pub unknown: BTreeSet<String>,
}

impl PlanEstimate {
    /// Estimates the resources of the cells of `plan` for which `is_to_do` returns true.
    ///
    /// # Errors
    /// Fails if the configuration of a base on disk or the items of a task cannot be read.
    pub fn new(plan: &Plan, is_to_do: impl Fn(&Cell) -> bool) -> Result<Self> {
        let mut estimate = Self::default();
        let cells: Vec<&Cell> = plan.cells.iter().filter(|cell| is_to_do(cell)).collect();
        let mut generated = GeneratedTokens::default();
        for cell in &cells {
            estimate.max_generated_tokens += generated.of_cell(cell)?;
            *estimate.cells.entry(cell.stage().clone()).or_default() += 1;
            match cell.job.config()? {
                Some(config) => estimate.add(cell, cell.job.resources(&config, &cells)),
                None => drop(estimate.unknown.insert(cell.labels.model.clone())),
            }
        }
        if !cells.is_empty() {
            estimate.add_downloads(plan)?;
        }
        Ok(estimate)
    }

    fn add(&mut self, cell: &Cell, resources: ResourceEstimate) {
        let stage = cell.stage();
        self.max_evaluations += resources.evaluations;
        if resources.tokens > 0 {
            *self.tokens.entry(stage.clone()).or_default() += resources.tokens;
        }
        if resources.peak_bytes > 0 {
            let by_stage = self.memory.entry(cell.labels.model.clone()).or_default();
            let peak_bytes = by_stage.entry(stage.clone()).or_default();
            *peak_bytes = resources.peak_bytes.max(*peak_bytes);
        }
    }

    fn add_downloads(&mut self, plan: &Plan) -> Result<()> {
        let hub = hub::default_hub();
        let mut missing: BTreeMap<&PinnedRepo, &BaseSource> = BTreeMap::new();
        for base in plan.cells.iter().filter_map(Cell::base) {
            if let BaseSource::Stored { path, identity: ModelIdentity::Hub(pinned), .. } = base
                && !BaseModel::has_all_files(path)
            {
                missing.insert(pinned, base);
            }
        }
        for base in missing.values() {
            self.download_bytes += STORED_BYTES * base.config()?.map_or(0, |config| config.num_parameters());
        }
        let downloads = &plan.downloads;
        let repositories = downloads.files.iter().map(|(pinned, _)| pinned).chain(&downloads.models);
        let unpinned = repositories.filter(|pinned| !pinned.repo().is_pinned());
        self.unpinned = unpinned.map(ToString::to_string).collect();
        let is_missing = |(pinned, file): &&(PinnedRepo, String)| hub.cached_file(pinned, file).is_none();
        self.download_files = downloads.files.iter().filter(is_missing).count();
        Ok(())
    }
}

/// Checks that the weights of a cell fit in `limit` bytes.
///
/// # Errors
/// Fails if the weights do not fit, or if the configuration of a base cannot be read.
pub fn ensure_weights_fit(cell: &Cell, limit: u64) -> Result<()> {
    let Some(config) = cell.job.config()? else { return Ok(()) };
    match cell.job.resources(&config, &[cell]).weight_bytes {
        bytes if bytes <= limit => Ok(()),
        bytes => Err(Error::environment(format!(
            "it needs {} of memory for its weights alone, and this machine has {}",
            format_bytes(bytes),
            format_bytes(limit)
        ))
        .hint("choose a smaller base, or a machine with more memory")),
    }
}

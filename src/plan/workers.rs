//! Plans the workers that run score cells and search cells in parallel: their number, and the memory of each.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::device::DeviceChoice;
use crate::resources::GPU_OVERHEAD_BYTES;
use crate::stages::{Cell, ScoreJob, SearchJob, Stage};
use crate::store::StageName;
use dtr_core::error::Result;

/// The device of a sweep, and the number of workers that the user asked for.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// The device on which all workers compute.
    pub device: DeviceChoice,
    /// The number of workers that the user asked for. `None` means one.
    pub requested: Option<NonZeroUsize>,
}

impl WorkerOptions {
    /// Returns whether the user asked for several workers.
    pub fn requests_several(self) -> bool {
        self.requested.is_some_and(|count| count.get() > 1)
    }
}

/// The number of workers that run cells in parallel, and the memory of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerPlan {
    /// Number of workers.
    pub count: usize,
    /// Bytes of memory that each worker may use on each device. `None` if the system does not report its
    /// memory.
    pub memory_limit: Option<u64>,
    /// Estimated peak memory of a worker in bytes. `None` if the shape of a base is unknown.
    pub peak_bytes: Option<u64>,
}

/// The estimated memory of a cell.
#[derive(Clone, Copy, Debug)]
struct CellMemory {
    weight_bytes: u64,
    peak_bytes: u64,
}

impl WorkerPlan {
    /// Plans the workers for `cells`, which can run in parallel. The workers share `memory_limit` bytes on
    /// each device.
    ///
    /// The count is at most the number of cells, and at most the number of workers whose weights fit in
    /// memory.
    ///
    /// # Errors
    /// Fails if the configuration of a base cannot be read.
    pub fn new(cells: &[&Cell], options: WorkerOptions, memory_limit: Option<u64>) -> Result<Self> {
        let memories = cells.iter().map(|cell| cell_memory(cell, options.device)).collect::<Result<_>>()?;
        let memories: Option<Vec<CellMemory>> = memories;
        let requested = options.requested.map_or(1, NonZeroUsize::get);
        let count = worker_count(requested, cells.len(), memories.as_deref(), memory_limit);
        Ok(Self {
            count,
            memory_limit: memory_limit.map(|bytes| bytes / count as u64),
            peak_bytes: memories.and_then(|all| all.iter().map(|memory| memory.peak_bytes).max()),
        })
    }
}

/// Returns whether the cells of a stage can run in parallel. Trainings and timings cannot, because each needs
/// the whole device.
pub fn can_run_in_parallel(stage: &StageName) -> bool {
    [ScoreJob::NAME, SearchJob::NAME].contains(stage)
}

/// Returns the memory of a cell, or `None` if the shape of its base is unknown.
fn cell_memory(cell: &Cell, device: DeviceChoice) -> Result<Option<CellMemory>> {
    let Some(config) = cell.job.config()? else { return Ok(None) };
    let resources = cell.job.resources(&config, &[cell]);
    let overhead = if device == DeviceChoice::Cpu { 0 } else { GPU_OVERHEAD_BYTES };
    let peak_bytes = resources.peak_bytes.max(resources.weight_bytes) + overhead;
    Ok(Some(CellMemory { weight_bytes: resources.weight_bytes, peak_bytes }))
}

/// Returns the number of workers: the requested number, limited to the number of cells and to the number of
/// workers whose weights fit in memory. It is at least one.
fn worker_count(
    requested: usize,
    num_cells: usize,
    memories: Option<&[CellMemory]>,
    limit: Option<u64>,
) -> usize {
    let num_fitting = match (memories, limit) {
        (Some(memories), Some(limit)) => count_fitting(memories, limit),
        _ => usize::MAX,
    };
    requested.min(num_cells).min(num_fitting).max(1)
}

/// Returns how many workers fit in `limit` bytes if each holds the weights of the largest cell. Ignores cells
/// whose weights alone exceed `limit`, because these cells fail before they start.
fn count_fitting(memories: &[CellMemory], limit: u64) -> usize {
    let runnable = memories.iter().map(|memory| memory.weight_bytes).filter(|bytes| *bytes <= limit);
    let largest = runnable.max().unwrap_or(0);
    limit.checked_div(largest).map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn memories(gib: &[(u64, u64)]) -> Vec<CellMemory> {
        let memory =
            |(weights, peak): &(u64, u64)| CellMemory { weight_bytes: weights * GIB, peak_bytes: peak * GIB };
        gib.iter().map(memory).collect()
    }

    #[test]
    fn there_is_one_worker_without_a_request() {
        let requests_several = |requested| {
            let requested = NonZeroUsize::new(requested);
            WorkerOptions { device: "cuda:0".parse().unwrap(), requested }.requests_several()
        };
        assert!(!requests_several(0) && !requests_several(1) && requests_several(2));
    }

    #[test]
    fn a_request_is_limited_by_weights_and_cells() {
        let small = memories(&[(1, 2), (1, 3)]);
        let count = |num_cells, gib| worker_count(8, num_cells, Some(&small), Some(gib * GIB));
        assert_eq!([count(12, 100), count(3, 100), count(12, 5), count(0, 100)], [8, 3, 5, 1]);
        assert_eq!(worker_count(8, 12, None, None), 8);
    }

    #[test]
    fn a_cell_whose_weights_do_not_fit_is_ignored() {
        let mixed = memories(&[(1, 2), (200, 250)]);
        assert_eq!(worker_count(4, 12, Some(&mixed), Some(100 * GIB)), 4);
        assert_eq!(worker_count(8, 12, Some(&mixed), Some(100 * GIB)), 8);
    }
}

//! Plans the workers that run score cells and search cells in parallel. A worker is a process that runs one
//! cell at a time.

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
    /// The number of workers that the user asked for. `None` means several workers if the device is a GPU and
    /// all bases are small. In all other cases, `None` means one worker.
    pub requested: Option<NonZeroUsize>,
}

/// The default number of workers on a GPU whose bases are small.
const WORKERS_ON_GPU: usize = 4;

/// The largest size of a small base's weights, in bytes. 2 GiB are about a billion parameters in bf16. With a
/// larger base, a single worker keeps a GPU busy.
const MAX_SMALL_BASE_BYTES: u64 = 2 << 30;

impl WorkerOptions {
    /// Returns whether there may be several workers.
    pub fn allows_several(self) -> bool {
        self.requested.map_or(self.device != DeviceChoice::Cpu, |count| count.get() > 1)
    }

    /// Returns the number of workers that the user asked for. Without a request, returns the default number
    /// for cells with the memory in `memories`.
    fn wanted(self, memories: Option<&[CellMemory]>) -> usize {
        let is_small = |memory: &CellMemory| memory.weight_bytes <= MAX_SMALL_BASE_BYTES;
        let default = match memories {
            Some(memories) if self.allows_several() && memories.iter().all(is_small) => WORKERS_ON_GPU,
            _ => 1,
        };
        self.requested.map_or(default, NonZeroUsize::get)
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
        let wanted = options.wanted(memories.as_deref());
        let count = worker_count(wanted, cells.len(), memories.as_deref(), memory_limit);
        Ok(Self {
            count,
            memory_limit: memory_limit.map(|bytes| bytes / count as u64),
            peak_bytes: memories.and_then(|all| all.iter().map(|memory| memory.peak_bytes).max()),
        })
    }
}

/// Returns whether the cells of a stage can run in parallel. Cells that train or measure time cannot, because
/// each needs the whole device. Cells that score trained hybrids cannot, because these hybrids are trained
/// after the cells that can.
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

/// Returns the number of workers: the wanted number, limited to the number of cells and to the number of
/// workers whose weights fit in memory. The number is at least one.
fn worker_count(
    wanted: usize,
    num_cells: usize,
    memories: Option<&[CellMemory]>,
    limit: Option<u64>,
) -> usize {
    let num_fitting = match (memories, limit) {
        (Some(memories), Some(limit)) => count_fitting(memories, limit),
        _ => usize::MAX,
    };
    wanted.min(num_cells).min(num_fitting).max(1)
}

/// Returns the number of workers that fit in `limit` bytes if each worker holds the weights of the largest
/// cell. Ignores cells whose weights alone exceed `limit`, because these cells fail before they start.
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
    fn without_a_request_several_workers_run_small_bases_on_a_gpu() {
        let wanted = |device: &str, requested, gib| {
            let options =
                WorkerOptions { device: device.parse().unwrap(), requested: NonZeroUsize::new(requested) };
            options.wanted(Some(&memories(&[(1, 2), (gib, gib)])))
        };
        assert_eq!([wanted("cuda:0", 0, 1), wanted("cuda:0", 0, 3), wanted("cpu", 0, 1)], [4, 1, 1]);
        assert_eq!([wanted("cuda:0", 1, 1), wanted("cuda:0", 8, 3), wanted("cpu", 2, 1)], [1, 8, 2]);
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

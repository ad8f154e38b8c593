//! Attention on CUDA devices. For many queries (prefill), each block computes a tile of queries. For few
//! queries (decode), each block reads a part of the keys.

#![allow(unsafe_code)]

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::TensorMap;
use crate::cuda::{
    CudaKernel, CudaSource, GpuContext, KernelArg, LaunchDims, contiguous, dims, empty, empty_time_major,
    from_cube, gpu_context, int_args, into_cube, pointer, pointer_and_strides, pointer_or_null,
    position_stride, with_contiguous_rows,
};

static PREFILL: CudaSource = CudaSource { name: "prefill", text: include_str!("prefill.cu") };
static PREFILL_SM90: CudaSource = CudaSource { name: "prefill_sm90", text: include_str!("prefill_sm90.cu") };
static DECODE: CudaSource = CudaSource { name: "decode", text: include_str!("decode.cu") };

/// The most queries per key/value head for which the decode kernel is used.
const MAX_DECODE_QUERIES: usize = 64;

/// Computes attention of `q_bhtk` over the first `num_keys` keys of cache buffers `[b, g, capacity, k]`. The
/// queries of batch row `row` see the keys from `first_keys_b[row]` on. This form has no gradient.
pub(super) fn attention(
    tensors: [Tensor<4>; 3],
    num_keys: usize,
    first_keys_b: Option<Tensor<1, Int>>,
) -> Tensor<4> {
    let tensors = tensors.map(into_cube);
    let first_keys = first_keys_b.map(|first_keys| contiguous(into_cube(first_keys)));
    let problem = AttentionProblem::new(tensors, first_keys, num_keys, None);
    let AttentionProblem { heads, groups, num_queries, width, .. } = problem;
    let output = problem.empty_output();
    let gpu = gpu_context(&output);
    let has_hopper_kernel =
        gpu.capability == (9, 0) && problem.q.dtype() == DType::BF16 && matches!(width, 64 | 96 | 128 | 256);
    if heads / groups * num_queries <= MAX_DECODE_QUERIES {
        problem.decode(gpu, &output);
    } else if has_hopper_kernel {
        problem.prefill_on_hopper(gpu, &output);
    } else {
        problem.prefill(gpu, &output);
    }
    from_cube(output)
}

/// Computes attention of `q_bhtk` over cache buffers. `positions` holds the position of each batch row's last
/// token, `[b]`, or one position for all rows, `[1]`.
pub(crate) fn attention_from_counter(
    q_bhtk: Tensor<4>,
    [k_bgsk, v_bgsk]: [Tensor<4>; 2],
    positions: CubeTensor,
) -> Tensor<4> {
    let capacity = k_bgsk.dims()[2];
    let tensors = [q_bhtk, k_bgsk, v_bgsk].map(into_cube);
    let problem = AttentionProblem::new(tensors, None, capacity, Some(positions));
    let output = problem.empty_output();
    problem.decode(gpu_context(&output), &output);
    from_cube(output)
}

/// The attention of queries `[b, h, t, k]` over the first `num_keys` keys of buffers `[b, g, capacity, k]`.
struct AttentionProblem {
    q: CubeTensor,
    k: CubeTensor,
    v: CubeTensor,
    /// The first key that each batch row sees, i32, `[b]`.
    first_keys: Option<CubeTensor>,
    /// The number of keys. If `positions` are set, this is the capacity of the buffers.
    num_keys: usize,
    /// The position of each batch row's last query, `[b]`, or one position for all rows, `[1]`. `None` if no
    /// counters on the device hold the positions.
    positions: Option<CubeTensor>,
    batch: usize,
    heads: usize,
    groups: usize,
    num_queries: usize,
    width: usize,
}

impl AttentionProblem {
    fn new(
        tensors: [CubeTensor; 3],
        first_keys: Option<CubeTensor>,
        num_keys: usize,
        positions: Option<CubeTensor>,
    ) -> Self {
        let [q, k, v] = tensors.map(with_contiguous_rows);
        assert!(
            q.dtype() == k.dtype() && k.dtype() == v.dtype(),
            "queries, keys and values must have the same dtype"
        );
        let ([batch, heads, num_queries, width], [_, groups, _, _]) = (dims(&q), dims::<4>(&k));
        Self { q, k, v, first_keys, num_keys, positions, batch, heads, groups, num_queries, width }
    }

    fn empty_output(&self) -> CubeTensor {
        let shape = [self.batch, self.heads, self.num_queries, self.width];
        empty_time_major(&self.q, shape, self.q.dtype())
    }

    fn kernel(&self, source: &'static CudaSource, name: &'static str) -> CudaKernel {
        CudaKernel { source, defines: format!("-DHEAD_DIM={}", self.width), name }
    }

    fn scale_arg(&self) -> KernelArg {
        KernelArg::Float((self.width as f32).powf(-0.5))
    }

    fn size_args(&self) -> Vec<KernelArg> {
        int_args([self.heads, self.groups, self.num_queries, self.num_keys])
    }

    /// Returns the strides of output, queries, keys and values.
    fn stride_args(&self, output: &CubeTensor) -> Vec<KernelArg> {
        let tensors = [output, &self.q, &self.k, &self.v];
        tensors.into_iter().flat_map(|tensor| pointer_and_strides(tensor).split_off(1)).collect()
    }

    fn prefill(&self, gpu: &GpuContext, output: &CubeTensor) {
        let width = self.width;
        let keys = if width <= 128 { 64 } else { 32 };
        let (name, rows, shared) = match self.q.dtype() {
            DType::BF16 => {
                let rows = if width <= 128 { 128 } else { 64 };
                ("prefill_bf16", rows, (rows + 2 * keys) * (width + 8) * 2)
            }
            _ => ("prefill_f32", 64, 4 * ((64 + 2 * keys) * (width + 4) + 64 * (keys + 4))),
        };
        let grid = (self.heads as u32, self.batch as u32, self.num_queries.div_ceil(rows) as u32);
        let launch = LaunchDims { grid, block: (128, 1), shared_bytes: shared as u32 };
        let arguments = [
            [output, &self.q, &self.k, &self.v].map(pointer).to_vec(),
            vec![pointer_or_null(self.first_keys.as_ref())],
            self.stride_args(output),
            self.size_args(),
            vec![self.scale_arg()],
        ];
        // SAFETY: all tensors are alive, have these sizes, and have contiguous rows. The kernel reads only
        // the first `num_keys` keys.
        gpu.with_launcher(|launcher| unsafe {
            launcher.launch(&self.kernel(&PREFILL, name), launch, &arguments.concat());
        });
    }

    fn prefill_on_hopper(&self, gpu: &GpuContext, output: &CubeTensor) {
        let consumers = if self.width == 64 { 3 } else { 2 };
        let (keys, stages) = if self.width == 256 { (64, 1) } else { (128, 2) };
        let shared = 2048 + (stages * consumers * 64 + 4 * keys) * self.width.next_multiple_of(64) * 2;
        let jobs = self.batch * self.heads * self.num_queries.div_ceil(64 * consumers);
        // A job is a tile of queries of one head. A block runs several short jobs, and loads the first tiles
        // of the next job early. Each long job has a block of its own, since the device's scheduler then
        // balances the work better.
        let is_short = 2 * self.num_keys < 2 * 3072 + self.num_queries;
        let blocks = if is_short { jobs.min(gpu.num_multiprocessors as usize) } else { jobs };
        let launch = LaunchDims {
            grid: (blocks as u32, 1, 1),
            block: (128 * (consumers as u32 + 1), 1),
            shared_bytes: shared as u32,
        };
        // The driver encodes a tensor map in the context that is current on this thread.
        gpu.bind_to_thread();
        let maps = [
            TensorMap::new(&self.q, self.num_queries, 64),
            TensorMap::new(&self.k, self.num_keys, keys as u32),
            TensorMap::new(&self.v, self.num_keys, keys as u32),
        ];
        let arguments = [
            vec![pointer(output)],
            maps.map(KernelArg::Map).to_vec(),
            vec![pointer_or_null(self.first_keys.as_ref())],
            pointer_and_strides(output).split_off(1),
            int_args([self.batch]),
            self.size_args(),
            vec![self.scale_arg()],
        ];
        // SAFETY: as in `prefill`. The tensor maps end at the last key.
        gpu.with_launcher(|launcher| unsafe {
            let kernel = self.kernel(&PREFILL_SM90, "prefill_sm90");
            launcher.launch(&kernel, launch, &arguments.concat());
        });
    }

    fn decode(&self, gpu: &GpuContext, output: &CubeTensor) {
        let queries = self.heads / self.groups * self.num_queries;
        let (name, rows) = match (self.q.dtype(), queries) {
            (DType::BF16, queries) if queries <= 8 || self.width == 256 => ("decode_bf16_8", 8),
            (DType::BF16, _) => ("decode_bf16_16", 16),
            (_, queries) if queries <= 4 || self.width == 256 => ("decode_f32_4", 4),
            _ => ("decode_f32_8", 8),
        };
        let tiles = self.batch * self.groups * queries.div_ceil(rows);
        let resident_blocks = gpu.num_multiprocessors as usize * blocks_per_multiprocessor(self.width, rows);
        let splits = num_splits(tiles, resident_blocks, self.num_keys);
        let launch = LaunchDims {
            grid: (splits as u32, (tiles / self.batch) as u32, self.batch as u32),
            block: (128, 1),
            shared_bytes: (4 * (4 * rows * (self.width + 6) + splits.max(4) * rows)) as u32,
        };
        let partials = empty(output, [tiles * splits * rows * (self.width + 6)], DType::F32);
        // The kernel computes the number of keys of a batch row as `lengths[row * stride] + added`. `lengths`
        // points to a zero or to the position counters.
        let (lengths, stride, added) = match &self.positions {
            None => (gpu.constant_zero(), 0, self.num_keys),
            Some(positions) => (pointer(positions), position_stride(positions), 1),
        };
        let first_keys = pointer_or_null(self.first_keys.as_ref());
        let arguments = [
            [output, &self.q, &self.k, &self.v].map(pointer).to_vec(),
            vec![lengths, first_keys, pointer(&partials), gpu.zeroed_counters(tiles)],
            self.stride_args(output),
            int_args([self.heads, self.groups, self.num_queries, stride, added]),
            vec![self.scale_arg()],
        ];
        // SAFETY: as in `prefill`. Every launch resets its counters of finished blocks to zero.
        gpu.with_launcher(|launcher| unsafe {
            launcher.launch(&self.kernel(&DECODE, name), launch, &arguments.concat());
        });
    }
}

/// Returns the number of blocks of the decode kernel that run on a multiprocessor at the same time.
fn blocks_per_multiprocessor(width: usize, rows: usize) -> usize {
    match (width, rows) {
        (256, 8) => 1,
        (256, _) => 2,
        (..=64, _) => 4,
        (_, 16) => 2,
        _ => 3,
    }
}

/// Returns the number of splits into which the keys are divided for each tile of queries. The device runs
/// `tiles · splits` blocks in waves of `resident_blocks` blocks. The number of splits is chosen so that the
/// last wave is nearly full.
fn num_splits(tiles: usize, resident_blocks: usize, num_keys: usize) -> usize {
    let most = num_keys.div_ceil(64).clamp(1, 128);
    for splits in 1..=most {
        let waves = (tiles * splits) as f64 / resident_blocks as f64;
        if (0.94..=1.0).contains(&waves) || (waves > 1.4 && waves / waves.ceil() > 0.85) {
            return splits;
        }
        if waves > 8.0 {
            break;
        }
    }
    most.min((resident_blocks / tiles).max(1))
}

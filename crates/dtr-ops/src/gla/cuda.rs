//! Gated linear attention on CUDA devices. One kernel loops over the chunks and stores the state before each
//! chunk. A second kernel computes the outputs (or gradients) of all chunks in parallel. A single token that
//! continues from a state takes one recurrent step instead.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply, uncomputed_final_state};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, copy_if_shared, dims, empty, empty_time_major,
    from_cube, gpu_context, int_args, into_cube, pointer, pointer_and_strides, with_contiguous_rows,
};

static GLA: CudaSource = CudaSource { name: "gla", text: include_str!("gla.cu") };

/// Computes [`gla`](super::gla) over `[q, k, v, gk]`.
pub(super) fn gla(inputs: [Tensor<4>; 4], state_bhkv: Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
    if inputs.iter().any(Tensor::is_autodiff) {
        assert!(state_bhkv.is_none(), "training cannot continue from a state");
        let ([batch, heads, _, key], value) = (inputs[0].dims(), inputs[2].dims()[3]);
        let state = uncomputed_final_state(&inputs[0], [batch, heads, key, value]);
        return (apply(CudaGla, inputs.map(Tensor::into_dispatch)), state);
    }
    let inputs = inputs.map(into_cube);
    let (output, state) = match state_bhkv {
        Some(state) => forward_from_state(inputs, into_cube(state)),
        None => {
            let [output, _, last] = forward(inputs);
            (output, last)
        }
    };
    (from_cube(output), from_cube(state))
}

/// Gated linear attention from a state of zeros, as a differentiable operation of q, k, v and gk.
#[derive(Clone, Debug)]
struct CudaGla;

impl DifferentiableOp<4> for CudaGla {
    type Backend = Cube;

    fn forward(&self, inputs: [CubeTensor; 4]) -> (CubeTensor, Vec<CubeTensor>) {
        let [output, states, _] = forward(inputs);
        (output, vec![states])
    }

    fn backward(&self, mut pass: BackwardArgs<Cube, 4>) -> [Option<CubeTensor>; 4] {
        let states = pass.saved.pop().expect("the forward pass saved its states");
        backward(pass.inputs, states, pass.output_gradient).map(Some)
    }
}

/// The sizes of the tensors, and the length of a chunk.
#[derive(Clone, Copy)]
struct GlaShape {
    batch: usize,
    heads: usize,
    groups: usize,
    time: usize,
    key: usize,
    value: usize,
    dtype: DType,
    /// The number of tokens of a chunk.
    chunk: usize,
}

impl GlaShape {
    fn new(q: &CubeTensor, v: &CubeTensor) -> Self {
        let ([batch, heads, time, key], [_, groups, _, value]) = (dims(q), dims(v));
        let chunk = if q.dtype() == DType::F32 { 32 } else { 64 };
        Self { batch, heads, groups, time, key, value, dtype: q.dtype(), chunk }
    }

    fn kernel(&self, name: &'static str) -> CudaKernel {
        let real = if self.dtype == DType::F32 { " -DREAL_F32" } else { "" };
        let defines = format!("-DKEY_WIDTH={} -DVALUE_WIDTH={}{real}", self.key, self.value);
        CudaKernel { source: &GLA, defines, name }
    }

    fn num_chunks(&self) -> usize {
        self.time.div_ceil(self.chunk)
    }

    /// Returns the bytes of a tile in shared memory. A bf16 element is stored as one bf16 number. An f32
    /// element is stored as two bf16 numbers, a high and a low part.
    fn tile_bytes(&self, rows: usize, columns: usize) -> usize {
        rows * (columns + 8) * 2 * if self.dtype == DType::F32 { 2 } else { 1 }
    }

    /// Returns the bytes of a table in shared memory: `columns` f32 numbers for each token of a chunk.
    fn table_bytes(&self, columns: usize) -> usize {
        self.chunk * (columns + 8) * 4
    }

    /// Returns the launch dimensions of the kernels that loop over the chunks. Each batch row has
    /// `num_states` states, as in [`chunk_states`].
    fn scan_dims(&self, num_states: usize) -> LaunchDims {
        let (key, value) = (slice_width(self.key), slice_width(self.value));
        let shared = 2 * (self.tile_bytes(self.chunk, key) + self.tile_bytes(self.chunk, value))
            + self.table_bytes(key)
            + 12 * key;
        let slices = self.key / key * (self.value / value);
        LaunchDims {
            grid: (slices as u32, num_states as u32, self.batch as u32),
            block: (2 * key as u32, 1),
            shared_bytes: shared as u32,
        }
    }

    /// Returns the number of threads of a block. This is 4 per token of a chunk, or 8 if the key and value
    /// widths are multiples of 32. With 8 threads per token, twice as many warps share the width of a tile.
    fn wide_block(&self) -> usize {
        let has_halves = self.key.is_multiple_of(32) && self.value.is_multiple_of(32);
        if has_halves { 8 * self.chunk } else { 4 * self.chunk }
    }

    fn chunk_dims(&self, threads: usize, shared: usize) -> LaunchDims {
        let grid = (self.num_chunks() as u32, self.groups as u32, self.batch as u32);
        LaunchDims { grid, block: (threads as u32, 1), shared_bytes: shared as u32 }
    }

    fn output_dims(&self) -> LaunchDims {
        let Self { chunk: c, key, value, .. } = *self;
        let threads = if self.dtype == DType::F32 { self.wide_block() } else { 4 * c };
        let shared = 2 * self.tile_bytes(c, key)
            + self.tile_bytes(c, value)
            + self.tile_bytes(c, c)
            + 4 * key
            + self.tile_bytes(key, value).max(self.table_bytes(key));
        self.chunk_dims(threads, shared)
    }

    fn gradient_dims(&self) -> LaunchDims {
        let Self { chunk: c, key, value, .. } = *self;
        let shared = 2 * self.table_bytes(key)
            + 4 * self.tile_bytes(c, key)
            + 2 * self.tile_bytes(c, value)
            + self.tile_bytes(key, value)
            + 2 * self.tile_bytes(c, c)
            + 8 * key
            + c / 4 * key;
        self.chunk_dims(self.wide_block(), shared)
    }
}

/// Returns the number of channels that one block computes, for heads of `width` channels.
fn slice_width(width: usize) -> usize {
    [64, 32, 16]
        .into_iter()
        .find(|slice| width.is_multiple_of(*slice))
        .expect("widths of heads are multiples of 16")
}

/// Returns the state before each chunk, `[b, num_states, chunks, k, v]`, and the last states, `[b, h, k, v]`.
/// `num_states` is the number of groups if all query heads of a group begin with the same state. Otherwise it
/// is the number of query heads. `first` points to the initial states. A null pointer stands for zeros.
fn chunk_states(
    shape: &GlaShape,
    num_states: usize,
    [k, v, gk]: [&CubeTensor; 3],
    first: KernelArg,
) -> (CubeTensor, CubeTensor) {
    let GlaShape { batch, heads, key, value, .. } = *shape;
    let states = empty(k, [batch, num_states, shape.num_chunks(), key, value], shape.dtype);
    let last = empty(k, [batch, heads, key, value], DType::F32);
    let arguments = [
        pointer_and_strides(k),
        pointer_and_strides(v),
        pointer_and_strides(gk),
        vec![first, pointer(&states), pointer(&last)],
        int_args([heads / num_states, shape.groups, shape.time]),
    ];
    // SAFETY: all tensors are alive and have contiguous rows. Their sizes match the macros and the
    // arguments of the kernel.
    gpu_context(k).with_launcher(|launcher| unsafe {
        launcher.launch(&shape.kernel("gla_states"), shape.scan_dims(num_states), &arguments.concat());
    });
    (states, last)
}

/// Returns the outputs of all chunks. `states` holds the state before each chunk.
fn chunk_outputs(
    shape: &GlaShape,
    num_states: usize,
    q: &CubeTensor,
    [k, v, gk]: [&CubeTensor; 3],
    states: &CubeTensor,
) -> CubeTensor {
    let GlaShape { batch, heads, time, value, .. } = *shape;
    let output = empty_time_major(q, [batch, heads, time, value], shape.dtype);
    let arguments = [
        pointer_and_strides(q),
        pointer_and_strides(k),
        pointer_and_strides(v),
        pointer_and_strides(gk),
        vec![pointer(states), KernelArg::Int(num_states as i32)],
        pointer_and_strides(&output),
        int_args([heads, time]),
    ];
    // SAFETY: as in `chunk_states`, which made `states` from the same tensors.
    gpu_context(q).with_launcher(|launcher| unsafe {
        launcher.launch(&shape.kernel("gla_outputs"), shape.output_dims(), &arguments.concat());
    });
    output
}

/// Returns the output and the last state. Starts from `state`, which holds one state per head.
fn forward_from_state(inputs: [CubeTensor; 4], state: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [q, k, v, gk] = inputs.map(with_contiguous_rows);
    let shape = GlaShape::new(&q, &v);
    if shape.time == 1 {
        return step(&shape, [&q, &k, &v, &gk], copy_if_shared(state));
    }
    let state = contiguous(state);
    let (states, last) = chunk_states(&shape, shape.heads, [&k, &v, &gk], pointer(&state));
    (chunk_outputs(&shape, shape.heads, &q, [&k, &v, &gk], &states), last)
}

/// Computes one token. Returns its output and the next state. The kernel overwrites the memory of `state`.
fn step(shape: &GlaShape, [q, k, v, gk]: [&CubeTensor; 4], state: CubeTensor) -> (CubeTensor, CubeTensor) {
    let GlaShape { batch, heads, groups, value, .. } = *shape;
    let output = empty_time_major(q, [batch, heads, 1, value], shape.dtype);
    let token = |tensor: &CubeTensor| pointer_and_strides(tensor)[..3].to_vec();
    let width = if value.is_multiple_of(32) { 32 } else { 16 };
    let grid = ((value / width) as u32, heads as u32, batch as u32);
    let launch = LaunchDims { grid, block: (128, 1), shared_bytes: 0 };
    let arguments = [
        token(q),
        token(k),
        token(v),
        token(gk),
        vec![pointer(&state)],
        token(&output),
        int_args([heads, groups]),
    ];
    // SAFETY: as in `chunk_states`. No other tensor shares the state's memory.
    gpu_context(q).with_launcher(|launcher| unsafe {
        launcher.launch(&shape.kernel("gla_step"), launch, &arguments.concat());
    });
    (output, state)
}

/// Returns the output, the state before each chunk, and the last state. Starts from a state of zeros. The
/// query heads of a group share keys, values and decays, and therefore also their state.
fn forward(inputs: [CubeTensor; 4]) -> [CubeTensor; 3] {
    let [q, k, v, gk] = inputs.map(with_contiguous_rows);
    let shape = GlaShape::new(&q, &v);
    let (states, last) = chunk_states(&shape, shape.groups, [&k, &v, &gk], KernelArg::Pointer(0));
    [chunk_outputs(&shape, shape.groups, &q, [&k, &v, &gk], &states), states, last]
}

/// Returns the gradients of q, k, v and gk. `states` are the states that [`forward`] returned.
fn backward(inputs: [CubeTensor; 4], states: CubeTensor, d_output: CubeTensor) -> [CubeTensor; 4] {
    let [q, k, v, gk] = inputs.map(with_contiguous_rows);
    let (states, d_output) = (contiguous(states), with_contiguous_rows(d_output));
    let shape = GlaShape::new(&q, &v);
    let GlaShape { batch, heads, groups, time, key, value, dtype, .. } = shape;
    let d_states = empty(&states, states.shape(), dtype);
    let state_arguments = [
        pointer_and_strides(&q),
        pointer_and_strides(&d_output),
        pointer_and_strides(&gk),
        vec![KernelArg::Pointer(0)],
        int_args([heads / groups]),
        vec![pointer(&d_states), KernelArg::Pointer(0)],
        int_args([heads, groups, time]),
    ];
    let gradients = [
        empty_time_major(&q, [batch, heads, time, key], dtype),
        empty_time_major(&q, [batch, groups, time, key], dtype),
        empty_time_major(&q, [batch, groups, time, value], dtype),
        empty_time_major(&q, [batch, groups, time, key], gk.dtype()),
    ];
    let input_arguments = [
        pointer_and_strides(&q),
        pointer_and_strides(&k),
        pointer_and_strides(&v),
        pointer_and_strides(&gk),
        pointer_and_strides(&d_output),
        vec![pointer(&states), pointer(&d_states)],
        int_args([groups]),
        gradients.iter().flat_map(pointer_and_strides).collect(),
        int_args([heads, time]),
    ];
    // SAFETY: as in `chunk_states`.
    gpu_context(&q).with_launcher(|launcher| unsafe {
        let kernel = shape.kernel("gla_state_grads");
        launcher.launch(&kernel, shape.scan_dims(groups), &state_arguments.concat());
        launcher.launch(&shape.kernel("gla_grads"), shape.gradient_dims(), &input_arguments.concat());
    });
    gradients
}

//! The gated delta rule on CUDA devices, in the WY form (see the [parent module](super)). The forward pass
//! computes the matrices of all chunks in parallel, and then the states chunk by chunk. The backward pass
//! repeats the forward pass, loops over the chunks in reverse, and computes the gradients of all chunks in
//! parallel.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply, uncomputed_final_state};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, copy_if_shared, cuda_type, dims, empty, empty_time_major,
    from_cube, gpu_context, int_args, into_cube, pointer, pointer_and_strides, pointer_or_null,
    with_contiguous_rows, with_layout,
};

static DELTA_RULE: CudaSource = CudaSource { name: "delta_rule", text: include_str!("delta_rule.cu") };

/// The number of tokens of a chunk.
const CHUNK: usize = 64;

const NULL: KernelArg = KernelArg::Pointer(0);

/// Computes [`gated_delta_rule`](super::gated_delta_rule).
pub(super) fn gated_delta_rule(
    [q, k, v]: [Tensor<4>; 3],
    [beta, g]: [Tensor<3>; 2],
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let ([batch, heads, _, key], value) = (q.dims(), v.dims()[3]);
    let state_shape = [batch, heads, key, value];
    if [&q, &k, &v].into_iter().any(Tensor::is_autodiff) || beta.is_autodiff() || g.is_autodiff() {
        assert!(state_bhkv.is_none(), "training cannot continue from a state");
        let state = uncomputed_final_state(&q, state_shape);
        let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
        let [beta, g] = [beta, g].map(Tensor::into_dispatch);
        return (apply(CudaGatedDelta, [q, k, v, beta, g]), state);
    }
    let state = state_bhkv.unwrap_or_else(|| Tensor::zeros(state_shape, (&q.device(), DType::F32)));
    let [q, k, v] = [q, k, v].map(into_cube);
    let [beta, g] = [beta, g].map(into_cube);
    let (output, state) = forward_from_state([q, k, v, beta, g], into_cube(state));
    (from_cube(output), from_cube(state))
}

/// The gated delta rule from a state of zeros, as a differentiable operation. Its inputs are q, k, v, beta
/// and g.
#[derive(Clone, Debug)]
struct CudaGatedDelta;

impl DifferentiableOp<5> for CudaGatedDelta {
    type Backend = Cube;

    fn forward(&self, tensors: [CubeTensor; 5]) -> (CubeTensor, Vec<CubeTensor>) {
        (forward(tensors), Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 5>) -> [Option<CubeTensor>; 5] {
        backward(pass.inputs, pass.output_gradient).map(Some)
    }
}

/// The sizes of the tensors, and the number of value channels of a thread block.
#[derive(Clone, Copy)]
struct DeltaShape {
    batch: usize,
    heads: usize,
    groups: usize,
    time: usize,
    key: usize,
    value: usize,
    dtype: DType,
    /// The number of value channels that a thread block computes.
    slice: usize,
}

impl DeltaShape {
    fn new(q: &CubeTensor, v: &CubeTensor) -> Self {
        let ([batch, heads, time, key], [_, groups, _, value]) = (dims(q), dims(v));
        let widest = if q.dtype() == DType::F32 { 32 } else { 64 };
        let slice = [64, 32, 16].into_iter().find(|slice| *slice <= widest && value.is_multiple_of(*slice));
        let slice = slice.expect("the value width must be a multiple of 16");
        Self { batch, heads, groups, time, key, value, dtype: q.dtype(), slice }
    }

    fn kernel(&self, name: &'static str) -> CudaKernel {
        let element = cuda_type(self.dtype);
        let defines =
            format!("-DELEMENT={element} -DKEY_WIDTH={} -DSLICE={} -DL2NORM=1", self.key, self.slice);
        CudaKernel { source: &DELTA_RULE, defines, name }
    }

    fn num_chunks(&self) -> usize {
        self.time.div_ceil(CHUNK)
    }

    /// Returns the length of a row in shared memory, padded against bank conflicts.
    fn padded(&self, width: usize) -> usize {
        width + 16 / self.dtype.size()
    }

    fn chunk_dims(&self, threads: u32, shared: usize) -> LaunchDims {
        let grid = (self.num_chunks() as u32, self.heads as u32, self.batch as u32);
        LaunchDims { grid, block: (threads, 1), shared_bytes: shared as u32 }
    }

    fn prepare_dims(&self) -> LaunchDims {
        let rows = CHUNK * self.padded(self.key) * self.dtype.size();
        let triangle = CHUNK * 68 * 4;
        self.chunk_dims(128, rows + triangle + rows.max(triangle))
    }

    /// Returns the launch dimensions of a kernel that loops over the chunks. Its shared memory holds
    /// `value_tiles` tiles `[tokens, values]` and `square_tiles` tiles `[tokens, tokens]`, in addition to the
    /// tiles that every such kernel needs.
    fn scan_dims(&self, value_tiles: usize, square_tiles: usize) -> LaunchDims {
        let (c, p) = (CHUNK, |width| self.padded(width));
        let elements =
            3 * c * p(self.key) + (self.key + value_tiles * c) * p(self.slice) + square_tiles * c * p(c);
        let grid = ((self.value / self.slice) as u32, self.heads as u32, self.batch as u32);
        LaunchDims { grid, block: (128, 1), shared_bytes: (self.dtype.size() * elements) as u32 }
    }

    fn gradient_dims(&self) -> LaunchDims {
        let (c, p) = (CHUNK, |width| self.padded(width));
        let elements = 2 * c * p(self.key) + 2 * c * p(c) + 2 * (c + self.key).max(192) * p(self.slice);
        self.chunk_dims(256, self.dtype.size() * elements)
    }

    fn scale_arg(&self) -> KernelArg {
        KernelArg::Float((self.key as f32).powf(-0.5))
    }

    fn size_args(&self) -> Vec<KernelArg> {
        int_args([self.time, self.heads, self.groups])
    }
}

/// The results of the kernel `delta_prepare` for all chunks. `delta_rule.cu` defines the matrices.
struct PreparedChunks {
    /// The decay, the write strength and the normalisation factors of each token, f32.
    token_scalars: CubeTensor,
    /// The matrix `M` of each chunk, which maps the chunk's residuals `R` to outputs.
    output_matrices: CubeTensor,
    /// The matrix `H` of each chunk, which maps the chunk's residuals `R` to a term of the next state.
    state_matrices: CubeTensor,
    /// The matrix `T` of each chunk. `T` is kept only if the updates `U = T R` are saved for the gradients.
    inverses: Option<CubeTensor>,
}

impl PreparedChunks {
    fn new(shape: &DeltaShape, [q, k, beta, g]: [&CubeTensor; 4], keeps_inverses: bool) -> Self {
        let DeltaShape { batch, heads, dtype, .. } = *shape;
        let per_token =
            |width: usize, dtype| empty(q, [batch, heads, shape.num_chunks(), CHUNK, width], dtype);
        let prepared = Self {
            token_scalars: per_token(4, DType::F32),
            output_matrices: per_token(CHUNK, dtype),
            state_matrices: per_token(shape.key, dtype),
            inverses: keeps_inverses.then(|| per_token(CHUNK, dtype)),
        };
        let arguments = [
            pointer_and_strides(q),
            pointer_and_strides(k),
            pointer_and_strides(beta),
            pointer_and_strides(g),
            prepared.args(),
            vec![shape.scale_arg()],
            shape.size_args(),
        ];
        // SAFETY: all tensors are alive and have contiguous rows. The kernel is compiled and called with
        // their sizes.
        gpu_context(q).with_launcher(|launcher| unsafe {
            launcher.launch(&shape.kernel("delta_prepare"), shape.prepare_dims(), &arguments.concat());
        });
        prepared
    }

    fn args(&self) -> Vec<KernelArg> {
        let mut arguments = self.args_without_inverses();
        arguments.push(pointer_or_null(self.inverses.as_ref()));
        arguments
    }

    fn args_without_inverses(&self) -> Vec<KernelArg> {
        [&self.token_scalars, &self.output_matrices, &self.state_matrices].map(pointer).to_vec()
    }
}

/// Returns the inputs in the shapes that the kernels take, with `beta` and `g` as `[b, h, t, 1]`.
fn kernel_inputs([q, k, v, beta, g]: [CubeTensor; 5]) -> [CubeTensor; 5] {
    let [q, k, v] = [q, k, v].map(with_contiguous_rows);
    let [beta, g] = [beta, g].map(|tensor| {
        let [batch, heads, time] = dims(&tensor);
        let strides = tensor.meta.strides();
        let strides = [strides[0], strides[1], strides[2], 1];
        with_layout(tensor, [batch, heads, time, 1], strides)
    });
    [q, k, v, beta, g]
}

/// Computes all tokens, starting from `state`. Returns the output and the state after the last token.
fn forward_from_state(tensors: [CubeTensor; 5], state: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [q, k, v, beta, g] = kernel_inputs(tensors);
    let shape = DeltaShape::new(&q, &v);
    let state = copy_if_shared(state);
    let DeltaShape { batch, heads, time, value, dtype, .. } = shape;
    let output = empty_time_major(&q, [batch, heads, time, value], dtype);
    if time == 1 {
        step(&shape, [&q, &k, &v, &beta, &g], &output, &state);
        return (output, state);
    }
    let prepared = PreparedChunks::new(&shape, [&q, &k, &beta, &g], false);
    let arguments = [
        pointer_and_strides(&q),
        pointer_and_strides(&k),
        pointer_and_strides(&v),
        pointer_and_strides(&output),
        prepared.args(),
        vec![pointer(&state), pointer(&state), NULL, NULL],
        shape.size_args(),
    ];
    // SAFETY: as in `PreparedChunks::new`. No other tensor shares the state's memory, and the kernel has read
    // the initial state before it writes the last state there.
    gpu_context(&q).with_launcher(|launcher| unsafe {
        launcher.launch(&shape.kernel("delta_forward"), shape.scan_dims(1, 1), &arguments.concat());
    });
    (output, state)
}

/// Computes one token. Writes `output`, and overwrites `state` with the next state.
fn step(shape: &DeltaShape, inputs: [&CubeTensor; 5], output: &CubeTensor, state: &CubeTensor) {
    let token = |tensor: &CubeTensor| pointer_and_strides(tensor)[..3].to_vec();
    let grid = ((shape.value / shape.slice.min(32)) as u32, shape.heads as u32, shape.batch as u32);
    let launch = LaunchDims { grid, block: (128, 1), shared_bytes: 0 };
    let arguments = [
        inputs.into_iter().flat_map(token).collect(),
        token(output),
        vec![pointer(state), shape.scale_arg()],
        shape.size_args()[1..].to_vec(),
    ];
    // SAFETY: as in `PreparedChunks::new`. No other tensor shares the state's memory.
    gpu_context(output).with_launcher(|launcher| unsafe {
        launcher.launch(&shape.kernel("delta_step"), launch, &arguments.concat());
    });
}

/// Returns the output, starting from a state of zeros.
fn forward(tensors: [CubeTensor; 5]) -> CubeTensor {
    let [q, k, v, beta, g] = kernel_inputs(tensors);
    let shape = DeltaShape::new(&q, &v);
    let DeltaShape { batch, heads, time, value, dtype, .. } = shape;
    let output = empty_time_major(&q, [batch, heads, time, value], dtype);
    let prepared = PreparedChunks::new(&shape, [&q, &k, &beta, &g], false);
    scan_chunks(&shape, [&q, &k, &v], &prepared, Some(&output), None);
    output
}

/// Loops over the chunks, starting from a state of zeros. Writes the outputs to `output`, if given. Writes
/// the state before each chunk and the updates `U` of each chunk to `saved`, if given.
fn scan_chunks(
    shape: &DeltaShape,
    [q, k, v]: [&CubeTensor; 3],
    prepared: &PreparedChunks,
    output: Option<&CubeTensor>,
    saved: Option<[&CubeTensor; 2]>,
) {
    let DeltaShape { batch, heads, key, value, .. } = *shape;
    let last = empty(q, [batch, heads, key, value], DType::F32);
    let no_output = vec![NULL, KernelArg::Long(0), KernelArg::Long(0), KernelArg::Long(0)];
    let arguments = [
        pointer_and_strides(q),
        pointer_and_strides(k),
        pointer_and_strides(v),
        output.map_or(no_output, pointer_and_strides),
        prepared.args(),
        vec![NULL, pointer(&last)],
        saved.map_or(vec![NULL, NULL], |saved| saved.map(pointer).to_vec()),
        shape.size_args(),
    ];
    let square_tiles = if saved.is_some() { 2 } else { 1 };
    // SAFETY: as in `PreparedChunks::new`.
    gpu_context(q).with_launcher(|launcher| unsafe {
        let dims = shape.scan_dims(1, square_tiles);
        launcher.launch(&shape.kernel("delta_forward"), dims, &arguments.concat());
    });
}

/// Returns the gradients of q, k, v, beta and g. Recomputes the intermediate results of the forward pass,
/// because saving them would take more memory than the activations of the layer.
fn backward(tensors: [CubeTensor; 5], d_output: CubeTensor) -> [CubeTensor; 5] {
    let [q, k, v, beta, g] = kernel_inputs(tensors);
    let d_output = with_contiguous_rows(d_output);
    let shape = DeltaShape::new(&q, &v);
    let DeltaShape { batch, heads, groups, time, key, value, dtype, .. } = shape;
    let prepared = PreparedChunks::new(&shape, [&q, &k, &beta, &g], true);
    let per_chunk = || empty(&q, [batch, heads, shape.num_chunks(), key, value], dtype);
    let per_token = || empty(&q, [batch, heads, shape.num_chunks(), CHUNK, value], dtype);
    let (states, updates, d_states, d_residuals) = (per_chunk(), per_token(), per_chunk(), per_token());
    scan_chunks(&shape, [&q, &k, &v], &prepared, None, Some([&states, &updates]));

    let d_q = empty_time_major(&q, [batch, heads, time, key], dtype);
    // The kernels write gradients of keys and values for each query head. If query heads share keys and
    // values, `sum_over_group` adds up the gradients of these heads.
    let by_head = |width: usize| match groups == heads {
        true => empty_time_major(&q, [batch, heads, time, width], dtype),
        false => empty(&q, [batch, heads, time, width], dtype),
    };
    let (d_k, d_v) = (by_head(key), by_head(value));
    let gate = || empty_time_major(&q, [batch, heads, time, 1], DType::F32);
    let (d_beta, d_g) = (gate(), gate());
    let scan_arguments = [
        pointer_and_strides(&q),
        pointer_and_strides(&k),
        pointer_and_strides(&d_output),
        pointer_and_strides(&d_v),
        prepared.args_without_inverses(),
        vec![NULL, NULL, pointer(&d_states), pointer(&d_residuals)],
        shape.size_args(),
    ];
    let chunk_arguments = [
        [&q, &k, &d_output, &d_q, &d_k, &d_beta, &d_g].into_iter().flat_map(pointer_and_strides).collect(),
        [&prepared.token_scalars, &states, &updates, &d_states, &d_residuals].map(pointer).to_vec(),
        vec![shape.scale_arg()],
        shape.size_args(),
        int_args([value]),
    ];
    // SAFETY: as in `PreparedChunks::new`.
    gpu_context(&q).with_launcher(|launcher| unsafe {
        let kernel = shape.kernel("delta_backward_scan");
        launcher.launch(&kernel, shape.scan_dims(3, 1), &scan_arguments.concat());
        let kernel = shape.kernel("delta_backward_chunks");
        launcher.launch(&kernel, shape.gradient_dims(), &chunk_arguments.concat());
    });
    let sum = |by_head| if groups == heads { by_head } else { sum_over_group(&shape, by_head) };
    let without_width = |tensor: CubeTensor| {
        let strides = tensor.meta.strides();
        let strides = [strides[0], strides[1], strides[2]];
        with_layout(tensor, [batch, heads, time], strides)
    };
    [d_q, sum(d_k), sum(d_v), without_width(d_beta), without_width(d_g)]
}

/// Returns the sum of the gradients `by_head`, `[b, h, t, w]`, over the heads of each group, in a fixed
/// order.
fn sum_over_group(shape: &DeltaShape, by_head: CubeTensor) -> CubeTensor {
    let DeltaShape { batch, heads, groups, time, dtype, .. } = *shape;
    let [_, _, _, width] = dims(&by_head);
    let sum = empty_time_major(&by_head, [batch, groups, time, width], dtype);
    let grid = ((time * width).div_ceil(512) as u32, groups as u32, batch as u32);
    let launch = LaunchDims { grid, block: (256, 1), shared_bytes: 0 };
    let arguments =
        [vec![pointer(&by_head)], pointer_and_strides(&sum), int_args([heads / groups, time, width])];
    // SAFETY: as in `PreparedChunks::new`. The input is dense.
    gpu_context(&sum).with_launcher(|launcher| unsafe {
        launcher.launch(&shape.kernel("delta_group_sum"), launch, &arguments.concat());
    });
    sum
}

//! Short convolutions on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::ConvState;
use crate::autodiff::{BackwardArgs, DifferentiableOp, apply, uncomputed_final_state};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, dims, empty, from_cube, gpu_context, int_args,
    into_cube, pointer_and_strides, pointer_or_null, sum_rows, with_contiguous_rows,
};

static CONV: CudaSource = CudaSource { name: "conv", text: include_str!("conv.cu") };

/// The number of tokens that a thread computes in the forward pass.
const FORWARD_SEGMENT: usize = 32;

/// The number of tokens that a thread computes in the backward pass.
const BACKWARD_SEGMENT: usize = 64;

/// Convolves `x_btd` with `taps` and applies SiLU. Returns the output, and the state after the last token.
/// The taps are a weight for all tokens, `[d, w]`, or a kernel for each token, `[b, t, d, w]`.
///
/// On an autodiff graph, no state may be given, and the returned state must not be read.
pub(super) fn conv_silu<const D: usize>(
    x_btd: Tensor<3>,
    taps: Tensor<D>,
    state: Option<ConvState>,
) -> (Tensor<3>, ConvState) {
    let ([batch, _, channels], width) = (x_btd.dims(), taps.dims()[D - 1]);
    let state_shape = [batch, width - 1, channels];
    if x_btd.is_autodiff() || taps.is_autodiff() {
        assert!(state.is_none(), "training cannot continue from a state");
        let next = uncomputed_final_state(&x_btd, state_shape);
        return (apply(ConvSilu, [x_btd.into_dispatch(), taps.into_dispatch()]), next);
    }
    let state = state.unwrap_or_else(|| Tensor::zeros(state_shape, (&x_btd.device(), x_btd.dtype())));
    let (y, next) = forward(into_cube(x_btd), into_cube(taps), Some(into_cube(state)));
    (from_cube(y), from_cube(next.expect("`forward` got a state and must return the next")))
}

/// A convolution that starts without a state. Its inputs are `x` and the taps.
#[derive(Clone, Debug)]
struct ConvSilu;

impl DifferentiableOp<2> for ConvSilu {
    type Backend = Cube;

    fn forward(&self, [x, taps]: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        (forward(x, taps, None).0, Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let [x, taps] = pass.inputs;
        backward(x, taps, pass.output_gradient).map(Some)
    }
}

struct ConvShape {
    batch: usize,
    time: usize,
    channels: usize,
    width: usize,
    dtype: DType,
    is_dynamic: bool,
    /// The number of layers in a stack, each with its own weight. It is 1 if each token has its own taps.
    layers: usize,
}

impl ConvShape {
    fn new(x: &CubeTensor, taps: &CubeTensor) -> Self {
        let [batch, time, channels] = dims(x);
        let shape = taps.shape();
        let width = *shape.last().expect("the taps must have a width axis");
        let is_dynamic = shape.num_dims() == 4;
        let layers = if is_dynamic { 1 } else { shape[0] / channels };
        Self { batch, time, channels, width, dtype: x.dtype(), is_dynamic, layers }
    }

    fn kernel(&self, static_name: &'static str, dynamic_name: &'static str) -> CudaKernel {
        let real = if self.dtype == DType::F32 { " -DREAL_F32" } else { "" };
        let name = if self.is_dynamic { dynamic_name } else { static_name };
        CudaKernel { source: &CONV, defines: format!("-DCONV_WIDTH={}{real}", self.width), name }
    }

    fn launch_dims(&self, segment: usize) -> LaunchDims {
        let (channels, segments) = (self.channels.div_ceil(4 * 128), self.time.div_ceil(segment));
        let grid = (channels as u32, segments as u32, self.batch as u32);
        LaunchDims { grid, block: (128, 1), shared_bytes: 0 }
    }

    /// Returns the address of the taps and, if each token has its own taps, their strides.
    fn tap_args(&self, taps: &CubeTensor) -> Vec<KernelArg> {
        let mut arguments = pointer_and_strides(taps);
        arguments.truncate(if self.is_dynamic { 3 } else { 1 });
        arguments
    }

    fn size_args(&self) -> Vec<KernelArg> {
        // The third argument, 1, makes the kernels apply SiLU.
        let mut arguments = int_args([self.channels, self.time, 1, self.batch / self.layers]);
        arguments.truncate(if self.is_dynamic { 3 } else { 4 });
        arguments
    }
}

/// Returns the output and, if there is a state, the next state.
fn forward(x: CubeTensor, taps: CubeTensor, state: Option<CubeTensor>) -> (CubeTensor, Option<CubeTensor>) {
    let (x, taps, state) = (with_contiguous_rows(x), contiguous(taps), state.map(contiguous));
    let shape = ConvShape::new(&x, &taps);
    let ConvShape { batch, time, channels, width, dtype, .. } = shape;
    let y = empty(&x, [batch, time, channels], dtype);
    // For one token, the kernel can overwrite the state with the next state.
    let next = match state.as_ref() {
        Some(state) if time == 1 && state.can_mut() => Some(state.clone()),
        state => state.map(|state| empty(state, [batch, width - 1, channels], dtype)),
    };
    let arguments = [
        pointer_and_strides(&x),
        shape.tap_args(&taps),
        vec![pointer_or_null(state.as_ref()), pointer_or_null(next.as_ref())],
        pointer_and_strides(&y),
        shape.size_args(),
    ];
    let kernel = shape.kernel("conv_forward", "dynamic_conv_forward");
    // SAFETY: all tensors are alive and have contiguous rows. The kernel is compiled and called with their
    // sizes.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, shape.launch_dims(FORWARD_SEGMENT), &arguments.concat());
    });
    (y, next)
}

/// Returns the gradients of input and taps of a convolution without a state.
fn backward(x: CubeTensor, taps: CubeTensor, d_y: CubeTensor) -> [CubeTensor; 2] {
    let (x, taps, d_y) = (with_contiguous_rows(x), contiguous(taps), with_contiguous_rows(d_y));
    let shape = ConvShape::new(&x, &taps);
    let ConvShape { batch, time, channels, width, dtype, is_dynamic, layers } = shape;
    let d_x = empty(&x, [batch, time, channels], dtype);
    let d_taps = match is_dynamic {
        true => empty(&x, [batch, time, channels, width], dtype),
        // One row of partial sums for each segment of tokens.
        false => empty(&x, [batch * time.div_ceil(BACKWARD_SEGMENT), channels * width], DType::F32),
    };
    let arguments = [
        pointer_and_strides(&x),
        shape.tap_args(&taps),
        vec![KernelArg::Pointer(0)],
        pointer_and_strides(&d_y),
        pointer_and_strides(&d_x),
        shape.tap_args(&d_taps),
        vec![KernelArg::Pointer(0)],
        shape.size_args(),
    ];
    let kernel = shape.kernel("conv_backward", "dynamic_conv_backward");
    // SAFETY: as in `forward`.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, shape.launch_dims(BACKWARD_SEGMENT), &arguments.concat());
    });
    [d_x, if is_dynamic { d_taps } else { sum_rows(d_taps, layers, [layers * channels, width]) }]
}

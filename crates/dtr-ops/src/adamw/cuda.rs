//! AdamW on CUDA devices, in one pass over weights, moments and gradient.

#![allow(unsafe_code)]

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Tensor};

use super::AdamWStep;
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, copy_if_shared, empty, from_cube, gpu_context,
    into_cube, pointer, sum_partials,
};

static ADAMW: CudaSource = CudaSource { name: "adamw", text: include_str!("adamw.cu") };

/// Computes [`sum_of_squares`](super::sum_of_squares). The partial sums of the blocks are added in a fixed
/// order, so that the result is deterministic.
pub(super) fn sum_of_squares(x: Tensor<1>, layers: usize) -> Tensor<1> {
    let x = contiguous(into_cube(x));
    let count = x.shape().num_elements() / layers;
    let blocks = count.div_ceil(16384).clamp(1, 1056_usize.div_ceil(layers));
    let partials = empty(&x, [layers * blocks], DType::F32);
    let arguments = [pointer(&x), KernelArg::Long(count as i64), pointer(&partials)];
    let kernel = CudaKernel::for_element(&ADAMW, "sum_squares", x.dtype());
    // SAFETY: both tensors are alive and dense.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, layer_dims(blocks, layers, 512), &arguments);
    });
    from_cube(sum_partials(&partials, layers, 1.0))
}

/// Returns the dimensions of a launch with `blocks` blocks for each layer.
fn layer_dims(blocks: usize, layers: usize, threads: u32) -> LaunchDims {
    LaunchDims { grid: (blocks as u32, layers as u32, 1), block: (threads, 1), shared_bytes: 0 }
}

/// Returns weights, first moments and second moments (f32) after a step along a gradient in f32 or bf16.
/// `squares`, `[layers]`, holds for each layer the squared norm of all gradients that are clipped together.
pub(super) fn step(
    state: [Tensor<1>; 3],
    gradient: Tensor<1>,
    squares: Tensor<1>,
    decay_rate: f32,
    step: &AdamWStep,
) -> [Tensor<1>; 3] {
    let state = state.map(|tensor| copy_if_shared(into_cube(tensor)));
    let [gradient, squares] = [gradient, squares].map(|tensor| contiguous(into_cube(tensor)));
    let layers = squares.shape().num_elements();
    let count = gradient.shape().num_elements() / layers;
    let [beta_first, beta_second] = step.betas;
    let bias_correction = |beta: f64| 1.0 / (1.0 - beta.powf(step.steps as f64));
    let float = |number: f64| KernelArg::Float(number as f32);
    let arguments = [
        vec![pointer(&gradient)],
        state.iter().map(pointer).collect(),
        vec![
            pointer(&squares),
            float(step.max_gradient_norm),
            KernelArg::Float(decay_rate),
            float(step.learning_rate),
        ],
        vec![float(beta_first), float(beta_second), float(step.epsilon)],
        vec![float(bias_correction(beta_first)), float(bias_correction(beta_second))],
        vec![KernelArg::Long(count as i64)],
    ];
    let kernel = CudaKernel::for_element(&ADAMW, "adamw", gradient.dtype());
    // SAFETY: all tensors are alive and dense. No other tensor shares the memory of weights and moments.
    gpu_context(&gradient).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, layer_dims(count.div_ceil(1024), layers, 256), &arguments.concat());
    });
    state.map(from_cube)
}

//! The mean squared error on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardPass, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, empty, from_cube, gpu_context, into_cube,
    pointer, pointer_or_null, sum_partials,
};

static LOSS: CudaSource = CudaSource { name: "loss", text: include_str!("loss.cu") };

/// Computes [`mean_squared_error`](super::mean_squared_error).
pub(super) fn mean_squared_error(a: Tensor<3>, b: Tensor<3>) -> Tensor<1> {
    if a.is_autodiff() || b.is_autodiff() {
        return apply(SquaredError, [a.into_dispatch(), b.into_dispatch()]);
    }
    from_cube(squared_error(into_cube(a), into_cube(b), false).0)
}

/// The mean squared error of a and b. The gradient of a is computed with the loss, and saved.
#[derive(Clone, Debug)]
struct SquaredError;

impl DifferentiableOp<2> for SquaredError {
    type Backend = Cube;

    fn forward(&self, [a, b]: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        let (mean, d_a) = squared_error(a, b, true);
        (mean, d_a.into_iter().collect())
    }

    fn backward(&self, mut pass: BackwardPass<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let [a, _] = pass.inputs;
        let d_a = pass.saved.pop().expect("the forward pass saved the gradient");
        let factor = Cube::float_cast(pass.output_gradient, a.dtype().into());
        let factor = Cube::float_reshape(factor, [1, 1, 1].into());
        [Some(Cube::float_mul(d_a, factor)), None]
    }
}

/// Returns the mean of `(a − b)²`, and its gradient with respect to `a` if `wants_gradient`.
fn squared_error(a: CubeTensor, b: CubeTensor, wants_gradient: bool) -> (CubeTensor, Option<CubeTensor>) {
    let [a, b] = [a, b].map(contiguous);
    let count = a.shape().num_elements();
    let gradient = wants_gradient.then(|| empty(&a, a.shape(), a.dtype()));
    let blocks = count.div_ceil(16384).clamp(1, 1056);
    let partials = empty(&a, [blocks], DType::F32);
    let arguments = [
        pointer(&a),
        pointer(&b),
        pointer_or_null(gradient.as_ref()),
        KernelArg::Float(2.0 / count as f32),
        KernelArg::Long(count as i64),
        pointer(&partials),
    ];
    let kernel = CudaKernel::for_element(&LOSS, "squared_error", a.dtype());
    // SAFETY: all tensors are alive and dense; a, b and the gradient are of one shape and dtype.
    gpu_context(&a).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(blocks, 512), &arguments);
    });
    (sum_partials(&partials, 1.0 / count as f32), gradient)
}

//! RMSNorm on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, empty, from_cube, gpu_context, into_cube,
    num_row_blocks, pointer, row_block_dims, sum_rows,
};

static NORM: CudaSource = CudaSource { name: "norm", text: include_str!("norm.cu") };

/// Computes [`rms_norm`](super::rms_norm). `x` and `weight` have the same dtype.
pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    apply(RmsNorm { epsilon }, [x.into_dispatch(), weight.clone().into_dispatch()])
}

/// Computes [`add_rms_norm`](super::add_rms_norm) outside of autodiff graphs.
pub(super) fn add_rms_norm(
    x: Tensor<3>,
    residual: Tensor<3>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> (Tensor<3>, Tensor<3>) {
    let (sum, normed) = forward(into_cube(x), Some(into_cube(residual)), into_cube(weight.clone()), epsilon);
    (from_cube(sum), from_cube(normed))
}

/// RMSNorm as a differentiable operation. Its inputs are x and the weight.
#[derive(Clone, Debug)]
struct RmsNorm {
    epsilon: f64,
}

impl DifferentiableOp<2> for RmsNorm {
    type Backend = Cube;

    fn forward(&self, [x, weight]: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        (forward(x, None, weight, self.epsilon).1, Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let [x, weight] = pass.inputs;
        backward(x, weight, pass.output_gradient, self.epsilon).map(Some)
    }
}

/// Returns the sum `x + residual` and the RMSNorm of the sum. Without a residual, the sum is `x`.
fn forward(
    x: CubeTensor,
    residual: Option<CubeTensor>,
    weight: CubeTensor,
    epsilon: f64,
) -> (CubeTensor, CubeTensor) {
    let ([x, weight], residual) = ([x, weight].map(contiguous), residual.map(contiguous));
    let normed = empty(&x, x.shape(), x.dtype());
    let width = *x.shape().last().expect("x has a last dimension");
    let rows = x.shape().num_elements() / width;
    // A thread's y index selects a row, and its x index selects a lane. The lanes of a row share its
    // elements. A lane takes at most 16 elements of a row of up to 8192 elements, and at most 32 elements of
    // a longer row.
    let lanes = width.div_ceil(if width > 8192 { 32 } else { 16 }).next_power_of_two();
    let rows_per_block = (256 / lanes).max(1);
    let launch = LaunchDims {
        grid: (rows.div_ceil(rows_per_block) as u32, 1, 1),
        block: (lanes as u32, rows_per_block as u32),
        shared_bytes: 0,
    };
    let layers = weight.shape().num_elements() / width;
    let sizes = [
        KernelArg::Float(epsilon as f32),
        KernelArg::Long(rows as i64),
        KernelArg::Long((rows / layers) as i64),
        KernelArg::Int(width as i32),
    ];
    // The tuple also holds the residual, so that the residual's memory is not freed before the launch.
    let (name, sum, tensors) = match residual {
        None => ("rms_norm", None, [&x, &weight, &normed].map(pointer).to_vec()),
        Some(residual) => {
            let sum = empty(&x, x.shape(), x.dtype());
            let tensors = [&x, &residual, &weight, &sum, &normed].map(pointer).to_vec();
            ("add_rms_norm", Some((sum, residual)), tensors)
        }
    };
    let kernel = CudaKernel::for_element(&NORM, name, x.dtype());
    // SAFETY: all tensors are alive, dense and of one dtype. The weight has a row for each layer. All other
    // tensors have the same shape.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, launch, &[tensors, sizes.to_vec()].concat());
    });
    (sum.map_or(x, |(sum, _)| sum), normed)
}

/// Returns the gradients of x and of the weight. The gradient of the weight is in f32.
fn backward(x: CubeTensor, weight: CubeTensor, d_normed: CubeTensor, epsilon: f64) -> [CubeTensor; 2] {
    let [x, weight, d_normed] = [x, weight, d_normed].map(contiguous);
    let width = *x.shape().last().expect("x has a last dimension");
    let rows = x.shape().num_elements() / width;
    let d_x = empty(&x, x.shape(), x.dtype());
    let scales = empty(&x, [rows], DType::F32);
    let layers = weight.shape().num_elements() / width;
    let partials = empty(&x, [layers * num_row_blocks(layers), width], DType::F32);
    let layer_sizes = vec![KernelArg::Long((rows / layers) as i64), KernelArg::Int(width as i32)];
    let input_arguments = [
        [&x, &weight, &d_normed, &d_x, &scales].map(pointer).to_vec(),
        vec![KernelArg::Float(epsilon as f32), KernelArg::Long(rows as i64)],
        layer_sizes.clone(),
    ];
    let weight_arguments = [[&x, &d_normed, &scales, &partials].map(pointer).to_vec(), layer_sizes];
    let kernel = |name| CudaKernel::for_element(&NORM, name, x.dtype());
    // SAFETY: all tensors are alive, dense and of these sizes.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        let dims = LaunchDims::linear(rows.div_ceil(8), 256);
        launcher.launch(&kernel("rms_norm_backward"), dims, &input_arguments.concat());
        let dims = row_block_dims(width, layers);
        launcher.launch(&kernel("rms_norm_weight"), dims, &weight_arguments.concat());
    });
    [d_x, sum_rows(partials, layers, [layers * width])]
}

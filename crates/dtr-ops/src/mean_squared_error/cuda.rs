//! The mean squared error on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, empty, gpu_context, pointer, sum_partials,
};

static SQUARED_ERROR: CudaSource =
    CudaSource { name: "squared_error", text: include_str!("squared_error.cu") };

/// Computes [`mean_squared_error`](super::mean_squared_error).
pub(super) fn mean_squared_error(a: Tensor<3>, b: Tensor<3>, layers: usize) -> Tensor<1> {
    apply(SquaredError { layers }, [a.into_dispatch(), b.into_dispatch()])
}

/// The mean squared error of each layer, as a differentiable operation. Its inputs are a and b.
#[derive(Clone, Debug)]
struct SquaredError {
    layers: usize,
}

impl DifferentiableOp<2> for SquaredError {
    type Backend = Cube;

    fn forward(&self, inputs: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        let [a, b] = inputs.map(contiguous);
        let (count, launch) = self.layer_dims(&a);
        let partials = empty(&a, [self.layers * launch.grid.0 as usize], DType::F32);
        let arguments = [pointer(&a), pointer(&b), KernelArg::Long(count as i64), pointer(&partials)];
        let kernel = CudaKernel::for_element(&SQUARED_ERROR, "squared_error", a.dtype());
        // SAFETY: all tensors are alive and dense. a and b have the same shape and dtype.
        gpu_context(&a).with_launcher(|launcher| unsafe { launcher.launch(&kernel, launch, &arguments) });
        (sum_partials(&partials, self.layers, 1.0 / count as f32), Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let ([a, b], d_loss) = (pass.inputs.map(contiguous), contiguous(pass.output_gradient));
        let (count, launch) = self.layer_dims(&a);
        let d_a = empty(&a, a.shape(), a.dtype());
        let arguments = [
            [&a, &b, &d_loss, &d_a].map(pointer).to_vec(),
            vec![KernelArg::Float(2.0 / count as f32), KernelArg::Long(count as i64)],
        ];
        let kernel = CudaKernel::for_element(&SQUARED_ERROR, "squared_error_backward", a.dtype());
        // SAFETY: as in `forward`. The gradient of the loss has an f32 for each layer.
        gpu_context(&a).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, launch, &arguments.concat());
        });
        [Some(d_a), None]
    }
}

impl SquaredError {
    /// Returns the number of elements of a layer, and the launch dimensions.
    fn layer_dims(&self, a: &CubeTensor) -> (usize, LaunchDims) {
        let count = a.shape().num_elements() / self.layers;
        let blocks = count.div_ceil(16384).clamp(1, 1056_usize.div_ceil(self.layers));
        let grid = (blocks as u32, self.layers as u32, 1);
        (count, LaunchDims { grid, block: (512, 1), shared_bytes: 0 })
    }
}

//! The cross entropy of an output head on CUDA devices, computed together with its gradients.

#![allow(unsafe_code)]

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::cuda::LOGITS;
use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, KernelArg, LaunchDims, contiguous, dims, empty, from_cube, gpu_context, int_args, into_cube,
    pointer, sum_partials,
};
use crate::linear::multiply;

/// The most logits that are held at a time in training: 1 GiB of f32.
const MAX_TRAINING_LOGITS: usize = 1 << 28;

/// Computes [`linear_cross_entropy`](super::linear_cross_entropy) in training.
pub(super) fn linear_cross_entropy(
    x_nd: Tensor<2>,
    head_vd: &Tensor<2>,
    targets_n: Tensor<1, Int>,
) -> Tensor<1> {
    let rows_per_chunk = (MAX_TRAINING_LOGITS / head_vd.dims()[0]).max(1);
    chunked_cross_entropy(x_nd, head_vd, targets_n, rows_per_chunk)
}

/// Computes [`linear_cross_entropy`] in chunks of `rows_per_chunk` rows.
pub(super) fn chunked_cross_entropy(
    x_nd: Tensor<2>,
    head_vd: &Tensor<2>,
    targets_n: Tensor<1, Int>,
    rows_per_chunk: usize,
) -> Tensor<1> {
    let targets = contiguous(into_cube(targets_n.inner()));
    assert_eq!(targets.dtype(), DType::I32, "targets must be i32");
    let inputs = [x_nd.into_dispatch(), head_vd.clone().into_dispatch()];
    apply(LinearCrossEntropy { targets, rows_per_chunk }, inputs)
}

/// The mean cross entropy of the logits `x · headᵀ`, as a differentiable operation. Its inputs are x and the
/// head.
///
/// The forward pass also computes the gradients. The logits therefore need not be kept (as in Liger Kernel,
/// arXiv 2410.10989). Logits are computed in f32, in chunks of rows.
#[derive(Clone, Debug)]
struct LinearCrossEntropy {
    /// The target token of each row of x, `[n]`.
    targets: CubeTensor,
    rows_per_chunk: usize,
}

impl DifferentiableOp<2> for LinearCrossEntropy {
    type Backend = Cube;

    fn forward(&self, [x, head]: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        let (x, head) = (contiguous(x), contiguous(head));
        let [num_rows, _] = dims(&x);
        let mut losses: Vec<Tensor<1>> = Vec::new();
        let mut d_x: Vec<Tensor<2>> = Vec::new();
        let mut d_head: Option<Tensor<2>> = None;
        for start in (0..num_rows).step_by(self.rows_per_chunk) {
            let rows = self.rows_per_chunk.min(num_rows - start);
            let x: Tensor<2> = from_cube(x.clone());
            let x = contiguous(into_cube(x.narrow(0, start, rows)));
            let targets = from_cube::<1, Int>(self.targets.clone()).narrow(0, start, rows);
            let logits = multiply(x.clone(), false, head.clone(), true, DType::F32);
            let (loss, d_logits) = losses_and_gradient(logits, into_cube(targets), x.dtype(), num_rows);
            losses.push(from_cube(loss));
            d_x.push(from_cube(multiply(d_logits.clone(), false, head.clone(), false, x.dtype())));
            let d_head_of_chunk = from_cube(multiply(d_logits, true, x, false, DType::F32));
            d_head = Some(match d_head {
                Some(sum) => sum + d_head_of_chunk,
                None => d_head_of_chunk,
            });
        }
        let loss = sum_partials(&into_cube(Tensor::cat(losses, 0)), 1, 1.0 / num_rows as f32);
        let d_head = d_head.expect("there is at least one row");
        (loss, vec![into_cube(Tensor::cat(d_x, 0)), into_cube(d_head)])
    }

    /// The gradient of the head is in f32.
    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let d_loss = pass.output_gradient;
        let mut gradients = pass.saved.into_iter().map(|gradient| {
            let factor = Cube::float_cast(d_loss.clone(), gradient.dtype().into());
            let factor = Cube::float_reshape(factor, [1, 1].into());
            Some(Cube::float_mul(gradient, factor))
        });
        [(); 2].map(|()| gradients.next().expect("the forward pass saved two gradients"))
    }
}

/// Returns the loss of each row of `logits`, in f32. Also returns the gradient of the mean loss with respect
/// to the logits, in `dtype`. The mean covers `num_rows` rows, of which `logits` may hold only a part.
fn losses_and_gradient(
    logits: CubeTensor,
    targets: CubeTensor,
    dtype: DType,
    num_rows: usize,
) -> (CubeTensor, CubeTensor) {
    let ([rows, vocab], targets) = (dims(&logits), contiguous(targets));
    let losses = empty(&logits, [rows], DType::F32);
    let gradient = match dtype {
        DType::F32 => logits.clone(),
        _ => empty(&logits, [rows, vocab], dtype),
    };
    let arguments = [
        [&logits, &targets, &gradient, &losses].map(pointer).to_vec(),
        vec![KernelArg::Float(1.0 / num_rows as f32)],
        int_args([vocab]),
    ];
    let kernel = CudaKernel::for_element(&LOGITS, "cross_entropy", dtype);
    // SAFETY: all tensors are alive and dense, and targets are below the vocabulary size. No other tensor
    // shares the memory of the logits, which `multiply` has just created.
    gpu_context(&logits).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(rows, 512), &arguments.concat());
    });
    (losses, gradient)
}

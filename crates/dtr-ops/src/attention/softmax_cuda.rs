//! The causal softmax of attention scores on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;

use super::CausalMask;
use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, dims, empty, gpu_context, int_args, into_cube,
    pointer, pointer_or_null,
};

static SOFTMAX: CudaSource = CudaSource { name: "softmax", text: include_str!("softmax.cu") };

/// The number of rows of a block, as in `softmax.cu`.
const ROWS_PER_BLOCK: usize = 8;

/// Returns the softmax of `scores_bhts` over the keys that each query sees. The weights of the other keys are
/// 0.
pub(super) fn causal_softmax(scores_bhts: Tensor<4>, mask: &CausalMask) -> Tensor<4> {
    let first_keys = mask.first_keys_on_device().map(|first_keys| contiguous(into_cube(first_keys.inner())));
    apply(CausalSoftmax { first_keys }, [scores_bhts.into_dispatch()])
}

/// The causal softmax as a differentiable operation. Its input is the tensor of scores.
#[derive(Clone, Debug)]
struct CausalSoftmax {
    /// The first key that each batch row sees, i32.
    first_keys: Option<CubeTensor>,
}

impl DifferentiableOp<1> for CausalSoftmax {
    type Backend = Cube;

    fn forward(&self, [scores]: [CubeTensor; 1]) -> (CubeTensor, Vec<CubeTensor>) {
        let scores = contiguous(scores);
        let weights = empty(&scores, scores.shape(), scores.dtype());
        let [_, heads, queries, keys] = dims(&scores);
        let (rows, launch) = launch_dims(&scores);
        let arguments = [
            vec![pointer(&scores), pointer_or_null(self.first_keys.as_ref()), pointer(&weights)],
            vec![KernelArg::Long(rows as i64)],
            int_args([heads, queries, keys]),
        ];
        let kernel = CudaKernel::for_element(&SOFTMAX, "causal_softmax", scores.dtype());
        // SAFETY: all tensors are alive and dense. `first_keys` holds a key for each batch row.
        gpu_context(&scores).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, launch, &arguments.concat());
        });
        (weights.clone(), vec![weights])
    }

    fn backward(&self, pass: BackwardArgs<Cube, 1>) -> [Option<CubeTensor>; 1] {
        let (weights, d_weights) = (&pass.saved[0], contiguous(pass.output_gradient));
        let d_scores = empty(weights, weights.shape(), weights.dtype());
        let (rows, launch) = launch_dims(weights);
        let [_, _, _, keys] = dims(weights);
        let arguments = [
            [weights, &d_weights, &d_scores].map(pointer).to_vec(),
            vec![KernelArg::Long(rows as i64)],
            int_args([keys]),
        ];
        let kernel = CudaKernel::for_element(&SOFTMAX, "causal_softmax_backward", weights.dtype());
        // SAFETY: all tensors are alive, dense, and of one shape and dtype.
        gpu_context(weights).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, launch, &arguments.concat());
        });
        [Some(d_scores)]
    }
}

/// Returns the number of rows of `scores`, and the launch dimensions with a warp for each row.
fn launch_dims(scores: &CubeTensor) -> (usize, LaunchDims) {
    let [batch, heads, queries, _] = dims(scores);
    let rows = batch * heads * queries;
    let grid = (rows.div_ceil(ROWS_PER_BLOCK) as u32, 1, 1);
    (rows, LaunchDims { grid, block: (32, ROWS_PER_BLOCK as u32), shared_bytes: 0 })
}

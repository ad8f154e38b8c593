//! The gates of the gated delta rule on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, empty, gpu_context, pointer, sum_rows,
};

static DELTA_GATES: CudaSource = CudaSource { name: "delta_gates", text: include_str!("delta_gates.cu") };

/// The number of threads of a block.
const THREADS: usize = 256;

/// The largest number of heads for which the kernels can sum gradients.
pub(super) const MAX_HEADS: usize = THREADS;

/// Computes [`delta_gates`](super::delta_gates).
pub(super) fn delta_gates(
    [a_bth, b_bth]: [Tensor<3>; 2],
    [a_log, dt_bias]: [&Tensor<1>; 2],
    scale: f64,
) -> [Tensor<3>; 2] {
    let [a, a_log, dt_bias] =
        [a_bth.into_dispatch(), a_log.clone().into_dispatch(), dt_bias.clone().into_dispatch()];
    [apply(WriteStrengths { scale }, [b_bth.into_dispatch()]), apply(LogDecays, [a, a_log, dt_bias])]
}

/// The write strengths, as a differentiable operation. Its input is b.
#[derive(Clone, Debug)]
struct WriteStrengths {
    scale: f64,
}

impl DifferentiableOp<1> for WriteStrengths {
    type Backend = Cube;

    fn forward(&self, [b]: [CubeTensor; 1]) -> (CubeTensor, Vec<CubeTensor>) {
        let b = contiguous(b);
        let beta = empty(&b, b.shape(), DType::F32);
        self.launch("write_strengths", &[&b, &beta]);
        (beta, Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 1>) -> [Option<CubeTensor>; 1] {
        let ([b], d_beta) = (pass.inputs.map(contiguous), contiguous(pass.output_gradient));
        let d_b = empty(&b, b.shape(), b.dtype());
        self.launch("write_strengths_backward", &[&b, &d_beta, &d_b]);
        [Some(d_b)]
    }
}

impl WriteStrengths {
    /// Launches a kernel over dense tensors of one shape. The dtype of the first tensor selects the kernel.
    fn launch(&self, name: &'static str, tensors: &[&CubeTensor]) {
        let b = tensors[0];
        let count = b.shape().num_elements();
        let mut arguments: Vec<KernelArg> = tensors.iter().copied().map(pointer).collect();
        arguments.extend([KernelArg::Float(self.scale as f32), KernelArg::Long(count as i64)]);
        let kernel = CudaKernel::for_element(&DELTA_GATES, name, b.dtype());
        // SAFETY: all tensors are alive, dense and of one shape.
        gpu_context(b).with_launcher(|launcher| unsafe {
            let dims = LaunchDims::linear(count.div_ceil(THREADS), THREADS as u32);
            launcher.launch(&kernel, dims, &arguments);
        });
    }
}

/// The log decays, as a differentiable operation. Its inputs are `a`, `a_log` and `dt_bias`.
#[derive(Clone, Debug)]
struct LogDecays;

impl DifferentiableOp<3> for LogDecays {
    type Backend = Cube;

    fn forward(&self, inputs: [CubeTensor; 3]) -> (CubeTensor, Vec<CubeTensor>) {
        let [a, a_log, dt_bias] = inputs.map(contiguous);
        let g = empty(&a, a.shape(), DType::F32);
        let (layers, heads) = layers_and_heads(&a, &a_log);
        let count = a.shape().num_elements();
        let sizes = [count, count / layers].map(|size| KernelArg::Long(size as i64));
        let arguments = [
            [&a, &a_log, &dt_bias, &g].map(pointer).to_vec(),
            sizes.to_vec(),
            vec![KernelArg::Int(heads as i32)],
        ];
        let kernel = CudaKernel::for_element(&DELTA_GATES, "log_decays", a.dtype());
        // SAFETY: all tensors are alive and dense. `a` and `g` have the same shape. The other tensors have an
        // element for each head of each layer.
        gpu_context(&a).with_launcher(|launcher| unsafe {
            let dims = LaunchDims::linear(count.div_ceil(THREADS), THREADS as u32);
            launcher.launch(&kernel, dims, &arguments.concat());
        });
        (g, Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 3>) -> [Option<CubeTensor>; 3] {
        let [a, a_log, dt_bias] = pass.inputs.map(contiguous);
        let d_g = contiguous(pass.output_gradient);
        let (layers, heads) = layers_and_heads(&a, &a_log);
        let layer_rows = a.shape().num_elements() / heads / layers;
        let row_stride = THREADS / heads;
        let blocks = layer_rows.div_ceil(16 * row_stride).min(1024_usize.div_ceil(layers));
        let d_a = empty(&a, a.shape(), a.dtype());
        let [d_a_log, d_dt_bias] = [(); 2].map(|()| empty(&a, [layers * blocks, heads], DType::F32));
        let arguments = [
            [&a, &a_log, &dt_bias, &d_g, &d_a, &d_a_log, &d_dt_bias].map(pointer).to_vec(),
            vec![KernelArg::Long(layer_rows as i64), KernelArg::Int(heads as i32)],
        ];
        let kernel = CudaKernel::for_element(&DELTA_GATES, "log_decays_backward", a.dtype());
        // SAFETY: as in `forward`. The partial sums have a row for each block.
        gpu_context(&a).with_launcher(|launcher| unsafe {
            let grid = (blocks as u32, layers as u32, 1);
            let dims = LaunchDims { grid, block: (THREADS as u32, 1), shared_bytes: 0 };
            launcher.launch(&kernel, dims, &arguments.concat());
        });
        let [d_a_log, d_dt_bias] =
            [d_a_log, d_dt_bias].map(|partials| sum_rows(partials, layers, [layers * heads]));
        [d_a, d_a_log, d_dt_bias].map(Some)
    }
}

/// Returns the number of stacked layers, and the number of heads of each layer.
fn layers_and_heads(a: &CubeTensor, a_log: &CubeTensor) -> (usize, usize) {
    let heads = *a.shape().last().expect("a has a last dimension");
    (a_log.shape().num_elements() / heads, heads)
}

//! Gates of linear attention on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, dims, empty, empty_time_major, gpu_context,
    int_args, pointer, pointer_and_strides, sum_rows, with_contiguous_rows,
};

static GATES: CudaSource = CudaSource { name: "gates", text: include_str!("gates.cu") };

/// The value of the macro `VALUE_WIDTH` for kernels that do not use the head width.
const UNUSED_WIDTH: usize = 128;

fn kernel(name: &'static str, dtype: DType, value_width: usize) -> CudaKernel {
    let real = if dtype == DType::F32 { " -DREAL_F32" } else { "" };
    CudaKernel { source: &GATES, defines: format!("-DVALUE_WIDTH={value_width}{real}"), name }
}

/// Computes [`decay_gate`](super::decay_gate).
pub(super) fn decay_gate(x_btd: Tensor<3>, normalizer: f64) -> Tensor<3> {
    apply(DecayGate { normalizer }, [x_btd.into_dispatch()])
}

#[derive(Clone, Debug)]
struct DecayGate {
    normalizer: f64,
}

impl DifferentiableOp<1> for DecayGate {
    type Backend = Cube;

    fn forward(&self, [x]: [CubeTensor; 1]) -> (CubeTensor, Vec<CubeTensor>) {
        let x = contiguous(x);
        let gate = empty(&x, x.shape(), DType::F32);
        self.launch("decay_gate", &[&x, &gate]);
        (gate, Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 1>) -> [Option<CubeTensor>; 1] {
        let ([x], d_gate) = (pass.inputs.map(contiguous), contiguous(pass.output_gradient));
        let d_x = empty(&x, x.shape(), x.dtype());
        self.launch("decay_gate_backward", &[&x, &d_gate, &d_x]);
        [Some(d_x)]
    }
}

impl DecayGate {
    /// Launches a kernel over dense tensors of one shape. The dtype of the first tensor selects the kernel.
    fn launch(&self, name: &'static str, tensors: &[&CubeTensor]) {
        let x = tensors[0];
        let count = x.shape().num_elements();
        let mut arguments: Vec<KernelArg> = tensors.iter().copied().map(pointer).collect();
        arguments.extend([KernelArg::Float(self.normalizer as f32), KernelArg::Long(count as i64)]);
        let kernel = kernel(name, x.dtype(), UNUSED_WIDTH);
        // SAFETY: all tensors are alive, dense and of one shape.
        gpu_context(x).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(4 * 256), 256), &arguments);
        });
    }
}

/// Computes [`gated_rms_norm`](super::gated_rms_norm) with a gate.
pub(super) fn gated_rms_norm(
    o_bhtv: Tensor<4>,
    gate_btd: Tensor<3>,
    weight: &Tensor<1>,
    epsilon: f64,
) -> Tensor<3> {
    let inputs = [o_bhtv.into_dispatch(), gate_btd.into_dispatch(), weight.clone().into_dispatch()];
    apply(GatedRmsNorm { epsilon }, inputs)
}

/// Gated RMSNorm as a differentiable operation. Its inputs are o, the gate and the weight.
#[derive(Clone, Debug)]
struct GatedRmsNorm {
    epsilon: f64,
}

impl DifferentiableOp<3> for GatedRmsNorm {
    type Backend = Cube;

    fn forward(&self, inputs: [CubeTensor; 3]) -> (CubeTensor, Vec<CubeTensor>) {
        let [o, gate, weight] = inputs.map(with_contiguous_rows);
        let [batch, heads, time, value] = dims(&o);
        let y = empty(&o, [batch, time, heads * value], o.dtype());
        let gpu = gpu_context(&o);
        let (_, launch) = layer_dims(&weight, batch * heads * time, value, 6 * gpu.num_multiprocessors);
        let arguments = [
            pointer_and_strides(&o),
            pointer_and_strides(&gate),
            vec![pointer(&weight)],
            pointer_and_strides(&y),
            vec![KernelArg::Float(self.epsilon as f32)],
            int_args([batch, heads, time]),
        ];
        let kernel = kernel("gated_rms_norm", o.dtype(), value);
        // SAFETY: all tensors are alive, have these sizes, and have contiguous rows.
        gpu.with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, launch, &arguments.concat());
        });
        (y, Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 3>) -> [Option<CubeTensor>; 3] {
        let [o, gate, weight] = pass.inputs.map(with_contiguous_rows);
        let d_y = with_contiguous_rows(pass.output_gradient);
        let [batch, heads, time, value] = dims(&o);
        let d_o = empty_time_major(&o, [batch, heads, time, value], o.dtype());
        let d_gate = empty(&o, [batch, time, heads * value], o.dtype());
        let gpu = gpu_context(&o);
        let (layers, launch) = layer_dims(&weight, batch * heads * time, value, 4 * gpu.num_multiprocessors);
        let partials = empty(&o, [layers * launch.grid.0 as usize, value], DType::F32);
        let arguments = [
            pointer_and_strides(&o),
            pointer_and_strides(&gate),
            vec![pointer(&weight)],
            pointer_and_strides(&d_y),
            pointer_and_strides(&d_o),
            pointer_and_strides(&d_gate),
            vec![pointer(&partials), KernelArg::Float(self.epsilon as f32)],
            int_args([batch, heads, time]),
        ];
        let kernel = kernel("gated_rms_norm_backward", o.dtype(), value);
        // SAFETY: as in `forward`.
        gpu.with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, launch, &arguments.concat());
        });
        [d_o, d_gate, sum_rows(partials, layers, [layers * value])].map(Some)
    }
}

/// Returns the number of stacked layers and the launch dimensions. `weight` holds `width` elements for each
/// layer, and the stack has `rows` rows. Each layer gets at most `max_blocks / layers` blocks, rounded up.
fn layer_dims(weight: &CubeTensor, rows: usize, width: usize, max_blocks: u32) -> (usize, LaunchDims) {
    let layers = weight.shape().num_elements() / width;
    let blocks = (rows / layers).div_ceil(8).min((max_blocks as usize).div_ceil(layers));
    (layers, LaunchDims { grid: (blocks as u32, layers as u32, 1), block: (256, 1), shared_bytes: 0 })
}

//! Gates of linear attention on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardPass, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, dims, empty, empty_time_major, from_cube,
    gpu_context, int_args, into_cube, pointer, pointer_and_strides, sum_rows, with_contiguous_rows,
};

static GATES: CudaSource = CudaSource { name: "gates", text: include_str!("gates.cu") };
static DELTA_GATES: CudaSource = CudaSource { name: "delta_gates", text: include_str!("delta_gates.cu") };

/// The head width with which kernels that do not use heads are compiled.
const ANY_WIDTH: usize = 128;

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
        let [batch, time, columns] = dims(&x);
        let gate = empty(&x, x.shape(), DType::F32);
        let rows = batch * time;
        let arguments = [
            vec![pointer(&x), KernelArg::Long(columns as i64), KernelArg::Pointer(0), pointer(&gate)],
            vec![KernelArg::Float(self.normalizer as f32)],
            int_args([rows, columns]),
        ];
        let kernel = kernel("decay_gate", x.dtype(), ANY_WIDTH);
        // SAFETY: both tensors are alive, dense and of one shape.
        gpu_context(&x).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, decay_gate_dims(rows, columns), &arguments.concat());
        });
        (gate, Vec::new())
    }

    fn backward(&self, pass: BackwardPass<Cube, 1>) -> [Option<CubeTensor>; 1] {
        let ([x], d_gate) = (pass.inputs.map(contiguous), contiguous(pass.output_gradient));
        let [batch, time, columns] = dims(&x);
        let d_x = empty(&x, x.shape(), x.dtype());
        let (rows, stride, null) = (batch * time, KernelArg::Long(columns as i64), KernelArg::Pointer(0));
        let arguments = [
            vec![pointer(&x), stride, null, pointer(&d_gate), pointer(&d_x), stride, null],
            vec![KernelArg::Float(self.normalizer as f32)],
            int_args([rows, columns]),
        ];
        let kernel = kernel("decay_gate_backward", x.dtype(), ANY_WIDTH);
        // SAFETY: all three tensors are alive, dense and of one shape.
        gpu_context(&x).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, decay_gate_dims(rows, columns), &arguments.concat());
        });
        [Some(d_x)]
    }
}

fn decay_gate_dims(rows: usize, columns: usize) -> LaunchDims {
    let grid = (columns.div_ceil(512) as u32, rows.min(512) as u32, 1);
    LaunchDims { grid, block: (128, 1), shared_bytes: 0 }
}

/// Computes [`delta_gates`](super::delta_gates) outside of autodiff graphs.
pub(super) fn delta_gates(
    projections: [Tensor<3>; 2],
    per_head: [&Tensor<1>; 2],
    scale: f64,
) -> [Tensor<3>; 2] {
    let [a, b] = projections.map(|tensor| contiguous(into_cube(tensor)));
    let [a_log, dt_bias] = per_head.map(|tensor| contiguous(into_cube(tensor.clone())));
    let [beta, g] = [(); 2].map(|()| empty(&a, a.shape(), DType::F32));
    let [_, _, heads] = dims(&a);
    let count = a.shape().num_elements();
    let sizes = [KernelArg::Float(scale as f32), KernelArg::Long(count as i64), KernelArg::Int(heads as i32)];
    let arguments = [[&a, &b, &a_log, &dt_bias, &beta, &g].map(pointer).to_vec(), sizes.to_vec()];
    let kernel = CudaKernel::for_element(&DELTA_GATES, "delta_gates", a.dtype());
    // SAFETY: all tensors are alive and dense; a, b, beta and g have one shape, and the other tensors have an
    // element for each head.
    gpu_context(&a).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(256), 256), &arguments.concat());
    });
    [beta, g].map(from_cube)
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

/// A gated norm, with the inputs o, gate and weight.
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
        let blocks = (batch * heads * time).div_ceil(8).min(6 * gpu.num_multiprocessors as usize);
        let arguments = [
            pointer_and_strides(&o),
            pointer_and_strides(&gate),
            vec![pointer(&weight)],
            pointer_and_strides(&y),
            vec![KernelArg::Float(self.epsilon as f32)],
            int_args([batch, heads, time]),
        ];
        let kernel = kernel("gated_rms_norm", o.dtype(), value);
        // SAFETY: all tensors are alive, of these sizes, with contiguous rows.
        gpu.with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, LaunchDims::linear(blocks, 256), &arguments.concat());
        });
        (y, Vec::new())
    }

    fn backward(&self, pass: BackwardPass<Cube, 3>) -> [Option<CubeTensor>; 3] {
        let [o, gate, weight] = pass.inputs.map(with_contiguous_rows);
        let d_y = with_contiguous_rows(pass.output_gradient);
        let [batch, heads, time, value] = dims(&o);
        let d_o = empty_time_major(&o, [batch, heads, time, value], o.dtype());
        let d_gate = empty(&o, [batch, time, heads * value], o.dtype());
        let gpu = gpu_context(&o);
        let blocks = (batch * heads * time).div_ceil(8).min(4 * gpu.num_multiprocessors as usize);
        let partials = empty(&o, [blocks, value], DType::F32);
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
            launcher.launch(&kernel, LaunchDims::linear(blocks, 256), &arguments.concat());
        });
        [d_o, d_gate, sum_rows(partials, [value])].map(Some)
    }
}

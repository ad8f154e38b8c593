//! Elementwise operations on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardPass, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, empty, from_cube, gpu_context, into_cube,
    pointer,
};

static ELEMENTWISE: CudaSource = CudaSource { name: "elementwise", text: include_str!("elementwise.cu") };

/// Computes [`add`](super::add) outside of autodiff graphs.
pub(super) fn add(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    let [a, b] = [a, b].map(|tensor| contiguous(into_cube(tensor)));
    let sum = empty(&a, a.shape(), a.dtype());
    let count = a.shape().num_elements();
    let arguments = [pointer(&a), pointer(&b), pointer(&sum), KernelArg::Long(count as i64)];
    let kernel = CudaKernel::for_element(&ELEMENTWISE, "add", a.dtype());
    // SAFETY: all three tensors are alive, dense, and of one shape and dtype.
    gpu_context(&a).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(256), 256), &arguments);
    });
    from_cube(sum)
}

/// Adds `bias` `[n]` to each row of `x` `[.., n]`, outside of autodiff graphs.
pub(crate) fn add_bias<const D: usize>(x: Tensor<D>, bias: &Tensor<1>) -> Tensor<D> {
    let (x, bias) = (contiguous(into_cube(x)), contiguous(into_cube(bias.clone())));
    let sum = empty(&x, x.shape(), x.dtype());
    let (count, width) = (x.shape().num_elements(), bias.shape().num_elements());
    let sizes = [KernelArg::Long(count as i64), KernelArg::Int(width as i32)];
    let arguments = [vec![pointer(&x), pointer(&bias), pointer(&sum)], sizes.to_vec()].concat();
    let kernel = CudaKernel::for_element(&ELEMENTWISE, "add_bias", x.dtype());
    // SAFETY: all three tensors are alive, dense and of one dtype; rows are as wide as the bias.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(256), 256), &arguments);
    });
    from_cube(sum)
}

/// Computes [`silu`](super::silu).
pub(super) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    apply(Silu, [x.into_dispatch()])
}

#[derive(Clone, Debug)]
struct Silu;

impl DifferentiableOp<1> for Silu {
    type Backend = Cube;

    fn forward(&self, [x]: [CubeTensor; 1]) -> (CubeTensor, Vec<CubeTensor>) {
        let x = contiguous(x);
        let y = empty(&x, x.shape(), x.dtype());
        launch("silu", &[&x, &y]);
        (y, Vec::new())
    }

    fn backward(&self, pass: BackwardPass<Cube, 1>) -> [Option<CubeTensor>; 1] {
        let [x] = pass.inputs.map(contiguous);
        let (d_y, d_x) = (contiguous(pass.output_gradient), empty(&x, x.shape(), x.dtype()));
        launch("silu_backward", &[&x, &d_y, &d_x]);
        [Some(d_x)]
    }
}

/// Computes [`silu_mul`](super::silu_mul).
pub(super) fn silu_mul<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    apply(SiluMul, [gate.into_dispatch(), x.into_dispatch()])
}

/// The operation `silu(gate) · x`.
#[derive(Clone, Debug)]
struct SiluMul;

impl DifferentiableOp<2> for SiluMul {
    type Backend = Cube;

    fn forward(&self, [gate, x]: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        (silu_mul_primitive(gate, x), Vec::new())
    }

    fn backward(&self, pass: BackwardPass<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let ([gate, x], d_y) = (pass.inputs.map(contiguous), contiguous(pass.output_gradient));
        let [d_gate, d_x] = [(); 2].map(|()| empty(&x, x.shape(), x.dtype()));
        launch("silu_mul_backward", &[&gate, &x, &d_y, &d_gate, &d_x]);
        [d_gate, d_x].map(Some)
    }
}

/// Returns `silu(gate) · x`.
pub(crate) fn silu_mul_primitive(gate: CubeTensor, x: CubeTensor) -> CubeTensor {
    let [gate, x] = [gate, x].map(contiguous);
    let y = empty(&x, x.shape(), x.dtype());
    let width = *x.shape().last().expect("a gate is over a dimension");
    let count = x.shape().num_elements();
    let arguments = [
        pointer(&gate),
        KernelArg::Long(width as i64),
        pointer(&x),
        KernelArg::Long(width as i64),
        pointer(&y),
        KernelArg::Long((count / width) as i64),
        KernelArg::Int(width as i32),
    ];
    let kernel = CudaKernel::for_element(&ELEMENTWISE, "silu_mul", x.dtype());
    // SAFETY: all three tensors are dense, of one shape and one dtype.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(2048), 256), &arguments);
    });
    y
}

/// Launches a kernel over dense tensors of one shape and dtype.
fn launch(name: &'static str, tensors: &[&CubeTensor]) {
    let count = tensors[0].shape().num_elements();
    let mut arguments: Vec<KernelArg> = tensors.iter().copied().map(pointer).collect();
    arguments.push(KernelArg::Long(count as i64));
    let kernel = CudaKernel::for_element(&ELEMENTWISE, name, tensors[0].dtype());
    // SAFETY: all tensors are alive, dense and of one shape and dtype.
    gpu_context(tensors[0]).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(2048), 256), &arguments);
    });
}

//! Elementwise operations on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, column_sums, contiguous, device_address, empty, from_cube,
    gpu_context, int_args, into_cube, pointer,
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

/// Adds a bias to each row of `x`, `[.., n]`. `bias` has the shape `[n]`. For a stack of layers, it has the
/// shape `[layers·n]`.
pub(crate) fn add_bias<const D: usize>(x: Tensor<D>, bias: &Tensor<1>) -> Tensor<D> {
    apply(AddBias, [x.into_dispatch(), bias.clone().into_dispatch()])
}

/// The sum of a bias and each row of x, as a differentiable operation. Its inputs are x and the bias.
#[derive(Clone, Debug)]
struct AddBias;

impl DifferentiableOp<2> for AddBias {
    type Backend = Cube;

    fn forward(&self, inputs: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        let [x, bias] = inputs.map(contiguous);
        let sum = empty(&x, x.shape(), x.dtype());
        let (count, width) = (x.shape().num_elements(), *x.shape().last().expect("x has a last dimension"));
        let layer_rows = count / bias.shape().num_elements();
        let arguments = [
            [&x, &bias, &sum].map(pointer).to_vec(),
            vec![KernelArg::Long(count as i64)],
            int_args([layer_rows, width]),
        ];
        let kernel = CudaKernel::for_element(&ELEMENTWISE, "add_bias", x.dtype());
        // SAFETY: all three tensors are alive, dense and of one dtype. Each layer has a bias for each column.
        gpu_context(&x).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(2048), 256), &arguments.concat());
        });
        (sum, Vec::new())
    }

    /// The gradient of the bias is in f32.
    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let ([_, bias], d_sum) = (pass.inputs, pass.output_gradient);
        let layers = bias.shape().num_elements() / *d_sum.shape().last().expect("sums have a last dimension");
        let d_bias = pass.needs_gradient[1].then(|| column_sums(d_sum.clone(), layers));
        [Some(d_sum), d_bias]
    }
}

/// Concatenates tensors of one shape in dense memory, outside of autodiff graphs.
pub(super) fn concat_batches(parts: Vec<Tensor<3>>) -> Tensor<3> {
    let [batch, time, width] = parts[0].dims();
    let parts: Vec<CubeTensor> = parts.into_iter().map(|part| contiguous(into_cube(part))).collect();
    let whole = empty(&parts[0], [parts.len() * batch, time, width], parts[0].dtype());
    let (count, address) = (batch * time * width, device_address(&whole));
    let kernel = CudaKernel::for_element(&ELEMENTWISE, "copy", whole.dtype());
    gpu_context(&whole).with_launcher(|launcher| {
        for (index, part) in parts.iter().enumerate() {
            let offset = index * count * whole.dtype().size();
            let to = KernelArg::Pointer(address + offset as u64);
            let arguments = [pointer(part), to, KernelArg::Long(count as i64)];
            // SAFETY: both tensors are alive and dense. The offset of the part in `whole` is a multiple of 16
            // bytes.
            unsafe { launcher.launch(&kernel, LaunchDims::linear(count.div_ceil(2048), 256), &arguments) };
        }
    });
    from_cube(whole)
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

    fn backward(&self, pass: BackwardArgs<Cube, 1>) -> [Option<CubeTensor>; 1] {
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

    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
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
    let width = *x.shape().last().expect("x has a last dimension");
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

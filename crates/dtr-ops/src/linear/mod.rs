//! Linear projections. Weights have the shape `[out, in]`, as in Hugging Face's checkpoints.

mod cpu;
#[cfg(feature = "cuda")]
mod cublas;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(feature = "cuda")]
mod small_gemm;
#[cfg(test)]
mod tests;

use burn::tensor::{DType, Tensor};

#[cfg(feature = "cuda")]
pub(crate) use cublas::CublasLt;
#[cfg(feature = "cuda")]
pub(crate) use cuda::{matmul as cuda_matmul, multiply};

use crate::elementwise::silu_mul;
use crate::kernel_support::has_cpu_kernels;
#[cfg(feature = "cuda")]
use crate::kernel_support::{has_cuda_inference_kernels, has_cuda_kernels};
use crate::layer_stack::broadcast_layer_parameter;

/// Returns `x · weightᵀ + bias`.
///
/// On a CPU, outside of autodiff graphs, the result of a token is bitwise independent of the other tokens.
pub fn linear(x_btd: Tensor<3>, weight_od: &Tensor<2>, bias_o: Option<&Tensor<1>>) -> Tensor<3> {
    let time = x_btd.dims()[1];
    add_bias(unflatten(matmul(flatten(x_btd), weight_od), time), bias_o)
}

/// Computes [`linear`] for a stack of `layers` layers at once. The batch, the weight and the bias hold the
/// values of all layers, one layer after another. The weight is `[layers·o, d]`, and the bias `[layers·o]`.
pub fn stacked_linear(
    x_btd: Tensor<3>,
    weight_od: &Tensor<2>,
    bias_o: Option<&Tensor<1>>,
    layers: usize,
) -> Tensor<3> {
    let ([batch, time, width], [outputs, _]) = (x_btd.dims(), weight_od.dims());
    let x_lrd = x_btd.reshape([layers, batch / layers * time, width]);
    let weight_lod = weight_od.clone().reshape([layers, outputs / layers, width]);
    let y_lro = batched_matmul(x_lrd, weight_lod);
    add_bias(y_lro.reshape([batch, time, outputs / layers]), bias_o)
}

/// Computes [`linear`] for three weights, each with its bias. On a GPU, one kernel launch can compute several
/// of the products.
pub fn linear_triple(x_btd: Tensor<3>, parts: [(&Tensor<2>, Option<&Tensor<1>>); 3]) -> [Tensor<3>; 3] {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_btd) {
        let time = x_btd.dims()[1];
        let products = cuda::project_triple(flatten(x_btd), parts.map(|(weight, _)| weight));
        let mut products = products.into_iter();
        return parts.map(|(_, bias)| {
            let product = products.next().expect("each weight has a product");
            add_bias(unflatten(product, time), bias)
        });
    }
    parts.map(|(weight, bias)| linear(x_btd.clone(), weight, bias))
}

/// Returns `silu(x · gateᵀ) · (x · upᵀ)`: a SwiGLU MLP (arXiv 2002.05202) without its down projection.
pub fn swiglu(x_btd: Tensor<3>, gate_od: &Tensor<2>, up_od: &Tensor<2>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_btd) {
        let time = x_btd.dims()[1];
        return unflatten(cuda::swiglu(flatten(x_btd), gate_od, up_od), time);
    }
    let gate = linear(x_btd.clone(), gate_od, None);
    silu_mul(gate, linear(x_btd, up_od, None))
}

/// Returns `x_rd · weight_odᵀ` in f32, for inputs of any dtype. Logits need f32, since bf16 would round
/// logits that are close to each other to the same value.
pub fn linear_f32(x_rd: Tensor<2>, weight_od: &Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_rd) {
        return cuda::project_f32(x_rd, weight_od);
    }
    matmul(x_rd, weight_od).cast(DType::F32)
}

/// Returns `x_ro · weight_od`, outside of autodiff graphs. If `x_ro` is the gradient of a projection's
/// output, the result is the gradient of the projection's input.
pub(crate) fn product(x_ro: Tensor<2>, weight_od: &Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_ro) {
        return cuda_matmul(x_ro, weight_od.clone(), false);
    }
    x_ro.matmul(weight_od.clone())
}

/// Returns `y_roᵀ · x_rd` in f32, outside of autodiff graphs. If `y_ro` is the gradient of a projection's
/// output and `x_rd` its input, the result is the gradient of the projection's weight.
pub(crate) fn transposed_product_f32(y_ro: Tensor<2>, x_rd: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_rd) {
        return cuda::transposed_product_f32(y_ro, x_rd);
    }
    y_ro.transpose().matmul(x_rd).cast(DType::F32)
}

/// Returns the same matrix with contiguous columns. Products of few rows with this weight are then faster. If
/// the matrix is not f32 on a CPU, returns it unchanged.
pub fn to_column_major(weight: Tensor<2>) -> Tensor<2> {
    if !has_cpu_kernels(&weight) {
        return weight;
    }
    cpu::disable_packing();
    let [out, inputs] = weight.dims();
    weight.transpose().reshape([inputs * out]).reshape([inputs, out]).transpose()
}

/// Returns the parameter `row` as a tensor that broadcasts to the tokens of `x_btd`. For a stack of layers,
/// `row` holds the values of each layer.
///
/// If `row` is on an autodiff graph on a GPU, expands it to the shape of `x_btd`. In the backward pass of a
/// broadcast, burn would sum the gradient over the tokens slowly.
pub(crate) fn broadcast_row(row: &Tensor<1>, x_btd: &Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if row.is_autodiff() && has_cuda_kernels(row) {
        return cuda::expand_row(row.clone(), x_btd.dims());
    }
    broadcast_layer_parameter(row, x_btd.dims())
}

/// Returns `x · weightᵀ` for each layer of a stack.
fn batched_matmul(x_lrd: Tensor<3>, weight_lod: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&x_lrd) {
        return cuda::project(x_lrd, weight_lod);
    }
    x_lrd.matmul(weight_lod.transpose())
}

/// Returns `x_rd · weight_odᵀ`.
fn matmul(x_rd: Tensor<2>, weight_od: &Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "cuda")]
    if has_cuda_kernels(&x_rd) {
        return cuda::project(x_rd, weight_od.clone());
    }
    cpu::matmul(x_rd, weight_od)
}

fn add_bias(y_btd: Tensor<3>, bias: Option<&Tensor<1>>) -> Tensor<3> {
    match bias {
        #[cfg(feature = "cuda")]
        Some(bias) if has_cuda_kernels(&y_btd) => crate::elementwise::add_bias(y_btd, bias),
        Some(bias) => {
            let bias = broadcast_row(bias, &y_btd);
            y_btd + bias
        }
        None => y_btd,
    }
}

fn flatten(x_btd: Tensor<3>) -> Tensor<2> {
    let [batch, time, width] = x_btd.dims();
    x_btd.reshape([batch * time, width])
}

fn unflatten(y_rd: Tensor<2>, time: usize) -> Tensor<3> {
    let [rows, width] = y_rd.dims();
    y_rd.reshape([rows / time, time, width])
}

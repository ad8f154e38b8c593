//! Products of matrices as tensors.

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;

use super::blas::Product;
use super::buffer::{address, card, contiguous, dims, unwritten, with_dense_rows};
use super::small_gemm;
use crate::native::elements::are_few;
use crate::native::inference::Frozen;

/// `op(a) · op(b)`; of more than two dimensions the last two are multiplied, each matrix of `a` with its own of `b`.
pub(super) fn multiply(
    a: CubeTensor,
    transpose_a: bool,
    b: CubeTensor,
    transpose_b: bool,
    output: DType,
) -> CubeTensor {
    // cuBLASLt takes two dtypes as they lie, and would read the one as the other.
    assert_eq!(a.dtype(), b.dtype(), "factors of a product are of one dtype");
    let is_one = a.shape().num_dims() == 2;
    if is_one && !transpose_a && transpose_b && are_few(a.shape()[0], a.shape()[1], a.dtype()) {
        let [product] = small_gemm::project(a, [b], output);
        return product;
    }
    let [a, b] = [a, b].map(if is_one { with_dense_rows } else { contiguous });
    let ([rows, inner], [also_inner, columns]) = (sides(&a, transpose_a), sides(&b, transpose_b));
    assert_eq!(inner, also_inner, "factors of a product meet");
    let matrices = leading(&a);
    assert_eq!(matrices, leading(&b), "every matrix has its factor");
    let count = matrices.iter().product();
    let d = unwritten(&a, Shape::from([matrices, vec![rows, columns]].concat()), output);
    let stride = |tensor: &CubeTensor| tensor.meta.strides()[tensor.shape().num_dims() - 2];
    let product = Product {
        count,
        shares_a: false,
        rows,
        columns,
        inner,
        transpose_a,
        transpose_b,
        stride_a: stride(&a),
        stride_b: stride(&b),
        input: a.dtype(),
        output,
    };
    let addresses = [&a, &b, &d].map(address);
    let pitch = inner * columns;
    card(&a).run(|lane| {
        let (blas, stream) = lane.blas();
        // SAFETY: the three tensors are alive and of the product's shapes, strides and dtypes; burn's memory, and every
        // view of it that is no copy, begins at a multiple of 512 bytes.
        unsafe { blas.multiply(stream, product, addresses, pitch as i64) };
    });
    d
}

/// `x · weightᵀ` for each of three weights of `x`'s dtype.
pub(super) fn project(x: CubeTensor, weights: [CubeTensor; 3]) -> [CubeTensor; 3] {
    let [rows, width] = dims(&x);
    let dtype = x.dtype();
    if are_few(rows, width, dtype) {
        return small_gemm::project(x, weights, dtype);
    }
    let [one, two, three] = weights;
    let [two, three] = project_pair(x.clone(), [two, three]);
    [multiply(x, false, one, true, dtype), two, three]
}

/// `silu(x · gateᵀ) · (x · upᵀ)`.
pub(super) fn gated(x: CubeTensor, gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let [rows, width] = dims(&x);
    if are_few(rows, width, x.dtype()) {
        return small_gemm::gated(x, gate, up);
    }
    let [gate, up] = project_pair(x, [gate, up]);
    Cube::frozen_swish_gate(gate, up)
}

/// Rows up to which two products are better asked for as one: with more, one alone fills the device.
const MOST_AS_ONE: usize = 512;

/// What burn's memory, and every view of it, begins at a multiple of.
const ALIGNMENT: usize = 512;

/// `x · weightᵀ` for two weights: as one product where they are of one shape, wherever they lie.
fn project_pair(x: CubeTensor, weights: [CubeTensor; 2]) -> [CubeTensor; 2] {
    let (x, weights) = (with_dense_rows(x), weights.map(contiguous));
    let ([rows, inner], [columns, _]) = (dims(&x), dims(&weights[0]));
    let (dtype, addresses) = (x.dtype(), weights.each_ref().map(address));
    let bytes = rows * columns * dtype.size();
    let are_alike = weights[0].shape() == weights[1].shape() && bytes.is_multiple_of(ALIGNMENT);
    if rows > MOST_AS_ONE || !are_alike {
        return weights.map(|weight| multiply(x.clone(), false, weight, true, dtype));
    }
    let both = unwritten(&x, [2, rows, columns], dtype);
    let product = Product {
        count: 2,
        shares_a: true,
        rows,
        columns,
        inner,
        transpose_a: false,
        transpose_b: true,
        stride_a: x.meta.strides()[0],
        stride_b: inner,
        input: dtype,
        output: dtype,
    };
    // cuBLASLt goes upwards alone.
    let starts = if addresses[0] < addresses[1] { [0, bytes] } else { [bytes, 0] };
    let pitch = addresses[0].abs_diff(addresses[1]) / dtype.size() as u64;
    let lower = addresses[0].min(addresses[1]);
    let addresses = [address(&x), lower, address(&both)];
    card(&x).run(|lane| {
        let (blas, stream) = lane.blas();
        // SAFETY: as above; the other weight begins where the pitch says.
        unsafe { blas.multiply(stream, product, addresses, pitch as i64) };
    });
    starts.map(|start| {
        let handle = both.handle.clone().offset_start(start as u64);
        let (client, device) = (both.client.clone(), both.device.clone());
        CubeTensor::new_contiguous(client, device, Shape::from([rows, columns]), handle, dtype)
    })
}

/// Rows and columns of `op(tensor)`.
fn sides(tensor: &CubeTensor, is_transposed: bool) -> [usize; 2] {
    let shape = tensor.shape();
    let [rows, columns] = shape.last_chunk().expect("a factor is a matrix");
    if is_transposed { [*columns, *rows] } else { [*rows, *columns] }
}

/// All dimensions but the last two.
fn leading(tensor: &CubeTensor) -> Vec<usize> {
    let shape = tensor.shape();
    shape[..shape.num_dims() - 2].to_vec()
}

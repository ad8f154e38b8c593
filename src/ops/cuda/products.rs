//! Products of matrices as tensors.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;

use super::blas::Product;
use super::buffer::{address, card, contiguous, unwritten, with_dense_rows};
use super::few;
use crate::ops::native::elements::are_few;

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
        let [product] = few::project(a, [b], output);
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
    card(&a).run(|lane| {
        let (blas, stream) = lane.blas();
        // SAFETY: the three tensors are alive and of the product's shapes, strides and dtypes; burn's memory, and every
        // view of it that is no copy, begins at a multiple of 512 bytes.
        unsafe { blas.multiply(stream, product, addresses) };
    });
    d
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

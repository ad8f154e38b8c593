//! Products of matrices as tensors.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::blas::Product;
use super::buffer::{address, card, unwritten, with_dense_rows};

/// `op(a) · op(b)`.
pub(super) fn multiply(
    a: CubeTensor,
    transpose_a: bool,
    b: CubeTensor,
    transpose_b: bool,
    output: DType,
) -> CubeTensor {
    // cuBLASLt takes two dtypes as they lie, and would read the one as the other.
    assert_eq!(a.dtype(), b.dtype(), "factors of a product are of one dtype");
    let [a, b] = [a, b].map(with_dense_rows);
    let sides = |tensor: &CubeTensor, is_transposed: bool| {
        let shape = tensor.shape();
        if is_transposed { [shape[1], shape[0]] } else { [shape[0], shape[1]] }
    };
    let ([rows, inner], [also_inner, columns]) = (sides(&a, transpose_a), sides(&b, transpose_b));
    assert_eq!(inner, also_inner, "factors of a product meet");
    let d = unwritten(&a, [rows, columns], output);
    let (stride_a, stride_b) = (a.meta.strides()[0], b.meta.strides()[0]);
    let input = a.dtype();
    let product =
        Product { rows, columns, inner, transpose_a, transpose_b, stride_a, stride_b, input, output };
    let addresses = [&a, &b, &d].map(address);
    card(&a).run(|lane| {
        let (blas, stream) = lane.blas();
        // SAFETY: the three tensors are alive and of the product's shapes, strides and dtypes; burn's memory, and every
        // view of it that is no copy, begins at a multiple of 512 bytes.
        unsafe { blas.multiply(stream, product, addresses) };
    });
    d
}

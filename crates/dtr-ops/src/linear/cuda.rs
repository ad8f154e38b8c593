//! Projections on CUDA devices, with cuBLASLt or, for a few rows, with a kernel of this crate.

#![allow(unsafe_code)]

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::cublas::MatmulSpec;
use super::small_gemm;
use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    column_sums, contiguous, device_address, dims, empty, from_cube, gpu_context, into_cube,
    with_contiguous_rows,
};
use crate::elementwise::silu_mul_primitive;

/// The largest number of rows for which one batched product computes two products. With more rows, a single
/// product already fills the device.
const MAX_PAIRED_ROWS: usize = 512;

/// The alignment in bytes of burn's buffers, and of this crate's views into these buffers.
const ALIGNMENT: usize = 512;

/// Returns `x_rd · weight_odᵀ`. Leading dimensions are a batch of products, each with its own weight.
pub(crate) fn project<const D: usize>(x_rd: Tensor<D>, weight_od: Tensor<D>) -> Tensor<D> {
    apply(Project, [x_rd.into_dispatch(), weight_od.into_dispatch()])
}

/// A projection as a differentiable operation. Its inputs are x and the weight.
#[derive(Clone, Debug)]
struct Project;

impl DifferentiableOp<2> for Project {
    type Backend = Cube;

    fn forward(&self, [x, weight]: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        let dtype = x.dtype();
        (multiply(x, false, weight, true, dtype), Vec::new())
    }

    /// The gradient of the weight is in f32.
    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let ([x, weight], d_y) = (pass.inputs, pass.output_gradient);
        let [needs_x, needs_weight] = pass.needs_gradient;
        let dtype = d_y.dtype();
        let d_x = needs_x.then(|| multiply(d_y.clone(), false, weight, false, dtype));
        [d_x, needs_weight.then(|| multiply(d_y, true, x, false, DType::F32))]
    }
}

/// Returns the matrix products `a · b` over the last two dimensions, or `a · bᵀ` if `transpose_b` is set.
/// Leading dimensions are a batch.
pub(crate) fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>, transpose_b: bool) -> Tensor<D> {
    apply(Matmul { transpose_b }, [a.into_dispatch(), b.into_dispatch()])
}

/// A product of activations as a differentiable operation. Its inputs are the two factors.
#[derive(Clone, Debug)]
struct Matmul {
    transpose_b: bool,
}

impl DifferentiableOp<2> for Matmul {
    type Backend = Cube;

    fn forward(&self, [a, b]: [CubeTensor; 2]) -> (CubeTensor, Vec<CubeTensor>) {
        let dtype = a.dtype();
        (multiply(a, false, b, self.transpose_b, dtype), Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Cube, 2>) -> [Option<CubeTensor>; 2] {
        let ([a, b], d_y) = (pass.inputs, pass.output_gradient);
        let [needs_a, needs_b] = pass.needs_gradient;
        let dtype = d_y.dtype();
        let d_a = needs_a.then(|| multiply(d_y.clone(), false, b, !self.transpose_b, dtype));
        let d_b = needs_b.then(|| match self.transpose_b {
            true => multiply(d_y, true, a, false, dtype),
            false => multiply(a, true, d_y, false, dtype),
        });
        [d_a, d_b]
    }
}

/// Returns `x_rd · weight_odᵀ` in f32, outside of autodiff graphs.
pub(super) fn project_f32(x_rd: Tensor<2>, weight_od: &Tensor<2>) -> Tensor<2> {
    from_cube(multiply(into_cube(x_rd), false, into_cube(weight_od.clone()), true, DType::F32))
}

/// Returns `y_roᵀ · x_rd` in f32, outside of autodiff graphs.
pub(super) fn transposed_product_f32(y_ro: Tensor<2>, x_rd: Tensor<2>) -> Tensor<2> {
    from_cube(multiply(into_cube(y_ro), true, into_cube(x_rd), false, DType::F32))
}

/// Returns `x_rd · weight_odᵀ` for each of three weights, outside of autodiff graphs.
pub(super) fn project_triple(x_rd: Tensor<2>, weights_od: [&Tensor<2>; 3]) -> [Tensor<2>; 3] {
    let (x, weights) = (into_cube(x_rd), weights_od.map(|weight| into_cube(weight.clone())));
    let [rows, width] = dims(&x);
    let dtype = x.dtype();
    if small_gemm::is_supported(rows, width, dtype) {
        return small_gemm::project(x, weights, dtype).map(from_cube);
    }
    let [first, second, third] = weights;
    let [second, third] = project_pair(x.clone(), [second, third]);
    [multiply(x, false, first, true, dtype), second, third].map(from_cube)
}

/// Returns `silu(x · gateᵀ) · (x · upᵀ)`, outside of autodiff graphs.
pub(super) fn swiglu(x_rd: Tensor<2>, gate_od: &Tensor<2>, up_od: &Tensor<2>) -> Tensor<2> {
    let (x, weights) = (into_cube(x_rd), [gate_od, up_od].map(|weight| into_cube(weight.clone())));
    let [rows, width] = dims(&x);
    if small_gemm::is_supported(rows, width, x.dtype()) {
        return from_cube(small_gemm::swiglu(x, weights));
    }
    let [gate, up] = project_pair(x, weights);
    from_cube(silu_mul_primitive(gate, up))
}

/// Repeats `row` for each token of `shape`, `[b, t, n]`. A row has `n` elements, or `layers·n` elements for a
/// stack of layers.
pub(super) fn expand_row(row: Tensor<1>, shape: [usize; 3]) -> Tensor<3> {
    apply(ExpandRow { shape }, [row.into_dispatch()])
}

/// The expansion of a row to all tokens, as a differentiable operation.
#[derive(Clone, Debug)]
struct ExpandRow {
    shape: [usize; 3],
}

impl DifferentiableOp<1> for ExpandRow {
    type Backend = Cube;

    fn forward(&self, [row]: [CubeTensor; 1]) -> (CubeTensor, Vec<CubeTensor>) {
        let ([batch, time, width], layers) = (self.shape, self.layers(&row));
        let rows = Cube::float_reshape(row, [layers, 1, 1, width].into());
        let rows = Cube::float_expand(rows, [layers, batch / layers, time, width].into());
        (Cube::float_reshape(rows, self.shape.into()), Vec::new())
    }

    /// The gradient is in f32.
    fn backward(&self, pass: BackwardArgs<Cube, 1>) -> [Option<CubeTensor>; 1] {
        let layers = self.layers(&pass.inputs[0]);
        [Some(column_sums(pass.output_gradient, layers))]
    }
}

impl ExpandRow {
    fn layers(&self, row: &CubeTensor) -> usize {
        row.shape().num_elements() / self.shape[2]
    }
}

/// Returns `op(a) · op(b)` in the dtype `output`, where `op` transposes a matrix if the matrix's flag is set.
/// The last two dimensions are matrices, and the leading dimensions are a batch.
pub(crate) fn multiply(
    a: CubeTensor,
    transpose_a: bool,
    b: CubeTensor,
    transpose_b: bool,
    output: DType,
) -> CubeTensor {
    // With two dtypes, cuBLASLt would read the elements of `b` in the dtype of `a`.
    assert_eq!(a.dtype(), b.dtype(), "the factors of a product must have the same dtype");
    let is_single = a.shape().num_dims() == 2;
    if is_single && !transpose_a && transpose_b {
        let [rows, width] = dims(&a);
        if small_gemm::is_supported(rows, width, a.dtype()) {
            let [product] = small_gemm::project(a, [b], output);
            return product;
        }
    }
    let [a, b] = [a, b].map(if is_single { with_contiguous_rows } else { contiguous });
    let ([rows, inner], [b_inner, columns]) = (matrix_dims(&a, transpose_a), matrix_dims(&b, transpose_b));
    assert_eq!(inner, b_inner, "the inner dimensions of a product must match");
    let batch = batch_dims(&a);
    assert_eq!(batch, batch_dims(&b), "the batches of a product must match");
    let count = batch.iter().product();
    let d = empty(&a, Shape::from([batch, vec![rows, columns]].concat()), output);
    let row_stride = |tensor: &CubeTensor| tensor.meta.strides()[tensor.shape().num_dims() - 2];
    let spec = MatmulSpec {
        count,
        shares_a: false,
        rows,
        columns,
        inner,
        transpose_a,
        transpose_b,
        stride_a: row_stride(&a),
        stride_b: row_stride(&b),
        input: a.dtype(),
        output,
    };
    let addresses = [&a, &b, &d].map(device_address);
    gpu_context(&a).with_launcher(|launcher| {
        let (cublaslt, stream) = launcher.cublaslt();
        // SAFETY: the three tensors are alive and have the spec's shapes, strides and dtypes. burn aligns
        // them to `ALIGNMENT` bytes.
        unsafe { cublaslt.multiply(stream, spec, addresses, (inner * columns) as i64) };
    });
    d
}

/// Returns `x · weightᵀ` for two weights. One batched product computes both products under three conditions.
/// The weights have the same shape, `x` has at most [`MAX_PAIRED_ROWS`] rows, and the second product is
/// aligned to [`ALIGNMENT`] bytes. The weights need not be adjacent in memory.
fn project_pair(x: CubeTensor, weights: [CubeTensor; 2]) -> [CubeTensor; 2] {
    let (x, weights) = (with_contiguous_rows(x), weights.map(contiguous));
    let ([rows, inner], [columns, _]) = (dims(&x), dims(&weights[0]));
    let (dtype, addresses) = (x.dtype(), weights.each_ref().map(device_address));
    let bytes = rows * columns * dtype.size();
    let has_one_shape = weights[0].shape() == weights[1].shape() && bytes.is_multiple_of(ALIGNMENT);
    if rows > MAX_PAIRED_ROWS || !has_one_shape {
        return weights.map(|weight| multiply(x.clone(), false, weight, true, dtype));
    }
    let products = empty(&x, [2, rows, columns], dtype);
    let spec = MatmulSpec {
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
    // The offset between the matrices of a batch must not be negative. The weight with the lower address
    // therefore comes first.
    let offsets = if addresses[0] < addresses[1] { [0, bytes] } else { [bytes, 0] };
    let batch_stride_b = addresses[0].abs_diff(addresses[1]) / dtype.size() as u64;
    let lower = addresses[0].min(addresses[1]);
    let addresses = [device_address(&x), lower, device_address(&products)];
    gpu_context(&x).with_launcher(|launcher| {
        let (cublaslt, stream) = launcher.cublaslt();
        // SAFETY: as in `multiply`. The second weight begins `batch_stride_b` elements after the first.
        unsafe { cublaslt.multiply(stream, spec, addresses, batch_stride_b as i64) };
    });
    offsets.map(|offset| {
        let handle = products.handle.clone().offset_start(offset as u64);
        let (client, device) = (products.client.clone(), products.device.clone());
        CubeTensor::new_contiguous(client, device, Shape::from([rows, columns]), handle, dtype)
    })
}

/// Returns the numbers of rows and columns of `tensor`, or of its transpose if `is_transposed`.
fn matrix_dims(tensor: &CubeTensor, is_transposed: bool) -> [usize; 2] {
    let shape = tensor.shape();
    let [rows, columns] = shape.last_chunk().expect("a factor is a matrix");
    if is_transposed { [*columns, *rows] } else { [*rows, *columns] }
}

/// Returns the sizes of all dimensions but the last two.
fn batch_dims(tensor: &CubeTensor) -> Vec<usize> {
    let shape = tensor.shape();
    shape[..shape.num_dims() - 2].to_vec()
}

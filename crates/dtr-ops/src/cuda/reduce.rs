//! Sums of the columns of matrices, and sums of the partial sums that other kernels wrote. The order of the
//! additions is fixed, so the results are deterministic.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{contiguous, dims, empty, gpu_context, pointer};
use super::compile::{CudaKernel, CudaSource};
use super::launch::{KernelArg, LaunchDims, int_args};

static REDUCE: CudaSource = CudaSource { name: "reduce", text: include_str!("reduce.cu") };

/// Returns the number of blocks into which the rows of each matrix are divided. `layers` is the number of
/// matrices whose columns one launch sums. Each block of rows yields one row of partial sums.
pub(crate) fn num_row_blocks(layers: usize) -> usize {
    256_usize.div_ceil(layers).max(16)
}

/// Returns the launch dimensions for `layers` matrices. A thread sums one column of one block of rows.
pub(crate) fn row_block_dims(columns: usize, layers: usize) -> LaunchDims {
    let grid = (columns.div_ceil(128) as u32, num_row_blocks(layers) as u32, layers as u32);
    LaunchDims { grid, block: (128, 1), shared_bytes: 0 }
}

/// Divides the rows of `x`, `[.., n]`, into `layers` equal parts, and sums the columns of each part. Returns
/// the sums in f32, `[layers·n]`.
pub(crate) fn column_sums(x: CubeTensor, layers: usize) -> CubeTensor {
    let x = contiguous(x);
    let width = *x.shape().last().expect("the tensor must have an axis");
    let rows = x.shape().num_elements() / width / layers;
    let partials = empty(&x, [layers * num_row_blocks(layers), width], DType::F32);
    let sizes = [KernelArg::Long(rows as i64), KernelArg::Int(width as i32)];
    let arguments = [[&x, &partials].map(pointer), sizes].concat();
    let kernel = CudaKernel::for_element(&REDUCE, "column_sums", x.dtype());
    // SAFETY: both tensors are alive, dense and of these sizes.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, row_block_dims(width, layers), &arguments);
    });
    sum_rows(partials, layers, [layers * width])
}

/// Sums the rows of each of `layers` matrices of partial sums (f32). `rows` holds one matrix after another.
/// Returns the sums as a tensor of `shape`.
pub(crate) fn sum_rows(rows: CubeTensor, layers: usize, shape: impl Into<Shape>) -> CubeTensor {
    let [count, columns] = dims(&rows);
    let sum = empty(&rows, shape, DType::F32);
    let arguments = [vec![pointer(&rows), pointer(&sum)], int_args([count / layers, columns])].concat();
    let kernel = CudaKernel::for_element(&REDUCE, "sum_rows", DType::F32);
    let grid = (columns.div_ceil(32) as u32, layers as u32, 1);
    // SAFETY: both tensors are alive and dense. The sum has as many elements as `layers` rows.
    gpu_context(&rows).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims { grid, block: (128, 1), shared_bytes: 0 }, &arguments);
    });
    sum
}

/// Divides `partials` (f32) into `layers` equal parts. Returns the sum of each part times `scale`,
/// `[layers]`.
pub(crate) fn sum_partials(partials: &CubeTensor, layers: usize, scale: f32) -> CubeTensor {
    let sum = empty(partials, [layers], DType::F32);
    let count = partials.shape().num_elements() / layers;
    let arguments = [pointer(partials), KernelArg::Int(count as i32), KernelArg::Float(scale), pointer(&sum)];
    let kernel = CudaKernel::for_element(&REDUCE, "sum_partials", DType::F32);
    // SAFETY: both tensors are alive and dense.
    gpu_context(partials).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(layers, 1024), &arguments);
    });
    sum
}

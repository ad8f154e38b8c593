//! Sums of partial sums that other kernels computed, in a fixed order.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{contiguous, dims, empty, gpu_context, pointer};
use super::compile::{CudaKernel, CudaSource};
use super::launch::{KernelArg, LaunchDims, int_args};

static REDUCE: CudaSource = CudaSource { name: "reduce", text: include_str!("reduce.cu") };

/// The number of blocks that share the rows of a matrix when its columns are summed. Each block writes a row
/// of partial sums.
pub(crate) const NUM_ROW_BLOCKS: usize = 256;

/// Returns the launch of a kernel with a thread for each column and block of rows.
pub(crate) fn row_block_dims(columns: usize) -> LaunchDims {
    let grid = (columns.div_ceil(128) as u32, NUM_ROW_BLOCKS as u32, 1);
    LaunchDims { grid, block: (128, 1), shared_bytes: 0 }
}

/// Returns the sums of the columns of `x` `[.., n]` in f32, `[n]`.
pub(crate) fn column_sums(x: CubeTensor) -> CubeTensor {
    let x = contiguous(x);
    let width = *x.shape().last().expect("a matrix has columns");
    let rows = x.shape().num_elements() / width;
    let partials = empty(&x, [NUM_ROW_BLOCKS, width], DType::F32);
    let sizes = [KernelArg::Long(rows as i64), KernelArg::Int(width as i32)];
    let arguments = [[&x, &partials].map(pointer), sizes].concat();
    let kernel = CudaKernel::for_element(&REDUCE, "column_sums", x.dtype());
    // SAFETY: both tensors are alive, dense and of these sizes.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, row_block_dims(width), &arguments);
    });
    sum_rows(partials, [width])
}

/// Returns the sum of the rows of a matrix of partial sums (f32), as a tensor of `shape`.
pub(crate) fn sum_rows(rows: CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    let [count, columns] = dims(&rows);
    let sum = empty(&rows, shape, DType::F32);
    let arguments = [vec![pointer(&rows), pointer(&sum)], int_args([count, columns])].concat();
    let kernel = CudaKernel::for_element(&REDUCE, "sum_rows", DType::F32);
    // SAFETY: both tensors are alive and dense; the sum has as many elements as a row.
    gpu_context(&rows).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(columns.div_ceil(32), 128), &arguments);
    });
    sum
}

/// Returns the sum of `partials` `[n]` (f32) times `scale`, `[1]`.
pub(crate) fn sum_partials(partials: &CubeTensor, scale: f32) -> CubeTensor {
    let sum = empty(partials, [1], DType::F32);
    let count = partials.shape().num_elements();
    let arguments = [pointer(partials), KernelArg::Int(count as i32), KernelArg::Float(scale), pointer(&sum)];
    let kernel = CudaKernel::for_element(&REDUCE, "sum_partials", DType::F32);
    // SAFETY: both tensors are alive and dense.
    gpu_context(partials).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(1, 1024), &arguments);
    });
    sum
}

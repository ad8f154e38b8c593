//! Infrastructure for the CUDA kernels of all operations: devices, buffers, compilation, launches and CUDA
//! graphs.
//!
//! The `cuda.rs` of each operation launches its kernels through this module, with `unsafe` at each launch.

#![allow(unsafe_code)]

mod buffer;
mod compile;
mod context;
mod launch;
mod reduce;
mod stream;

pub(crate) use buffer::{
    contiguous, copy_if_shared, device_address, dims, empty, empty_time_major, from_cube, gpu_context,
    into_cube, overwrite, pointer, pointer_and_strides, pointer_or_null, position_stride,
    with_contiguous_rows, with_layout,
};
pub(crate) use compile::{CudaKernel, CudaSource, cuda_type, missing_requirements};
pub(crate) use context::{CapturedGraph, GpuContext, expect_success};
pub(crate) use launch::{KernelArg, LaunchDims, int_args};
pub(crate) use reduce::{column_sums, num_row_blocks, row_block_dims, sum_partials, sum_rows};
pub(crate) use stream::{run_on_server_thread, use_single_stream};

//! Projections of a few rows, as in decoding. Reading the weights dominates the time of such projections. One
//! kernel launch computes the products with several weights.

#![allow(unsafe_code)]

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, cuda_type, dims, empty, gpu_context, int_args,
    pointer,
};

static SMALL_GEMM: CudaSource = CudaSource { name: "small_gemm", text: include_str!("small_gemm.cu") };

/// The largest number of rows of `x` for these kernels. With more rows, cuBLASLt is faster, since it uses
/// tensor cores.
const MAX_ROWS: usize = 4;

/// The number of warps of a block. Each warp computes one column of the output.
const WARPS: usize = 4;

/// Returns whether these kernels support products of `rows` rows of `width` elements and are faster than
/// cuBLASLt. A row's bytes must be a multiple of 16, since the kernels read 16 bytes at a time.
pub(super) fn is_supported(rows: usize, width: usize, dtype: DType) -> bool {
    rows <= MAX_ROWS && (width * dtype.size()).is_multiple_of(16)
}

/// Returns `x · weightᵀ` for each of one to three weights.
pub(super) fn project<const N: usize>(
    x: CubeTensor,
    weights: [CubeTensor; N],
    output: DType,
) -> [CubeTensor; N] {
    let (x, weights) = (contiguous(x), weights.map(contiguous));
    let [rows, width] = dims(&x);
    let outs = weights.each_ref().map(|weight| dims::<2>(weight)[0]);
    let products = outs.map(|out| empty(&x, [rows, out], output));
    let mut arguments = vec![pointer(&x), KernelArg::Int(width as i32)];
    for ((weight, product), out) in weights.iter().zip(&products).zip(outs) {
        arguments.extend([pointer(weight), pointer(product), KernelArg::Int(out as i32)]);
    }
    let absent = [KernelArg::Pointer(0), KernelArg::Pointer(0), KernelArg::Int(0)];
    arguments.extend(std::iter::repeat_n(absent, 3 - N).flatten());
    let kernel = kernel("project", &x, output);
    // SAFETY: all tensors are alive and dense. The weights have the width and the dtype of x. Absent weights
    // have no rows.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, warp_per_column(outs.iter().sum()), &arguments);
    });
    products
}

/// Returns `silu(x · gateᵀ) · (x · upᵀ)`.
pub(super) fn swiglu(x: CubeTensor, weights: [CubeTensor; 2]) -> CubeTensor {
    let (x, [gate, up]) = (contiguous(x), weights.map(contiguous));
    let ([rows, width], [out, _]) = (dims(&x), dims(&gate));
    let y = empty(&x, [rows, out], x.dtype());
    let arguments =
        [vec![pointer(&x)], int_args([width]), [&gate, &up, &y].map(pointer).to_vec(), int_args([out])];
    let kernel = kernel("swiglu", &x, x.dtype());
    // SAFETY: all tensors are alive and dense. Both weights have the same shape, and the width and the dtype
    // of x.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, warp_per_column(out), &arguments.concat());
    });
    y
}

fn kernel(name: &'static str, x: &CubeTensor, output: DType) -> CudaKernel {
    let (rows, input, output) = (x.shape()[0], cuda_type(x.dtype()), cuda_type(output));
    let defines = format!("-DROWS={rows} -DELEMENT={input} -DRESULT={output}");
    CudaKernel { source: &SMALL_GEMM, defines, name }
}

fn warp_per_column(columns: usize) -> LaunchDims {
    LaunchDims::linear(columns.div_ceil(WARPS), 32 * WARPS as u32)
}

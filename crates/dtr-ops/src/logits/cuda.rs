//! Log-likelihoods of tokens, and the argmax of rows, on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Int, Tensor};

use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, dims, empty, from_cube, gpu_context, int_args,
    into_cube, pointer,
};

pub(super) static LOGITS: CudaSource = CudaSource { name: "logits", text: include_str!("logits.cu") };

/// Computes the log-likelihood of each token of `targets_n` under its row of `logits_pv`, outside of autodiff
/// graphs. `rows_n` holds the index of each target's row.
pub(super) fn select_log_likelihoods(
    logits_pv: Tensor<2>,
    rows_n: Tensor<1, Int>,
    targets_n: Tensor<1, Int>,
) -> Tensor<1> {
    let logits = contiguous(into_cube(logits_pv));
    let [rows, targets] = [rows_n, targets_n].map(|indices| contiguous(into_cube(indices)));
    assert!([&rows, &targets].iter().all(|indices| indices.dtype() == DType::I32), "indices must be i32");
    let ([num_rows, vocab], [count]) = (dims(&logits), dims(&targets));
    let [log_sums, likelihoods] = [num_rows, count].map(|length| empty(&logits, [length], DType::F32));
    let row_arguments = [[&logits, &log_sums].map(pointer).to_vec(), int_args([vocab])];
    let tensors = [&logits, &log_sums, &rows, &targets, &likelihoods].map(pointer);
    let token_arguments = [tensors.to_vec(), int_args([count, vocab])];
    let kernel = |name| CudaKernel::for_element(&LOGITS, name, logits.dtype());
    // SAFETY: all tensors are alive and dense. All rows and targets are within the logits.
    gpu_context(&logits).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel("log_sums"), LaunchDims::linear(num_rows, 512), &row_arguments.concat());
        let dims = LaunchDims::linear(count.div_ceil(256), 256);
        launcher.launch(&kernel("log_likelihoods"), dims, &token_arguments.concat());
    });
    from_cube(likelihoods)
}

/// Writes the column of the largest element of each row into `indices_r`. If several elements of a row are
/// equally large, writes the first of their columns. If all elements are NaN, writes -1. Writes in place,
/// even if other tensors share the memory of `indices_r`.
pub(super) fn argmax_into(x_rn: Tensor<2>, indices_r: Tensor<1, Int>) -> Tensor<1, Int> {
    let (x, indices) = (contiguous(into_cube(x_rn)), into_cube(indices_r));
    let [rows, columns] = dims(&x);
    let arguments =
        [pointer(&x), KernelArg::Long(columns as i64), pointer(&indices), KernelArg::Int(columns as i32)];
    let kernel = CudaKernel::for_element(&LOGITS, "argmax_rows", x.dtype());
    // SAFETY: both tensors are alive and dense. `indices` has an element for each row.
    gpu_context(&x).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear(rows, 512), &arguments);
    });
    from_cube(indices)
}

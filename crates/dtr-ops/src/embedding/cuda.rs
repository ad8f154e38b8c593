//! Lookup of embeddings on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::TensorMetadata;
use burn::tensor::{Int, Tensor};

use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, dims, empty, from_cube, gpu_context,
    into_cube, pointer,
};

static EMBEDDING: CudaSource = CudaSource { name: "embedding", text: include_str!("embedding.cu") };

/// Computes [`embedding`](super::embedding) outside of autodiff graphs. Each index must be below the number
/// of rows of the table.
pub(super) fn embedding(table_nd: &Tensor<2>, indices_r: Tensor<1, Int>) -> Tensor<2> {
    let (table, indices) = (contiguous(into_cube(table_nd.clone())), into_cube(indices_r));
    let ([_, width], [count]) = (dims(&table), dims(&indices));
    let rows = empty(&table, [count, width], table.dtype());
    let bytes = width * table.dtype().size();
    assert!(bytes.is_multiple_of(16), "the bytes of a row of an embedding table are a multiple of 16");
    let vectors = bytes / 16;
    let sizes = [KernelArg::Long(count as i64), KernelArg::Int(vectors as i32)];
    let arguments = [[&table, &indices, &rows].map(pointer).to_vec(), sizes.to_vec()].concat();
    let kernel = CudaKernel { source: &EMBEDDING, defines: String::new(), name: "gather_rows" };
    // SAFETY: all tensors are alive and dense. The caller guarantees that the table has a row at each index.
    gpu_context(&table).with_launcher(|launcher| unsafe {
        launcher.launch(&kernel, LaunchDims::linear((count * vectors).div_ceil(256), 256), &arguments);
    });
    from_cube(rows)
}

//! Lookup of embeddings on CUDA devices.

#![allow(unsafe_code)]

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, contiguous, dims, empty, gpu_context, into_cube, pointer,
};

static EMBEDDING: CudaSource = CudaSource { name: "embedding", text: include_str!("embedding.cu") };

/// Computes [`embedding`](super::embedding). Each index must be below the number of rows of the table.
pub(super) fn embedding(table_nd: &Tensor<2>, indices_r: Tensor<1, Int>) -> Tensor<2> {
    let indices = contiguous(into_cube(indices_r.inner()));
    apply(Embedding { indices }, [table_nd.clone().into_dispatch()])
}

/// A lookup as a differentiable operation. Its input is the table.
#[derive(Clone, Debug)]
struct Embedding {
    /// The indices of the rows, `[r]`.
    indices: CubeTensor,
}

impl DifferentiableOp<1> for Embedding {
    type Backend = Cube;

    fn forward(&self, [table]: [CubeTensor; 1]) -> (CubeTensor, Vec<CubeTensor>) {
        let table = contiguous(table);
        let ([_, width], [count]) = (dims(&table), dims(&self.indices));
        let rows = empty(&table, [count, width], table.dtype());
        let bytes = width * table.dtype().size();
        assert!(bytes.is_multiple_of(16), "a row of the table must have a multiple of 16 bytes");
        let vectors = bytes / 16;
        let sizes = [KernelArg::Long(count as i64), KernelArg::Int(vectors as i32)];
        let arguments = [[&table, &self.indices, &rows].map(pointer).to_vec(), sizes.to_vec()].concat();
        let kernel = CudaKernel::for_element(&EMBEDDING, "gather_rows", table.dtype());
        // SAFETY: all tensors are alive and dense. The caller guarantees that the table has a row at each
        // index.
        gpu_context(&table).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, LaunchDims::linear((count * vectors).div_ceil(256), 256), &arguments);
        });
        (rows, Vec::new())
    }

    /// The gradient of the table is in f32.
    fn backward(&self, pass: BackwardArgs<Cube, 1>) -> [Option<CubeTensor>; 1] {
        let ([table], d_rows) = (pass.inputs, contiguous(pass.output_gradient));
        let [count, width] = dims(&d_rows);
        // For some widths, burn pads the rows of a new tensor. `contiguous` removes the padding.
        let d_table = contiguous(Cube::float_zeros(table.shape(), &table.device, DType::F32.into()));
        let sizes = [KernelArg::Long(count as i64), KernelArg::Int(width as i32)];
        let arguments = [[&d_rows, &self.indices, &d_table].map(pointer).to_vec(), sizes.to_vec()].concat();
        let kernel = CudaKernel::for_element(&EMBEDDING, "scatter_add_rows", d_rows.dtype());
        // SAFETY: as in `forward`. No other tensor shares the memory of the gradient.
        gpu_context(&d_rows).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, LaunchDims::linear((count * width).div_ceil(256), 256), &arguments);
        });
        [Some(d_table)]
    }
}

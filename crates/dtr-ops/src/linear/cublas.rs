//! Matrix products by cuBLASLt, accumulated in f32.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use burn::tensor::DType;
use cudarc::cublaslt::{result as lt, sys};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError};

use crate::cuda::expect_success;

/// Row-major products `D = op(A) · op(B)`, where `op` transposes a matrix if the matrix's flag is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MatmulSpec {
    /// The number of products. The matrices `A` of successive products are adjacent in memory, and so are the
    /// matrices `D`.
    pub count: usize,
    /// Whether all products have the same `A`.
    pub shares_a: bool,
    /// The number of rows of `D`.
    pub rows: usize,
    /// The number of columns of `D`.
    pub columns: usize,
    /// The inner dimension: the number of terms in each element's sum.
    pub inner: usize,
    /// Whether `A` is stored as `[inner, rows]`.
    pub transpose_a: bool,
    /// Whether `B` is stored as `[columns, inner]`.
    pub transpose_b: bool,
    /// The number of elements from one stored row of `A` to the next.
    pub stride_a: usize,
    /// The number of elements from one stored row of `B` to the next.
    pub stride_b: usize,
    /// The dtype of `A` and `B`.
    pub input: DType,
    /// The dtype of `D`.
    pub output: DType,
}

/// The descriptors of a product, and the algorithm that cuBLASLt's heuristic chose for it.
struct MatmulPlan {
    operation: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    d: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// A cuBLASLt handle with its workspace and a cache of plans.
pub(crate) struct CublasLt {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    plans: HashMap<MatmulSpec, MatmulPlan>,
}

// SAFETY: any thread may use the handle and the descriptors, but only one thread at a time. The lock of the
// device ensures this.
unsafe impl Send for CublasLt {}

impl CublasLt {
    /// Opens a handle, with the workspace size that NVIDIA recommends for the device's compute capability.
    pub fn new(stream: &Arc<CudaStream>, (major, _): (i32, i32)) -> Result<Self, DriverError> {
        let bytes = if major >= 9 { 32 << 20 } else { 4 << 20 };
        // SAFETY: cuBLASLt reads no part of the workspace that it has not written.
        let workspace = unsafe { stream.alloc::<u8>(bytes) }?;
        Ok(Self {
            handle: expect_success(lt::create_handle(), "open cuBLASLt"),
            workspace,
            plans: HashMap::new(),
        })
    }

    /// Submits the products to `stream`.
    ///
    /// # Safety
    /// `a`, `b` and `d` are the device addresses of matrices with the shapes, strides and dtypes of `spec`.
    /// The addresses are multiples of 256, and the rows of `D` have no gaps. If there are several products,
    /// each `B` begins `batch_stride_b` elements after the previous `B`.
    pub(super) unsafe fn multiply(
        &mut self,
        stream: &CudaStream,
        spec: MatmulSpec,
        [a, b, d]: [u64; 3],
        batch_stride_b: i64,
    ) {
        let (handle, bytes) = (self.handle, self.workspace.len());
        let plan = self.plans.entry(spec).or_insert_with(|| MatmulPlan::new(handle, spec, bytes));
        if spec.count > 1 {
            expect_success(set_batch(plan.b, spec.count, batch_stride_b), "set the batch of a product");
        }
        let (one, zero) = (1.0_f32, 0.0_f32);
        let (workspace, _guard) = self.workspace.device_ptr(stream);
        // cuBLASLt expects column-major matrices, so it sees the transpose of each matrix. It therefore
        // computes `Dᵀ = op(B)ᵀ · op(A)ᵀ`.
        // SAFETY: the plan's descriptors are alive, and the caller guarantees the addresses.
        let result = unsafe {
            lt::matmul(
                handle,
                plan.operation,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                b as *const c_void,
                plan.b,
                a as *const c_void,
                plan.a,
                d as *const c_void,
                plan.d,
                d as *mut c_void,
                plan.d,
                &raw const plan.algorithm,
                workspace as *mut c_void,
                bytes,
                stream.cu_stream().cast(),
            )
        };
        expect_success(result, format_args!("multiply matrices ({spec:?})"));
    }
}

impl MatmulPlan {
    fn new(handle: sys::cublasLtHandle_t, spec: MatmulSpec, workspace: usize) -> Self {
        expect_success(
            Self::try_new(handle, spec, workspace),
            format_args!("plan a product of matrices ({spec:?})"),
        )
    }

    fn try_new(
        handle: sys::cublasLtHandle_t,
        spec: MatmulSpec,
        workspace: usize,
    ) -> Result<Self, lt::CublasError> {
        let MatmulSpec { count, shares_a, rows, columns, inner, transpose_a, transpose_b, .. } = spec;
        let operation = create_operation(transpose_a, transpose_b)?;
        let layout = |dtype: DType, is_transposed: bool, [rows, columns]: [usize; 2], stride: usize| {
            let [rows, columns] = if is_transposed { [columns, rows] } else { [rows, columns] };
            let layout =
                lt::create_matrix_layout(cuda_data_type(dtype), columns as u64, rows as u64, stride as i64)?;
            set_batch(layout, count, (rows * stride) as i64).map(|()| layout)
        };
        let a = layout(spec.input, transpose_a, [rows, inner], spec.stride_a)?;
        if shares_a {
            set_batch(a, count, 0)?;
        }
        let b = layout(spec.input, transpose_b, [inner, columns], spec.stride_b)?;
        let d = layout(spec.output, false, [rows, columns], columns)?;
        let preference = lt::create_matmul_pref()?;
        let attribute = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: all descriptors are alive. The preference is destroyed after its last use.
        let found = unsafe {
            let bytes = (&raw const workspace).cast();
            lt::set_matmul_pref_attribute(preference, attribute, bytes, size_of::<usize>())?;
            let found = lt::get_matmul_algo_heuristic(handle, operation, b, a, d, d, preference);
            lt::destroy_matmul_pref(preference)?;
            found
        }?;
        Ok(Self { operation, a, b, d, algorithm: found.algo })
    }
}

fn create_operation(
    transpose_a: bool,
    transpose_b: bool,
) -> Result<sys::cublasLtMatmulDesc_t, lt::CublasError> {
    // This compute type multiplies f32 matrices in f32. TF32 would have only ten bits of mantissa.
    let operation =
        lt::create_matmul_desc(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F)?;
    let transposes = [
        (sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA, transpose_b),
        (sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSB, transpose_a),
    ];
    for (attribute, is_transposed) in transposes {
        let transpose = i32::from(is_transposed);
        // SAFETY: the descriptor is alive, and the attribute has four bytes.
        unsafe { lt::set_matmul_desc_attribute(operation, attribute, (&raw const transpose).cast(), 4) }?;
    }
    Ok(operation)
}

/// Makes a layout describe `count` matrices, each `stride` elements after the previous matrix.
fn set_batch(layout: sys::cublasLtMatrixLayout_t, count: usize, stride: i64) -> Result<(), lt::CublasError> {
    use sys::cublasLtMatrixLayoutAttribute_t::{
        CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
    };
    let count = count as i32;
    // SAFETY: the layout is alive, and the attributes have four and eight bytes.
    unsafe {
        let (count, stride) = ((&raw const count).cast(), (&raw const stride).cast());
        lt::set_matrix_layout_attribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count, 4)?;
        lt::set_matrix_layout_attribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride, 8)
    }
}

fn cuda_data_type(dtype: DType) -> sys::cudaDataType {
    match dtype {
        DType::F32 => sys::cudaDataType::CUDA_R_32F,
        DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
        other => unreachable!("CUDA kernels compute in f32 and bf16, not in {other:?}"),
    }
}

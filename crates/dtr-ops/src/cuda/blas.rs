//! Products of matrices by cuBLASLt, accumulated in f32.

use std::collections::HashMap;
use std::ffi::c_void;

use burn::tensor::DType;
use cudarc::cublaslt::{result as lt, sys};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError};

use super::card::sound;

/// Row-major products `D = op(A) · op(B)` with `op` the transpose where it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Product {
    /// How many: matrices lie one after another, without gaps where there are several, but for those of `B`.
    pub count: usize,
    /// Whether all have one `A`.
    pub shares_a: bool,
    /// Rows of `D`.
    pub rows: usize,
    /// Columns of `D`.
    pub columns: usize,
    /// What is summed over.
    pub inner: usize,
    /// Whether `A` lies as `[inner, rows]`.
    pub transpose_a: bool,
    /// Whether `B` lies as `[columns, inner]`.
    pub transpose_b: bool,
    /// Elements from one row of `A` as it lies to the next.
    pub stride_a: usize,
    /// The same of `B`.
    pub stride_b: usize,
    /// Of `A` and `B`.
    pub input: DType,
    /// Of `D`.
    pub output: DType,
}

/// A product's descriptors and the algorithm that cuBLASLt proposes for it.
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    d: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// A handle of cuBLASLt with its workspace, and the plans made so far.
pub(super) struct Blas {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    plans: HashMap<Product, Plan>,
}

// SAFETY: a handle and descriptors may be used from any thread, by one at a time, as the card's lock has it.
unsafe impl Send for Blas {}

fn kind(dtype: DType) -> sys::cudaDataType {
    match dtype {
        DType::F32 => sys::cudaDataType::CUDA_R_32F,
        DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
        other => panic!("no product of matrices in {other:?}"),
    }
}

impl Blas {
    /// A handle, with the workspace that NVIDIA advises for the device.
    pub fn new(stream: &std::sync::Arc<CudaStream>, (major, _): (i32, i32)) -> Result<Self, DriverError> {
        let bytes = if major >= 9 { 32 << 20 } else { 4 << 20 };
        // SAFETY: scratch memory, which nothing reads before it is written.
        let workspace = unsafe { stream.alloc::<u8>(bytes) }?;
        Ok(Self { handle: sound(lt::create_handle(), "open cuBLASLt"), workspace, plans: HashMap::new() })
    }

    /// Asks for `product` on `stream`.
    ///
    /// # Safety
    /// `a`, `b` and `d` are addresses of matrices of the product's shapes, strides (`D` in one piece) and dtypes, at
    /// multiples of 256; of several, each `B` begins `pitch_b` elements after the one before.
    pub unsafe fn multiply(
        &mut self,
        stream: &CudaStream,
        product: Product,
        [a, b, d]: [u64; 3],
        pitch_b: i64,
    ) {
        let (handle, bytes) = (self.handle, self.workspace.len());
        let plan = self.plans.entry(product).or_insert_with(|| Plan::new(handle, product, bytes));
        if product.count > 1 {
            sound(repeat(plan.b, product.count, pitch_b), "place a product's matrices");
        }
        let (one, zero) = (1.0_f32, 0.0_f32);
        let (workspace, _guard) = self.workspace.device_ptr(stream);
        // Row-major matrices are column-major ones transposed, so that `Dᵀ = op(B)ᵀ · op(A)ᵀ` is asked for.
        // SAFETY: the plan's descriptors are alive, the addresses are the caller's promise.
        let asked = unsafe {
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
        sound(asked, format_args!("multiply matrices ({product:?})"));
    }
}

impl Plan {
    fn new(handle: sys::cublasLtHandle_t, product: Product, workspace: usize) -> Self {
        let Product { count, shares_a, rows, columns, inner, transpose_a, transpose_b, .. } = product;
        let Product { stride_a, stride_b, input, output, .. } = product;
        let make = || -> Result<Self, lt::CublasError> {
            // True f32 where the inputs are f32: TF32 keeps ten bits only.
            let operation = lt::create_matmul_desc(
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                sys::cudaDataType::CUDA_R_32F,
            )?;
            let transposes = [
                (sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA, transpose_b),
                (sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSB, transpose_a),
            ];
            for (attribute, is_transposed) in transposes {
                let transpose = i32::from(is_transposed);
                // SAFETY: the descriptor is alive, and the attribute is of four bytes.
                unsafe {
                    lt::set_matmul_desc_attribute(operation, attribute, (&raw const transpose).cast(), 4)
                }?;
            }
            let layout = |dtype: DType, is_transposed: bool, [rows, columns]: [usize; 2], stride: usize| {
                let [rows, columns] = if is_transposed { [columns, rows] } else { [rows, columns] };
                let layout =
                    lt::create_matrix_layout(kind(dtype), columns as u64, rows as u64, stride as i64)?;
                repeat(layout, count, (rows * stride) as i64).map(|()| layout)
            };
            let a = layout(input, transpose_a, [rows, inner], stride_a)?;
            if shares_a {
                repeat(a, count, 0)?;
            }
            let b = layout(input, transpose_b, [inner, columns], stride_b)?;
            let d = layout(output, false, [rows, columns], columns)?;
            let preference = lt::create_matmul_pref()?;
            let most = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            // SAFETY: all descriptors are alive; the preference is destroyed after its last use.
            let found = unsafe {
                lt::set_matmul_pref_attribute(
                    preference,
                    most,
                    (&raw const workspace).cast(),
                    size_of::<usize>(),
                )?;
                let found = lt::get_matmul_algo_heuristic(handle, operation, b, a, d, d, preference);
                lt::destroy_matmul_pref(preference)?;
                found
            }?;
            Ok(Self { operation, a, b, d, algorithm: found.algo })
        };
        sound(make(), format_args!("plan a product of matrices ({product:?})"))
    }
}

/// Makes of a matrix `count` ones, each `pitch` elements after the one before.
fn repeat(layout: sys::cublasLtMatrixLayout_t, count: usize, pitch: i64) -> Result<(), lt::CublasError> {
    use sys::cublasLtMatrixLayoutAttribute_t::{
        CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
    };
    let count = count as i32;
    // SAFETY: the layout is alive, and the attributes are of four and of eight bytes.
    unsafe {
        let (count, pitch) = ((&raw const count).cast(), (&raw const pitch).cast());
        lt::set_matrix_layout_attribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count, 4)?;
        lt::set_matrix_layout_attribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, pitch, 8)
    }
}

//! Descriptors of tensors for Hopper's tensor memory accelerator (TMA).

#![allow(unsafe_code)]

use burn_cubecl::tensor::CubeTensor;
use cudarc::driver::{DeviceRepr, sys};

use crate::cuda::{device_address, dims, expect_success};

/// The TMA descriptor of a bf16 tensor `[b, h, t, k]`, as the driver encodes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct TensorMap([u64; 16]);

// SAFETY: the type is plain data with the size and alignment of the driver's type.
unsafe impl DeviceRepr for TensorMap {}

impl TensorMap {
    /// Describes the first `num_tokens` tokens of `tensor`. TMA then copies boxes of `rows` tokens by 64
    /// channels. If a box extends beyond `num_tokens`, TMA fills the rest of the box with zeros.
    pub(super) fn new(tensor: &CubeTensor, num_tokens: usize, rows: u32) -> Self {
        let [batch, heads, _, width] = dims(tensor);
        let lengths = [width, num_tokens, heads, batch].map(|length| length as u64);
        let strides = tensor.meta.strides();
        let byte_strides = [strides[2], strides[1], strides[0]].map(|stride| 2 * stride as u64);
        let (mut map, box_lengths, element_strides) = (Self([0; 16]), [64, rows, 1, 1], [1_u32; 4]);
        // SAFETY: the arrays outlive the call. They have the lengths that the driver expects for four
        // dimensions: three byte strides, and four members in each other array.
        let result = unsafe {
            sys::cuTensorMapEncodeTiled(
                (&raw mut map).cast(),
                sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                4,
                device_address(tensor) as *mut _,
                lengths.as_ptr(),
                byte_strides.as_ptr(),
                box_lengths.as_ptr(),
                element_strides.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        expect_success(result.result(), "describe a tensor");
        map
    }
}

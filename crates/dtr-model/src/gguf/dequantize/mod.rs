//! Dequantises blocks of each number format to f32. Computes the same bits as `gguf.quants.dequantize` in
//! Python.

mod blocks_of_256;
mod blocks_of_32;
mod plain;

use self::blocks_of_32::{iq4_nl, q4_0, q4_1, q5_0, q5_1, q8_0};
use self::blocks_of_256::{q2_k, q3_k, q4_k, q5_k, q6_k};
use super::ggml_type::GgmlType;
use half::f16;

/// Dequantises the blocks in `bytes` into `out`. The blocks have as many values as `out`.
pub(super) fn dequantize(ggml_type: GgmlType, bytes: &[u8], out: &mut [f32]) {
    debug_assert_eq!(bytes.len() * ggml_type.block_len(), out.len() * ggml_type.block_bytes());
    match ggml_type {
        GgmlType::F32 => for_each_block(bytes, out, plain::f32),
        GgmlType::F16 => for_each_block(bytes, out, plain::f16),
        GgmlType::Bf16 => for_each_block(bytes, out, plain::bf16),
        GgmlType::Q4_0 => for_each_block(bytes, out, q4_0),
        GgmlType::Q4_1 => for_each_block(bytes, out, q4_1),
        GgmlType::Q5_0 => for_each_block(bytes, out, q5_0),
        GgmlType::Q5_1 => for_each_block(bytes, out, q5_1),
        GgmlType::Q8_0 => for_each_block(bytes, out, q8_0),
        GgmlType::Q2K => for_each_block(bytes, out, q2_k),
        GgmlType::Q3K => for_each_block(bytes, out, q3_k),
        GgmlType::Q4K => for_each_block(bytes, out, q4_k),
        GgmlType::Q5K => for_each_block(bytes, out, q5_k),
        GgmlType::Q6K => for_each_block(bytes, out, q6_k),
        GgmlType::Iq4Nl => for_each_block(bytes, out, iq4_nl),
    }
}

/// Calls `decode` with each block of `BYTES` bytes and the part of `out` for its `LEN` values.
fn for_each_block<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    let (blocks, values) = (bytes.as_chunks().0, out.as_chunks_mut().0);
    blocks.iter().zip(values).for_each(|(block, values)| decode(block, values));
}

/// Returns the f16 at the byte `at` of a block.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

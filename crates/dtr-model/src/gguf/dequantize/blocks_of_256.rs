//! Dequantises blocks of 256 values (the "K" formats). A block has a scale in f16, and further scales for its
//! groups of 16 or 32 values.

use super::half_at;

/// Q2_K: values of 2 bits. Each group of 16 values has a scale and an offset, of 4 bits each.
pub fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scales, low) = (&block[..16], &block[16..80]);
    let (scale, offset) = (half_at(block, 80), half_at(block, 82));
    for (group, values) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = scale * f32::from(scales[group] & 15);
        let offset = offset * f32::from(scales[group] >> 4);
        for (index, value) in values.iter_mut().enumerate() {
            *value = scale * f32::from(two_bits(low, 16 * group + index)) - offset;
        }
    }
}

/// Q3_K: values of 3 bits. Each group of 16 values has a signed scale of 6 bits. If the high bit of a value
/// is 0, the function subtracts 4 from the low bits.
pub fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (high, low, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for (group, values) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low_scale = (scales[group % 8] >> (4 * (group / 8))) & 15;
        let high_scale = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
        let scale = scale * f32::from((low_scale | high_scale << 4) as i8 - 32);
        for (index, value) in values.iter_mut().enumerate() {
            let at = 16 * group + index;
            let bits = two_bits(low, at) as i8 - 4 * (1 - high_bit(high, at) as i8);
            *value = scale * f32::from(bits);
        }
    }
}

/// Q4_K: values of 4 bits. Each group of 32 values has a scale and an offset, of 6 bits each.
pub fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, offset, bits) = (half_at(block, 0), half_at(block, 2), &block[16..]);
    for (group, values) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (group_scale, group_offset) = scale_and_offset(&block[4..16], group);
        let (scale, offset) = (scale * f32::from(group_scale), offset * f32::from(group_offset));
        for (index, value) in values.iter_mut().enumerate() {
            *value = scale * f32::from(nibble_of_group(bits, group, index)) - offset;
        }
    }
}

/// Q5_K: like Q4_K, but with values of 5 bits.
pub fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (scale, offset) = (half_at(block, 0), half_at(block, 2));
    let (high, low) = (&block[16..48], &block[48..]);
    for (group, values) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (group_scale, group_offset) = scale_and_offset(&block[4..16], group);
        let (scale, offset) = (scale * f32::from(group_scale), offset * f32::from(group_offset));
        for (index, value) in values.iter_mut().enumerate() {
            let bits = nibble_of_group(low, group, index) | high_bit(high, 32 * group + index) << 4;
            *value = scale * f32::from(bits) - offset;
        }
    }
}

/// Q6_K: signed values of 6 bits. Each group of 16 values has a signed scale of 8 bits.
pub fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (group, values) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = scale * f32::from(scales[group] as i8);
        for (index, value) in values.iter_mut().enumerate() {
            let at = 16 * group + index;
            // Half a block has 128 values in 64 bytes. The low 4 bits of the bytes hold the first 64 values,
            // and the high 4 bits hold the last 64 values.
            let low = (low[64 * (at / 128) + at % 64] >> (4 * (at / 64 % 2))) & 15;
            *value = scale * f32::from((low | two_bits(high, at) << 4) as i8 - 32);
        }
    }
}

/// Returns the 2 bits that belong to the value `at`. Half a block has 128 values in 32 bytes. The lowest 2
/// bits of the bytes belong to the first 32 values.
fn two_bits(bytes: &[u8], at: usize) -> u8 {
    (bytes[32 * (at / 128) + at % 32] >> (2 * (at / 32 % 4))) & 3
}

/// Returns the highest bit of the value `at`. The lowest bits of the 32 bytes belong to the first 32 values.
fn high_bit(bytes: &[u8], at: usize) -> u8 {
    (bytes[at % 32] >> (at / 32)) & 1
}

/// Returns the 4 low bits of the value `index` of a group of 32 values. Two groups share 32 bytes: the first
/// group has the low bits of each byte, and the second group the high bits.
fn nibble_of_group(bytes: &[u8], group: usize, index: usize) -> u8 {
    (bytes[32 * (group / 2) + index] >> (4 * (group % 2))) & 15
}

/// Returns the scale and the offset of a group of 32 values. The 12 `bytes` hold a scale and an offset, of 6
/// bits each, for each of 8 groups.
fn scale_and_offset(bytes: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (bytes[group] & 63, bytes[group + 4] & 63);
    }
    let (low, high_scale, high_offset) = (bytes[group + 4], bytes[group - 4], bytes[group]);
    ((low & 15) | (high_scale >> 6) << 4, (low >> 4) | (high_offset >> 6) << 4)
}

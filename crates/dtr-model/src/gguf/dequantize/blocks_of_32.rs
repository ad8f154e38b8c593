//! Dequantises blocks of 32 values. A block has a scale in f16, and 4, 5 or 8 bits for each value. A format
//! whose name ends in 1 also has an offset. With 4 or 5 bits for each value, the low 4 bits of all values
//! fill 16 bytes. The low half of byte `i` belongs to value `i`, and its high half to value `i + 16`.

use super::half_at;

/// The 16 values of IQ4_NL before scaling. The 4 stored bits select one of these values.
const IQ4_NL_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Calls `decode` with the index of each value and its 4 bits. `nibbles` has 16 bytes.
fn for_each_nibble(nibbles: &[u8], mut decode: impl FnMut(usize, u8)) {
    for (index, byte) in nibbles.iter().enumerate() {
        decode(index, byte & 15);
        decode(index + 16, byte >> 4);
    }
}

/// Returns the fifth bit of the value `index`, shifted to its place in the value. `bytes` has the fifth bits
/// of 32 values.
fn fifth_bit(bytes: &[u8], index: usize) -> u8 {
    ((bytes[index / 8] >> (index % 8)) & 1) << 4
}

/// Q4_0: signed values of 4 bits.
pub fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for_each_nibble(&block[2..], |index, bits| out[index] = scale * f32::from(bits as i8 - 8));
}

/// Q4_1: unsigned values of 4 bits, and an offset.
pub fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, offset) = (half_at(block, 0), half_at(block, 2));
    for_each_nibble(&block[4..], |index, bits| out[index] = scale * f32::from(bits) + offset);
}

/// Q5_0: signed values of 5 bits. The fifth bits of all values are stored together.
pub fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (scale, high) = (half_at(block, 0), &block[2..6]);
    for_each_nibble(&block[6..], |index, bits| {
        out[index] = scale * f32::from((bits | fifth_bit(high, index)) as i8 - 16);
    });
}

/// Q5_1: unsigned values of 5 bits, and an offset.
pub fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, offset, high) = (half_at(block, 0), half_at(block, 2), &block[4..8]);
    for_each_nibble(&block[8..], |index, bits| {
        out[index] = scale * f32::from(bits | fifth_bit(high, index)) + offset;
    });
}

/// Q8_0: signed values of 8 bits.
pub fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for (value, byte) in out.iter_mut().zip(&block[2..]) {
        *value = scale * f32::from(*byte as i8);
    }
}

/// IQ4_NL: 4 bits that select one of 16 values.
pub fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for_each_nibble(&block[2..], |index, bits| {
        out[index] = scale * f32::from(IQ4_NL_VALUES[usize::from(bits)]);
    });
}

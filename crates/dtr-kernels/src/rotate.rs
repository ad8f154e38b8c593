//! Rotary positions: pairs of a head's halves turned by their angles, in one pass that also brings the heads apart.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::pointwise::SHARE;

/// What a rotation reads.
#[derive(Clone, Copy)]
pub struct RotateInputs<'a> {
    /// Rows of the batch.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Tokens of a row.
    pub time: usize,
    /// Width of a head, even.
    pub width: usize,
    /// What is rotated; the numbers of a token's head are neighbours.
    pub x: &'a [f32],
    /// Where in `x` rows, heads and tokens begin: what lies between neighbours of each.
    pub strides: [usize; 3],
    /// Cosines, `[b, t, k/2]`, or `[1, t, k/2]` for all rows.
    pub cos: &'a [f32],
    /// Sines, likewise.
    pub sin: &'a [f32],
}

/// `(x₁ cos − x₂ sin, x₂ cos + x₁ sin)` of the halves of each head, `[b, h, t, k]`; no two operations are fused.
pub fn rotate(inputs: RotateInputs<'_>) -> Vec<f32> {
    let RotateInputs { batch, heads, time, width, .. } = inputs;
    let mut outputs = vec![0.0; batch * heads * time * width];
    let heads = outputs.par_chunks_exact_mut(time * width).with_min_len(SHARE.div_ceil(time * width));
    heads.enumerate().for_each(|(head, outputs)| Arch::new().dispatch(Rotate { inputs, head, outputs }));
    outputs
}

/// One head of one row.
struct Rotate<'a> {
    inputs: RotateInputs<'a>,
    head: usize,
    outputs: &'a mut [f32],
}

impl WithSimd for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { inputs: RotateInputs { heads, time, width, x, strides, cos, sin, .. }, .. } = self;
        let (row, head, half) = (self.head / heads, self.head % heads, width / 2);
        // Tables of one row are every row's.
        let first = if cos.len() == time * half { 0 } else { row * time };
        for (token, outputs) in self.outputs.chunks_exact_mut(width).enumerate() {
            let start = row * strides[0] + head * strides[1] + token * strides[2];
            let (one, two) = x[start..start + width].split_at(half);
            let angles = (first + token) * half..(first + token + 1) * half;
            let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
            let (out_one, out_two) = outputs.split_at_mut(half);
            for at in (0..half).step_by(S::F32_LANES) {
                let lanes = at..half.min(at + S::F32_LANES);
                let [one, two, cos, sin] =
                    [one, two, cos, sin].map(|x| simd.partial_load_f32s(&x[lanes.clone()]));
                let turned_one = simd.sub_f32s(simd.mul_f32s(one, cos), simd.mul_f32s(two, sin));
                let turned_two = simd.add_f32s(simd.mul_f32s(two, cos), simd.mul_f32s(one, sin));
                simd.partial_store_f32s(&mut out_one[lanes.clone()], turned_one);
                simd.partial_store_f32s(&mut out_two[lanes], turned_two);
            }
        }
    }
}

//! The forward pass of rotary position embeddings (arXiv 2104.09864). The input may be strided. The output is
//! contiguous.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::ELEMENTS_PER_CHUNK;

/// Inputs of [`rotary_embedding`].
#[derive(Clone, Copy)]
pub struct RotaryInputs<'a> {
    /// Number of rows of the batch, `b`.
    pub batch: usize,
    /// Number of heads, `h`.
    pub heads: usize,
    /// Number of tokens of a row, `t`.
    pub time: usize,
    /// Width of a head, `k`, an even number.
    pub width: usize,
    /// Queries or keys of shape `[b, h, t, k]`. `strides` gives the strides of the first three dimensions.
    /// The last dimension is contiguous.
    pub x: &'a [f32],
    /// Distances in `x` between neighbouring rows, heads and tokens, in elements.
    pub strides: [usize; 3],
    /// Cosines of the rotation angles, `[b, t, k/2]`, or `[1, t, k/2]` if all rows share them.
    pub cos: &'a [f32],
    /// Sines of the rotation angles, in the shape of the cosines.
    pub sin: &'a [f32],
}

/// Rotates the vector of each head. The vector's halves `x₁` and `x₂` become `x₁ cos − x₂ sin` and
/// `x₂ cos + x₁ sin`. Returns an array `[b, h, t, k]`.
///
/// Products and sums are rounded separately: no multiply-add is fused.
pub fn rotary_embedding(inputs: RotaryInputs<'_>) -> Vec<f32> {
    let RotaryInputs { batch, heads, time, width, .. } = inputs;
    let mut outputs = vec![0.0; batch * heads * time * width];
    let min_heads_per_thread = ELEMENTS_PER_CHUNK.div_ceil(time * width);
    let heads = outputs.par_chunks_exact_mut(time * width).with_min_len(min_heads_per_thread);
    heads.enumerate().for_each(|(head, outputs)| Arch::new().dispatch(RotateHead { inputs, head, outputs }));
    outputs
}

struct RotateHead<'a> {
    inputs: RotaryInputs<'a>,
    /// The index of the head among the heads of all rows.
    head: usize,
    outputs: &'a mut [f32],
}

impl WithSimd for RotateHead<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { inputs: RotaryInputs { heads, time, width, x, strides, cos, sin, .. }, .. } = self;
        let (row, head, half) = (self.head / heads, self.head % heads, width / 2);
        let first_angle = if cos.len() == time * half { 0 } else { row * time };
        for (token, outputs) in self.outputs.chunks_exact_mut(width).enumerate() {
            let start = row * strides[0] + head * strides[1] + token * strides[2];
            let (x_1, x_2) = x[start..start + width].split_at(half);
            let angles = (first_angle + token) * half..(first_angle + token + 1) * half;
            let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
            let (out_1, out_2) = outputs.split_at_mut(half);
            for at in (0..half).step_by(S::F32_LANES) {
                let lanes = at..half.min(at + S::F32_LANES);
                let [x_1, x_2, cos, sin] =
                    [x_1, x_2, cos, sin].map(|x| simd.partial_load_f32s(&x[lanes.clone()]));
                let rotated_1 = simd.sub_f32s(simd.mul_f32s(x_1, cos), simd.mul_f32s(x_2, sin));
                let rotated_2 = simd.add_f32s(simd.mul_f32s(x_2, cos), simd.mul_f32s(x_1, sin));
                simd.partial_store_f32s(&mut out_1[lanes.clone()], rotated_1);
                simd.partial_store_f32s(&mut out_2[lanes], rotated_2);
            }
        }
    }
}

//! The forward pass of RMSNorm (arXiv 1910.07467).

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::ELEMENTS_PER_CHUNK;

/// Returns `x / sqrt(mean(x²) + epsilon) · weight` for each row of `x`. `x` is a matrix `[n, d]`, and
/// `weight` is a vector `[d]`.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut outputs = vec![0.0; x.len()];
    let chunk = (ELEMENTS_PER_CHUNK / weight.len()).max(1) * weight.len();
    (outputs.par_chunks_mut(chunk), x.par_chunks(chunk))
        .into_par_iter()
        .for_each(|(outputs, x)| Arch::new().dispatch(RmsNorm { outputs, x, weight, epsilon }));
    outputs
}

struct RmsNorm<'a> {
    outputs: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl WithSimd for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (width, lanes) = (self.weight.len(), S::F32_LANES);
        for (outputs, x) in self.outputs.chunks_exact_mut(width).zip(self.x.chunks_exact(width)) {
            let mut squares = simd.splat_f32s(0.0);
            for x in x.chunks(lanes) {
                let x = simd.partial_load_f32s(x);
                squares = simd.mul_add_e_f32s(x, x, squares);
            }
            let mean = simd.reduce_sum_f32s(squares) / width as f32;
            let scale = simd.splat_f32s(1.0 / (mean + self.epsilon).sqrt());
            let inputs = x.chunks(lanes).zip(self.weight.chunks(lanes));
            for (outputs, (x, weight)) in outputs.chunks_mut(lanes).zip(inputs) {
                let (x, weight) = (simd.partial_load_f32s(x), simd.partial_load_f32s(weight));
                simd.partial_store_f32s(outputs, simd.mul_f32s(simd.mul_f32s(x, scale), weight));
            }
        }
    }
}

//! Forward passes of what stands between the products: RMSNorm and the swish gate, each in one pass.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::lanes::exp;

/// Elements that one thread takes at a time.
pub(crate) const SHARE: usize = 16 * 1024;

/// `silu(gate[i]) · x[i]`.
pub fn swish_gate(gate: &[f32], x: &[f32]) -> Vec<f32> {
    let mut outputs = vec![0.0; x.len()];
    (outputs.par_chunks_mut(SHARE), gate.par_chunks(SHARE), x.par_chunks(SHARE))
        .into_par_iter()
        .for_each(|(outputs, gate, x)| Arch::new().dispatch(Gate { outputs, gate, x }));
    outputs
}

struct Gate<'a> {
    outputs: &'a mut [f32],
    gate: &'a [f32],
    x: &'a [f32],
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let inputs = self.gate.chunks(S::F32_LANES).zip(self.x.chunks(S::F32_LANES));
        for (outputs, (gate, x)) in self.outputs.chunks_mut(S::F32_LANES).zip(inputs) {
            let (gate, x) = (simd.partial_load_f32s(gate), simd.partial_load_f32s(x));
            let one = simd.splat_f32s(1.0);
            let gate = simd.div_f32s(gate, simd.add_f32s(one, exp(simd, simd.neg_f32s(gate))));
            simd.partial_store_f32s(outputs, simd.mul_f32s(gate, x));
        }
    }
}

/// `x / sqrt(mean(x²) + epsilon) · weight` of each row `[n, d]` for a weight `[d]`.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut outputs = vec![0.0; x.len()];
    let share = (SHARE / weight.len()).max(1) * weight.len();
    (outputs.par_chunks_mut(share), x.par_chunks(share))
        .into_par_iter()
        .for_each(|(outputs, x)| Arch::new().dispatch(Norm { outputs, x, weight, epsilon }));
    outputs
}

struct Norm<'a> {
    outputs: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl WithSimd for Norm<'_> {
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

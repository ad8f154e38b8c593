//! The forward pass of the gate `silu(gate) · x`. SiLU is also called Swish.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::ELEMENTS_PER_CHUNK;
use crate::exp::exp;

/// Returns `silu(gate[i]) · x[i]` for every `i`.
pub fn swish_gate(gate: &[f32], x: &[f32]) -> Vec<f32> {
    let mut outputs = vec![0.0; x.len()];
    (
        outputs.par_chunks_mut(ELEMENTS_PER_CHUNK),
        gate.par_chunks(ELEMENTS_PER_CHUNK),
        x.par_chunks(ELEMENTS_PER_CHUNK),
    )
        .into_par_iter()
        .for_each(|(outputs, gate, x)| Arch::new().dispatch(SwishGate { outputs, gate, x }));
    outputs
}

struct SwishGate<'a> {
    outputs: &'a mut [f32],
    gate: &'a [f32],
    x: &'a [f32],
}

impl WithSimd for SwishGate<'_> {
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

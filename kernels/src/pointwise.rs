//! Forward passes of what stands between the products: RMSNorm and the swish gate, each in one pass.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::lanes::{LANES, exp, sum};

/// Elements that one thread takes at a time.
const SHARE: usize = 16 * 1024;

/// `silu(gate[i]) · x[i]`.
pub fn swish_gate(gate: &[f32], x: &[f32]) -> Vec<f32> {
    let mut outputs = vec![0.0; x.len()];
    (outputs.par_chunks_mut(SHARE), gate.par_chunks(SHARE), x.par_chunks(SHARE))
        .into_par_iter()
        .for_each(|(outputs, gate, x)| gate_share(outputs, gate, x));
    outputs
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn gate_share<'a>(outputs: &'a mut [f32], gate: &'a [f32], x: &'a [f32]) {
    for ((output, gate), x) in outputs.iter_mut().zip(gate).zip(x) {
        *output = gate / (1.0 + exp(-gate)) * x;
    }
}

/// `x / sqrt(mean(x²) + epsilon) · weight` of each row `[n, d]` for a weight `[d]`.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut outputs = vec![0.0; x.len()];
    let share = (SHARE / weight.len()).max(1) * weight.len();
    (outputs.par_chunks_mut(share), x.par_chunks(share))
        .into_par_iter()
        .for_each(|(outputs, x)| norm_share(outputs, x, weight, epsilon));
    outputs
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn norm_share<'a>(outputs: &'a mut [f32], x: &'a [f32], weight: &'a [f32], epsilon: f32) {
    let width = weight.len();
    for (output, x) in outputs.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let scale = 1.0 / (square_sum(x) / width as f32 + epsilon).sqrt();
        for ((output, x), weight) in output.iter_mut().zip(x).zip(weight) {
            *output = x * scale * weight;
        }
    }
}

#[inline(always)]
fn square_sum(x: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let runs = x.chunks_exact(LANES);
    for (sum, x) in sums.iter_mut().zip(runs.remainder()) {
        *sum = x * x;
    }
    for run in runs {
        for (sum, x) in sums.iter_mut().zip(run) {
            *sum = x.mul_add(*x, *sum);
        }
    }
    sum(sums)
}

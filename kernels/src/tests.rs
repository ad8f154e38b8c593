//! Forward against the recurrences as written, in f64; backward against central differences of them.

use crate::*;

/// Numbers in (-1, 1) that look like noise.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Inputs by name: q, k, v, g, beta, state.
type Arrays = [Vec<f64>; 6];

/// The sum of all outputs and last states, each times a weight, by the recurrence as written.
fn loss(shape: Shape, is_delta: bool, [q, k, v, g, beta, state]: &Arrays, weights: &[f64]) -> f64 {
    let Shape { rows, time, key, value } = shape;
    let (mut total, mut at_weight) = (0.0, 0);
    let mut states = state.clone();
    for row in 0..rows {
        let s = &mut states[row * key * value..(row + 1) * key * value];
        for t in 0..time {
            let key_at = |i: usize| (row * time + t) * key + i;
            let value_at = |j: usize| (row * time + t) * value + j;
            for i in 0..key {
                let decay = if is_delta { g[row * time + t] } else { g[key_at(i)] };
                for j in 0..value {
                    s[i * value + j] *= decay.exp();
                }
            }
            for j in 0..value {
                let recalled: f64 = (0..key).map(|i| s[i * value + j] * k[key_at(i)]).sum();
                let u = if is_delta {
                    beta[row * time + t] * (v[value_at(j)] - recalled)
                } else {
                    v[value_at(j)]
                };
                for i in 0..key {
                    s[i * value + j] += k[key_at(i)] * u;
                }
                let output: f64 = (0..key).map(|i| s[i * value + j] * q[key_at(i)]).sum();
                total += output / (key as f64).sqrt() * weights[at_weight];
                at_weight += 1;
            }
        }
    }
    total + states.iter().zip(&weights[at_weight..]).map(|(s, w)| s * w).sum::<f64>()
}

struct Case {
    shape: Shape,
    arrays: [Vec<f32>; 6],
    weights: Vec<f32>,
}

fn case(is_delta: bool, time: usize, key: usize, value: usize, decay: f32) -> Case {
    let shape = Shape { rows: 3, time, key, value };
    let (tokens, states) = (shape.rows * time, shape.rows * key * value);
    let gates = if is_delta { tokens } else { tokens * key };
    let arrays = [
        noise(1, tokens * key),
        // About as long as normalised keys: longer ones let the delta rule grow without bound.
        noise(2, tokens * key).into_iter().map(|x| x * (3.0 / key as f32).sqrt()).collect(),
        noise(3, tokens * value),
        noise(4, gates).into_iter().map(|x| -decay * x.abs()).collect(),
        noise(5, tokens).into_iter().map(f32::abs).collect(),
        noise(6, states),
    ];
    Case { shape, arrays, weights: noise(7, tokens * value + states) }
}

impl Case {
    fn forward(&self, is_delta: bool) -> Vec<f32> {
        let (output, state) = if is_delta { delta_forward(self.delta()) } else { gla_forward(self.gla()) };
        [output, state].concat()
    }

    fn gla(&self) -> GlaInputs<'_> {
        let [q, k, v, g, _, state] = &self.arrays;
        GlaInputs { shape: self.shape, q, k, v, g, state }
    }

    fn delta(&self) -> DeltaInputs<'_> {
        let [q, k, v, g, beta, state] = &self.arrays;
        DeltaInputs { shape: self.shape, q, k, v, beta, g, state }
    }

    /// Gradients in the order of the arrays.
    fn backward(&self, is_delta: bool) -> [Vec<f32>; 6] {
        let split = self.shape.rows * self.shape.time * self.shape.value;
        let (d_output, d_state) = self.weights.split_at(split);
        if is_delta {
            let d = delta_backward(self.delta(), d_output, d_state);
            [d.q, d.k, d.v, d.g, d.beta, d.state]
        } else {
            let d = gla_backward(self.gla(), d_output, d_state);
            [d.q, d.k, d.v, d.g, Vec::new(), d.state]
        }
    }
}

const CASES: [(usize, usize, usize, f32); 5] =
    [(1, 3, 5, 0.1), (31, 16, 16, 0.5), (33, 8, 24, 3.0), (70, 17, 33, 0.05), (64, 4, 4, 20.0)];

#[test]
fn forward_is_the_recurrence() {
    for is_delta in [false, true] {
        for (time, key, value, decay) in CASES {
            let case = case(is_delta, time, key, value, decay);
            let arrays = case.arrays.each_ref().map(|x| wide(x));
            let expected = loss(case.shape, is_delta, &arrays, &wide(&case.weights));
            let found: f64 =
                wide(&case.forward(is_delta)).iter().zip(&case.weights).map(|(x, w)| x * f64::from(*w)).sum();
            assert!((found - expected).abs() < 1e-5 * expected.abs().max(10.0), "{found} {expected}");
        }
    }
}

#[test]
fn backward_is_the_slope_of_the_recurrence() {
    for is_delta in [false, true] {
        for (time, key, value, decay) in CASES {
            let case = case(is_delta, time, key, value, decay);
            let gradients = case.backward(is_delta);
            let arrays = case.arrays.each_ref().map(|x| wide(x));
            let weights = wide(&case.weights);
            for (array, gradient) in gradients.iter().enumerate() {
                let scale = gradient.iter().map(|x| x.abs()).fold(1e-3, f32::max);
                for at in (0..gradient.len()).step_by(gradient.len() / 13 + 1) {
                    let slope = |step: f64| {
                        let mut moved = arrays.clone();
                        moved[array][at] += step;
                        loss(case.shape, is_delta, &moved, &weights)
                    };
                    let expected = (slope(1e-5) - slope(-1e-5)) / 2e-5;
                    let error = (f64::from(gradient[at]) - expected).abs();
                    assert!(
                        error < 2e-4 * f64::from(scale),
                        "delta {is_delta}, {:?}, array {array} at {at}: {} for {expected}",
                        case.shape,
                        gradient[at]
                    );
                }
            }
        }
    }
}

#[test]
#[ignore = "prints times"]
fn times() {
    for is_delta in [false, true] {
        let mut case = case(is_delta, 128, 32, 32, 0.5);
        case.shape.rows = 3;
        let start = std::time::Instant::now();
        for _ in 0..10 {
            std::hint::black_box(case.forward(is_delta));
        }
        let forward = start.elapsed().as_secs_f64() / 30.0 * 32.0;
        let start = std::time::Instant::now();
        for _ in 0..10 {
            std::hint::black_box(case.backward(is_delta));
        }
        println!(
            "delta {is_delta}: 8 x 128 tokens, 4 heads: forward {:.1} ms, backward {:.1} ms",
            forward * 1e3,
            start.elapsed().as_secs_f64() / 30.0 * 32.0 * 1e3
        );
    }
}

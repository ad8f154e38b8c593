//! Tests of the kernels against their definitions in f64, and of gradients against central differences.

use crate::*;

/// Returns pseudo-random numbers in (-1, 1).
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

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// The arrays `q`, `k`, `v`, `g`, `beta` and `state` of a recurrence, in this order.
type Arrays = [Vec<f64>; 6];

/// Returns the weighted sum of all outputs and final states, computed by the recurrence's definition.
fn loss(shape: RecurrenceShape, is_delta: bool, [q, k, v, g, beta, state]: &Arrays, weights: &[f64]) -> f64 {
    let RecurrenceShape { num_rows: rows, num_tokens: time, key_dim: key, value_dim: value } = shape;
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
    shape: RecurrenceShape,
    arrays: [Vec<f32>; 6],
    weights: Vec<f32>,
}

fn case(is_delta: bool, time: usize, key: usize, value: usize, decay: f32) -> Case {
    let shape = RecurrenceShape { num_rows: 3, num_tokens: time, key_dim: key, value_dim: value };
    let (tokens, states) = (shape.num_rows * time, shape.num_rows * key * value);
    let gates = if is_delta { tokens } else { tokens * key };
    let arrays = [
        noise(1, tokens * key),
        // The keys have a norm of about 1. With a larger norm, the delta rule diverges.
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
        if is_delta { delta_outputs_and_states(self.delta()) } else { gla_outputs_and_states(self.gla()) }
    }

    fn gla(&self) -> GlaInputs<'_> {
        let [q, k, v, g, _, state] = &self.arrays;
        GlaInputs { shape: self.shape, q, k, v, g, state }
    }

    fn delta(&self) -> DeltaInputs<'_> {
        let [q, k, v, g, beta, state] = &self.arrays;
        DeltaInputs { shape: self.shape, q, k, v, beta, g, state }
    }

    /// Returns the gradients in the order of `arrays`. For GLA, the gradient of `beta` is empty.
    fn backward(&self, is_delta: bool) -> [Vec<f32>; 6] {
        let split = self.shape.num_rows * self.shape.num_tokens * self.shape.value_dim;
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

/// Each case has the number of tokens, the key width, the value width, and the largest magnitude of the log
/// decays.
const CASES: [(usize, usize, usize, f32); 5] =
    [(1, 3, 5, 0.1), (31, 16, 16, 0.5), (33, 8, 24, 3.0), (70, 17, 33, 0.05), (64, 4, 4, 20.0)];

#[test]
fn the_forward_pass_computes_the_recurrence() {
    for is_delta in [false, true] {
        for (time, key, value, decay) in CASES {
            let case = case(is_delta, time, key, value, decay);
            let arrays = case.arrays.each_ref().map(|x| f64s(x));
            let expected = loss(case.shape, is_delta, &arrays, &f64s(&case.weights));
            let found: f64 =
                f64s(&case.forward(is_delta)).iter().zip(&case.weights).map(|(x, w)| x * f64::from(*w)).sum();
            assert!((found - expected).abs() < 1e-5 * expected.abs().max(10.0), "{found} {expected}");
        }
    }
}

#[test]
fn the_backward_pass_computes_the_gradient_of_the_recurrence() {
    for is_delta in [false, true] {
        for (time, key, value, decay) in CASES {
            let case = case(is_delta, time, key, value, decay);
            let gradients = case.backward(is_delta);
            let arrays = case.arrays.each_ref().map(|x| f64s(x));
            let weights = f64s(&case.weights);
            for (array, gradient) in gradients.iter().enumerate() {
                let scale = gradient.iter().map(|x| x.abs()).fold(1e-3, f32::max);
                for at in (0..gradient.len()).step_by(gradient.len() / 13 + 1) {
                    let loss_at = |step: f64| {
                        let mut moved = arrays.clone();
                        moved[array][at] += step;
                        loss(case.shape, is_delta, &moved, &weights)
                    };
                    let expected = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
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
fn exp_is_exact_to_two_units_in_the_last_place() {
    let exp = |x: f32| exp::exp_slice(&[x])[0];
    for step in -1_048_576..900_000 {
        let x = step as f32 * 1e-4;
        let (found, expected) = (exp(x), f64::from(x).exp() as f32);
        let unit = f64::from(expected.next_up()) - f64::from(expected);
        let error = (f64::from(found) - f64::from(x).exp()).abs();
        assert!(found == expected || error <= 2.0 * unit, "exp({x}) = {found}, not {expected}");
    }
    assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(exp(f32::INFINITY), f32::INFINITY);
    assert_eq!(exp(0.0), 1.0);
    assert!(exp(f32::NAN).is_nan());
}

/// Computes attention by its definition, in f64.
fn attend(inputs: AttentionInputs<'_>) -> Vec<f64> {
    let AttentionInputs { batch, heads, kv_heads, num_queries, num_keys, capacity, width, .. } = inputs;
    let mut outputs = Vec::new();
    for row in 0..batch * heads {
        let kv_row = row / heads * kv_heads + row % heads / (heads / kv_heads);
        let key = |at: usize, i: usize| f64::from(inputs.k[(kv_row * capacity + at) * width + i]);
        for query in 0..num_queries {
            let last = num_keys[row / heads] - num_queries + query;
            let first = inputs.left_pads.map_or(0, |pads| pads[row / heads]).min(last);
            let q = &inputs.q[(row * num_queries + query) * width..(row * num_queries + query + 1) * width];
            let score = |at: usize| {
                let product: f64 = q.iter().enumerate().map(|(i, q)| f64::from(*q) * key(at, i)).sum();
                (product / (width as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (first..=last).map(score).collect();
            let total: f64 = weights.iter().sum();
            outputs.extend((0..width).map(|i| {
                let value = |at: usize| f64::from(inputs.v[(kv_row * capacity + at) * width + i]);
                weights.iter().zip(first..).map(|(weight, at)| weight * value(at)).sum::<f64>() / total
            }));
        }
    }
    outputs
}

#[test]
fn attention_matches_its_definition() {
    let cases = [
        (1, [0, 0], 0, 8, None),
        (5, [0, 0], 3, 40, Some([0, 3])),
        (33, [31, 31], 0, 32, Some([70, 40])),
        (70, [9, 9], 1, 6, None),
        (1, [40, 40], 23, 32, None),
        (1, [17, 40], 2, 32, None),
        (3, [29, 0], 0, 16, Some([1, 2])),
    ];
    for (num_queries, past, spare, width, left_pads) in cases {
        let (batch, heads, kv_heads) = (2, 6, 2);
        let num_keys = past.map(|past: usize| num_queries + past);
        let capacity = num_keys[0].max(num_keys[1]) + spare;
        let q: Vec<f32> = noise(1, batch * heads * num_queries * width).iter().map(|x| 8.0 * x).collect();
        let (k, v) =
            (noise(2, batch * kv_heads * capacity * width), noise(3, batch * kv_heads * capacity * width));
        let left_pads = left_pads.as_ref().map(|pads| pads.as_slice());
        let (q, k, v) = (&q[..], &k[..], &v[..]);
        let inputs = AttentionInputs {
            batch,
            heads,
            kv_heads,
            num_queries,
            num_keys: &num_keys,
            capacity,
            width,
            q,
            k,
            v,
            left_pads,
        };
        for (found, expected) in attention_forward(inputs).iter().zip(attend(inputs)) {
            assert!(
                (f64::from(*found) - expected).abs() < 2e-6,
                "{num_queries} {past:?}: {found} for {expected}"
            );
        }
    }
}

#[test]
fn norms_and_gates_match_their_definitions() {
    for width in [5, 32, 71, 128] {
        let (x, weight) = (noise(1, 300 * width), noise(2, width));
        for (row, found) in x.chunks(width).zip(rms_norm(&x, &weight, 1e-5).chunks(width)) {
            let square: f64 = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            let root = (square / width as f64 + 1e-5).sqrt();
            for ((x, weight), found) in row.iter().zip(&weight).zip(found) {
                let expected = f64::from(*x) / root * f64::from(*weight);
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} for {expected}");
            }
        }
    }
    let gate: Vec<f32> = noise(3, 40_000).iter().map(|x| 100.0 * x).collect();
    let x = noise(4, 40_000);
    for ((gate, x), found) in gate.iter().zip(&x).zip(swish_gate(&gate, &x)) {
        let expected = f64::from(*gate) / (1.0 + (-f64::from(*gate)).exp()) * f64::from(*x);
        assert!((f64::from(found) - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn rotations_match_their_definition_for_any_strides() {
    for (width, rows_of_tables) in [(2, 1), (10, 2), (32, 1), (66, 2)] {
        let (batch, heads, time, half) = (2, 3, 5, width / 2);
        let x = noise(1, batch * heads * time * width);
        let (cos, sin) = (noise(2, rows_of_tables * time * half), noise(3, rows_of_tables * time * half));
        // The strides of two layouts: `[b, t, h, k]`, as a projection returns it, and `[b, h, t, k]`.
        for strides in
            [[time * heads * width, width, heads * width], [heads * time * width, time * width, width]]
        {
            let inputs = RotaryInputs { batch, heads, time, width, x: &x, strides, cos: &cos, sin: &sin };
            for (index, found) in rotary_embedding(inputs).into_iter().enumerate() {
                let (row, head, token) =
                    (index / width / time / heads, index / width / time % heads, index / width % time);
                let start = row * strides[0] + head * strides[1] + token * strides[2];
                let at = index % half + (row % rows_of_tables * time + token) * half;
                let (one, two) = (x[start + index % half], x[start + half + index % half]);
                let expected = match index % width < half {
                    true => one * cos[at] - two * sin[at],
                    false => two * cos[at] + one * sin[at],
                };
                assert_eq!(found, expected, "{width} {strides:?} {index}");
            }
        }
    }
}

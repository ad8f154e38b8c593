//! Every form of the recurrences (in chunks, in one pass, by steps) against the plain ones in f64:
//! values, states and gradients.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::RngExt;

use super::conv::{dynamic_conv, short_conv};
use super::delta::{gated_delta, gated_delta_in_chunks, gated_delta_step};
use super::gla::{gla_in_chunks, gla_step};
use super::layout::exact_product;
use super::norm::l2_norm;
use super::*;
use dtr_core::seed::Seed;

type Gla = fn(Tensor<4>, Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>);
type Delta =
    fn(Tensor<4>, Tensor<4>, Tensor<4>, Tensor<3>, Tensor<3>, Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>);

/// On a processor `gla` and `gated_delta` are one pass over the tokens.
const GLA: [(&str, Gla); 2] = [("chunks", gla_in_chunks), ("one pass", gla)];
const DELTA: [(&str, Delta); 2] = [("chunks", gated_delta_in_chunks), ("one pass", gated_delta)];

const TIMES: [usize; 8] = [1, 15, 63, 64, 65, 127, 130, 257];

/// How hard a case is.
#[derive(Clone, Copy, Debug)]
enum Case {
    /// Random keys, mild decay.
    Mild,
    /// WeightDecay so strong that a chunk forgets by hundreds of e-folds.
    StrongDecay,
    /// Keys that nearly point the same way, full write strength, no decay.
    Correlated,
}

const CASES: [Case; 3] = [Case::Mild, Case::StrongDecay, Case::Correlated];

fn random<const D: usize>(name: &str, shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
    let mut rng = Seed(11).child(name).rng();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(low..high)).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
}

/// Inputs in f64: q, k, v, log decay per channel, log decay per head, write strength, state.
struct Inputs {
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    gk: Tensor<4>,
    g: Tensor<4>,
    beta: Tensor<4>,
    state: Tensor<4>,
}

impl Inputs {
    fn new(time: usize, case: Case) -> Self {
        let (b, h, k, v) = (2, 3, 8, 12);
        let keys = random("k", [b, h, time, k], -1.0, 1.0);
        let (keys, decay, beta) = match case {
            Case::Mild => (keys, -0.5, random("beta", [b, h, time, 1], 0.0, 1.0)),
            Case::StrongDecay => (keys, -20.0, random("beta", [b, h, time, 1], 0.0, 1.0)),
            Case::Correlated => (keys * 0.1 + 1.0, -1e-6, random("beta", [b, h, time, 1], 0.98, 1.0)),
        };
        Self {
            q: l2_norm(random("q", [b, h, time, k], -1.0, 1.0)),
            k: l2_norm(keys),
            v: random("v", [b, h, time, v], -1.0, 1.0),
            gk: random("gk", [b, h, time, k], decay, 0.0),
            g: random("g", [b, h, time, 1], decay, 0.0),
            beta,
            state: random("state", [b, h, k, v], -1.0, 1.0),
        }
    }
}

fn single<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().cast(DType::F32)
}

/// `‖a − b‖ / ‖b‖` over all elements; NaN never passes a bound.
fn relative<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    let values =
        |x: &Tensor<D>| -> Vec<f64> { x.clone().inner_if().cast(DType::F64).to_data().try_to_vec().unwrap() };
    let (a, b) = (values(a), values(b));
    let difference: f64 = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum();
    let size: f64 = b.iter().map(|b| b * b).sum();
    (difference / size.max(1e-30)).sqrt()
}

trait InnerIf {
    fn inner_if(self) -> Self;
}

impl<const D: usize> InnerIf for Tensor<D> {
    fn inner_if(self) -> Self {
        if self.is_autodiff() { self.inner() } else { self }
    }
}

fn close<const D: usize>(what: &str, ours: &Tensor<D>, truth: &Tensor<D>, bound: f64) {
    let error = relative(ours, truth);
    assert!(error < bound, "{what}: relative error {error:.2e}, bound {bound:.0e}");
}

fn heads(x: &Tensor<4>) -> Tensor<3> {
    x.clone().squeeze_dim::<3>(3)
}

#[test]
fn gla_is_the_recurrence() {
    for ((form, gla), time) in GLA.into_iter().flat_map(|form| TIMES.map(|time| (form, time))) {
        for case in [Case::Mild, Case::StrongDecay] {
            let x = Inputs::new(time, case);
            let (truth, state) = naive::gla(&x.q, &x.k, &x.v, &x.gk, x.state.clone());
            let (ours, next) =
                gla(single(&x.q), single(&x.k), single(&x.v), single(&x.gk), Some(single(&x.state)));
            close(&format!("gla {time} {case:?} in {form}"), &ours, &truth, 1e-5);
            close(&format!("gla state {time} {case:?} in {form}"), &next, &state, 1e-5);
        }
    }
}

#[test]
fn gated_delta_is_the_recurrence() {
    for ((form, gated_delta), time) in DELTA.into_iter().flat_map(|form| TIMES.map(|time| (form, time))) {
        for case in CASES {
            let x = Inputs::new(time, case);
            let (truth, state) = naive::gated_delta(&x.q, &x.k, &x.v, &x.beta, &x.g, x.state.clone());
            let (ours, next) = gated_delta(
                single(&x.q),
                single(&x.k),
                single(&x.v),
                heads(&single(&x.beta)),
                heads(&single(&x.g)),
                Some(single(&x.state)),
            );
            close(&format!("delta {time} {case:?} in {form}"), &ours, &truth, 1e-5);
            close(&format!("delta state {time} {case:?} in {form}"), &next, &state, 1e-5);
        }
    }
}

#[test]
fn steps_are_the_recurrence() {
    let x = Inputs::new(9, Case::Mild);
    let (truth_gla, _) = naive::gla(&x.q, &x.k, &x.v, &x.gk, x.state.clone());
    let (truth_delta, _) = naive::gated_delta(&x.q, &x.k, &x.v, &x.beta, &x.g, x.state.clone());
    let at = |x: &Tensor<4>, time: usize| single(x).narrow(2, time, 1).squeeze_dim::<3>(2);
    let gate = |x: &Tensor<4>, time: usize| at(x, time).squeeze_dim::<2>(2);
    let (mut state_gla, mut state_delta) = (single(&x.state), single(&x.state));
    for time in 0..9 {
        let (output, next) =
            gla_step(at(&x.q, time), at(&x.k, time), at(&x.v, time), at(&x.gk, time), state_gla);
        close("gla step", &output.unsqueeze_dim::<4>(2), &truth_gla.clone().narrow(2, time, 1), 1e-5);
        state_gla = next;
        let (output, next) = gated_delta_step(
            at(&x.q, time),
            at(&x.k, time),
            at(&x.v, time),
            gate(&x.beta, time),
            gate(&x.g, time),
            state_delta,
        );
        close("delta step", &output.unsqueeze_dim::<4>(2), &truth_delta.clone().narrow(2, time, 1), 1e-5);
        state_delta = next;
    }
}

/// Gradients of `Σ output · probe` with respect to each input.
fn gradients(
    inputs: [&Tensor<4>; 5],
    forward: impl Fn([Tensor<4>; 5]) -> Tensor<4>,
    probe: &Tensor<4>,
) -> Vec<Tensor<4>> {
    let leaves = inputs.map(|x| x.clone().autodiff().require_grad());
    let output = forward(leaves.clone());
    let loss = (output * probe.clone().autodiff()).sum();
    let gradients = loss.backward();
    leaves.iter().map(|leaf| leaf.grad(&gradients).expect("the output depends on every input")).collect()
}

#[test]
fn gradients_of_gla_are_those_of_the_recurrence() {
    for time in [1, 15, 64, 65, 130] {
        for case in [Case::Mild, Case::StrongDecay] {
            let x = Inputs::new(time, case);
            let probe = random("probe", x.v.dims(), -1.0, 1.0);
            let inputs = [&x.q, &x.k, &x.v, &x.gk, &x.state];
            let truth = gradients(inputs, |[q, k, v, gk, s]| naive::gla(&q, &k, &v, &gk, s).0, &probe);
            for (form, gla) in GLA {
                let singles = inputs.map(single);
                let ours = gradients(
                    singles.each_ref(),
                    |[q, k, v, gk, s]| gla(q, k, v, gk, Some(s)).0,
                    &single(&probe),
                );
                for (name, (ours, truth)) in
                    ["q", "k", "v", "gk", "state"].iter().zip(ours.iter().zip(&truth))
                {
                    close(&format!("gla d{name} {time} {case:?} in {form}"), ours, truth, 1e-4);
                }
            }
        }
    }
}

#[test]
fn gradients_of_the_gated_delta_rule_are_those_of_the_recurrence() {
    for time in [1, 15, 64, 65, 130] {
        for case in CASES {
            let x = Inputs::new(time, case);
            let probe = random("probe", x.v.dims(), -1.0, 1.0);
            let state = x.state.zeros_like().autodiff();
            let inputs = [&x.q, &x.k, &x.v, &x.beta, &x.g];
            let truth = gradients(
                inputs,
                |[q, k, v, beta, g]| naive::gated_delta(&q, &k, &v, &beta, &g, state.clone()).0,
                &probe,
            );
            for (form, gated_delta) in DELTA {
                let singles = inputs.map(single);
                let ours = gradients(
                    singles.each_ref(),
                    |[q, k, v, beta, g]| gated_delta(q, k, v, heads(&beta), heads(&g), None).0,
                    &single(&probe),
                );
                for (name, (ours, truth)) in ["q", "k", "v", "beta", "g"].iter().zip(ours.iter().zip(&truth))
                {
                    // One token from an empty state does not depend on its decay: both are exactly zero.
                    if *name == "g" && time == 1 {
                        continue;
                    }
                    close(&format!("delta d{name} {time} {case:?} in {form}"), ours, truth, 1e-4);
                }
            }
        }
    }
}

type Attention = fn(Tensor<4>, Tensor<4>, Tensor<4>, &CausalMask) -> Tensor<4>;

fn in_one_pass(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &CausalMask) -> Tensor<4> {
    attention(q, &KvCache::new(k, v), mask)
}

#[test]
fn attention_is_one_query_at_a_time_over_repeated_heads() {
    let (b, h, g, t, k) = (2, 6, 2, 13, 8);
    let q = random("q", [b, h, t, k], -2.0, 2.0);
    let keys = random("k", [b, g, t, k], -2.0, 2.0);
    let values = random("v", [b, g, t, k], -2.0, 2.0);
    let mask = CausalMask::new(t, 0, None, &Device::flex());
    let truth =
        naive::attention(&q, &repeat_heads(keys.clone(), h / g), &repeat_heads(values.clone(), h / g));
    for (form, attention) in
        [("one pass", in_one_pass as Attention), ("scores", super::attention::attention_by_scores)]
    {
        let ours = attention(single(&q), single(&keys), single(&values), &mask);
        close(&format!("attention by {form}"), &ours, &truth, 1e-5);
    }
}

#[test]
fn a_convolution_continues_from_its_state() {
    let x = random("x", [2, 11, 6], -1.0, 1.0);
    let weight = random("w", [6, 4], -1.0, 1.0);
    let (whole, _) = short_conv(single(&x), &single(&weight), None);
    let (first, state) = short_conv(single(&x).narrow(1, 0, 5), &single(&weight), None);
    let (second, _) = short_conv(single(&x).narrow(1, 5, 6), &single(&weight), Some(state));
    close("split conv", &Tensor::cat(vec![first, second], 1), &whole, 1e-6);
    // The definition, written out for one channel and token.
    let (xs, ws): (Vec<f64>, Vec<f64>) =
        (x.to_data().try_to_vec().unwrap(), weight.to_data().try_to_vec().unwrap());
    let expected: f64 = (0..4).map(|tap| ws[2 * 4 + tap] * xs[(7 - 3 + tap) * 6 + 2]).sum();
    let found: Vec<f32> = whole.to_data().try_to_vec().unwrap();
    assert!((f64::from(found[7 * 6 + 2]) - expected).abs() < 1e-5);
}

#[test]
fn a_dynamic_convolution_with_equal_kernels_is_a_static_one() {
    let x = random("x", [2, 9, 6], -1.0, 1.0);
    let weight = random("w", [6, 4], -1.0, 1.0);
    let kernels = single(&weight).reshape([1, 1, 6, 4]).expand([2, 9, 6, 4]);
    let (static_, _) = short_conv(single(&x), &single(&weight), None);
    let (dynamic, _) = dynamic_conv(single(&x), &kernels, None);
    close("dynamic conv", &dynamic, &static_, 1e-6);
}

#[test]
fn llama3_scaling_keeps_high_frequencies_and_divides_low_ones() {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position: 8192,
    };
    let (plain, scaled) = (Rope::new(128, 5e5, &RopeScaling::None), Rope::new(128, 5e5, &scaling));
    let ratio = |index: usize| plain.frequency(index) / scaled.frequency(index);
    assert!((ratio(0) - 1.0).abs() < 1e-12);
    assert!((ratio(63) - 8.0).abs() < 1e-9);
    assert!((0..63).all(|index| ratio(index) <= ratio(index + 1) + 1e-12));
}

#[test]
fn norms_are_computed_by_their_definitions() {
    let x = random("x", [3, 5, 8], -2.0, 2.0);
    let weight = random("w", [8], 0.5, 1.5);
    let mean: Tensor<3> = x.clone().square().mean_dim(2);
    let truth = x.clone() / (mean + 1e-5).sqrt() * weight.clone().reshape([1, 1, 8]);
    close("frozen rms norm", &rms_norm(single(&x), &single(&weight), 1e-5), &truth, 1e-6);
    let tracked = rms_norm(single(&x).autodiff(), &single(&weight).autodiff(), 1e-5);
    close("rms norm", &tracked, &truth, 1e-6);
    let gate = random("gate", [3, 5, 8], -4.0, 4.0);
    let truth = gate.clone() / (gate.clone().neg().exp() + 1.0) * x.clone();
    close("frozen swish gate", &swish_gate(single(&gate), single(&x)), &truth, 1e-6);
    let tracked = swish_gate(single(&gate).autodiff(), single(&x).autodiff());
    close("swish gate", &tracked, &truth, 1e-6);
    let length = (x.clone().square().sum_dim(2) + 1e-6).sqrt();
    close("l2 norm", &l2_norm(single(&x)), &(x / length), 1e-6);
}

#[test]
fn a_frozen_rotation_is_the_tracked_one_to_the_last_bit() {
    let rope = Rope::new(8, 1e4, &RopeScaling::None);
    let positions = [vec![3, 4, 5, 6, 7], vec![0, 0, 0, 1, 2]];
    let x = single(&random("x", [2, 5, 3, 8], -2.0, 2.0));
    for positions in [&positions[..1], &positions[..]] {
        let angles = rope.angles(positions, &x.device());
        let tracked = angles.autodiff();
        // As a projection lays heads, and apart.
        for x in [x.clone().swap_dims(1, 2), x.clone().reshape([2, 3, 5, 8])] {
            let expected = Rope::apply(x.clone().autodiff(), &tracked).inner().into_data();
            assert_eq!(Rope::apply(x, &angles).into_data(), expected);
        }
    }
}

#[test]
fn likelihoods_may_share_their_logits_and_have_them_made_in_parts() {
    // Nothing is wanted of the last row.
    let (x, head) = (single(&random("x", [4, 5], -2.0, 2.0)), single(&random("head", [7, 5], -2.0, 2.0)));
    let wanted = [(2, 6), (0, 0), (2, 3), (1, 5)];
    let apart = wanted.map(|(row, token)| {
        let logits = exact_product(x.clone().narrow(0, row, 1), &head);
        let token = Tensor::from_data(TensorData::new(vec![token as i32], [1]), &x.device());
        log_likelihoods(logits, token).into_scalar::<f32>()
    });
    for at_once in 1..5 {
        assert_eq!(loss::in_parts(&x, &head, &wanted, at_once), apart, "{at_once} rows at once");
    }
}

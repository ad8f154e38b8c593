//! The recurrences, their gradients and their steps.

use super::*;

/// How hard a case is.
#[derive(Clone, Copy, Debug)]
enum Case {
    Mild,
    StrongDecay,
    /// Keys that nearly point the same way.
    Correlated,
}

const CASES: [Case; 3] = [Case::Mild, Case::StrongDecay, Case::Correlated];
const TIMES: [usize; 6] = [2, 63, 64, 65, 130, 300];

fn decays<const D: usize>(case: Case, shape: [usize; D]) -> Tensor<D> {
    match case {
        Case::Mild => random(shape, -0.2, 0.0),
        Case::StrongDecay => random(shape, -30.0, 0.0),
        Case::Correlated => random(shape, -0.01, 0.0),
    }
}

fn keys(case: Case, shape: [usize; 4]) -> Tensor<4> {
    let noise = random(shape, -1.0, 1.0);
    match case {
        Case::Correlated => {
            let common = random([1, 1, 1, shape[3]], -1.0, 1.0).expand(shape);
            let x = common + noise.mul_scalar(0.03);
            let values: Vec<f64> = x.into_data().iter::<f64>().collect();
            let rounded: Vec<f64> = values.into_iter().map(|x| f64::from(bf16::from_f64(x))).collect();
            Tensor::from_data(TensorData::new(rounded, shape), (&Device::flex(), DType::F64))
        }
        _ => noise,
    }
}

#[test]
fn gla_and_its_gradients() {
    in_both(|device, dtype, bound| {
        for (case, time) in CASES.into_iter().flat_map(|case| TIMES.map(|time| (case, time))) {
            let (batch, heads, groups, key, value) = (2, 4, 2, 64, 128);
            let q = random([batch, heads, time, key], -1.0, 1.0);
            let k = keys(case, [batch, groups, time, key]);
            let v = random([batch, groups, time, value], -1.0, 1.0);
            let gk = decays(case, [batch, groups, time, key]);
            let seed = random([batch, heads, time, value], -1.0, 1.0);
            let learn = |[q, k, v, gk, seed]: [Tensor<4>; 5]| {
                let leaves = [q, k, v, gk].map(|x| x.autodiff().require_grad());
                let [q, k, v, gk] = leaves.clone();
                let (o, _) = gla(q, k, v, gk, None);
                let gradients = (o.clone() * seed.autodiff()).sum().backward();
                (o.inner(), leaves.map(|leaf| leaf.grad(&gradients).unwrap()))
            };
            let truth = learn([&q, &k, &v, &gk, &seed].map(Tensor::clone));
            poison(device);
            let place = |x: &Tensor<4>| on(device, dtype, x);
            let gk_ = on(device, DType::F32, &gk);
            let found = learn([place(&q), place(&k), place(&v), gk_.clone(), place(&seed)]);
            let what = format!("{time} {case:?} {dtype:?}");
            close(&format!("gla {what}"), &found.0, &truth.0, bound);
            for (name, (found, truth)) in ["q", "k", "v", "gk"].iter().zip(found.1.iter().zip(&truth.1)) {
                close(&format!("gla's {name} {what}"), found, truth, bound);
            }
            let state = random([batch, heads, key, value], -1.0, 1.0);
            let (o, last) = gla(q.clone(), k.clone(), v.clone(), gk.clone(), Some(state.clone()));
            poison(device);
            let state_ = on(device, DType::F32, &state);
            let (o_, last_) = gla(place(&q), place(&k), place(&v), gk_, Some(state_));
            close(&format!("gla from a state {what}"), &o_, &o, bound);
            close(&format!("gla's state {what}"), &last_, &last, bound);
        }
    });
}

#[test]
fn the_delta_rule_and_its_gradients() {
    in_both(|device, dtype, bound| {
        for (case, time) in CASES.into_iter().flat_map(|case| TIMES.map(|time| (case, time))) {
            // Where little is remembered a token's decay has a gradient of a few terms, which may cancel by chance: of a few
            // tokens one such number would decide.
            let batch = if time < 64 { 64 } else { 2 };
            let (heads, groups, key, value) = (4, 2, 64, 128);
            let q = random([batch, heads, time, key], -1.0, 1.0);
            let k = keys(case, [batch, groups, time, key]);
            let v = random([batch, groups, time, value], -1.0, 1.0);
            let (beta, g) = (random([batch, heads, time], 0.1, 1.0), decays(case, [batch, heads, time]));
            let seed = random([batch, heads, time, value], -1.0, 1.0);
            let learn = |[q, k, v, seed]: [Tensor<4>; 4], gates: [Tensor<3>; 2]| {
                let leaves = [q, k, v].map(|x| x.autodiff().require_grad());
                let gates = gates.map(|x| x.autodiff().require_grad());
                let (o, _) = delta_rule(leaves.clone(), gates.clone(), None);
                let gradients = (o.clone() * seed.autodiff()).sum().backward();
                let of_leaves = leaves.map(|leaf| leaf.grad(&gradients).unwrap());
                (o.inner(), of_leaves, gates.map(|gate| gate.grad(&gradients).unwrap()))
            };
            let truth = learn([&q, &k, &v, &seed].map(Tensor::clone), [beta.clone(), g.clone()]);
            // Where keys point the same way, the gradient of the decays cancels, and a rounding of the inputs moves the truth itself by
            // more than the bound. What is allowed then is what three roundings do: of inputs, of what is kept of chunks, of states.
            let [q_, k_, v_] = [&q, &k, &v].map(|x| blurred(x, dtype));
            let blurred = learn([q_, k_, v_, seed.clone()], [beta.clone(), g.clone()]);
            poison(device);
            let place = |x: &Tensor<4>| on(device, dtype, x);
            let gates = || [&beta, &g].map(|x| on(device, DType::F32, x));
            let found = learn([&q, &k, &v, &seed].map(place), gates());
            let what = format!("{time} {case:?} {dtype:?}");
            close(&format!("delta {what}"), &found.0, &truth.0, bound);
            for (index, name) in ["q", "k", "v"].iter().enumerate() {
                let (found, truth, blurred) = (&found.1[index], &truth.1[index], &blurred.1[index]);
                let bound = bound.max(3.0 * distance(blurred, truth));
                close(&format!("delta's {name} {what}"), found, truth, bound);
            }
            for (index, name) in ["beta", "g"].iter().enumerate() {
                let (found, truth, blurred) = (&found.2[index], &truth.2[index], &blurred.2[index]);
                let bound = bound.max(3.0 * distance(blurred, truth));
                close(&format!("delta's {name} {what}"), found, truth, bound);
            }
            let state = random([batch, heads, key, value], -1.0, 1.0);
            let (o, last) =
                delta_rule([&q, &k, &v].map(Tensor::clone), [beta.clone(), g.clone()], Some(state.clone()));
            poison(device);
            let state_ = on(device, DType::F32, &state);
            let (o_, last_) = delta_rule([&q, &k, &v].map(place), gates(), Some(state_));
            close(&format!("delta from a state {what}"), &o_, &o, bound);
            close(&format!("delta's state {what}"), &last_, &last, bound);
        }
    });
}

#[test]
fn steps_go_on_from_a_state() {
    in_both(|device, dtype, bound| {
        let (batch, heads, groups, key, value) = (3, 4, 2, 64, 64);
        let q = random([batch, heads, 1, key], -1.0, 1.0);
        let k = random([batch, groups, 1, key], -1.0, 1.0);
        let v = random([batch, groups, 1, value], -1.0, 1.0);
        let gk = random([batch, groups, 1, key], -0.3, 0.0);
        let (beta, g) = (random([batch, heads, 1], 0.1, 1.0), random([batch, heads, 1], -0.3, 0.0));
        let state = random([batch, heads, key, value], -1.0, 1.0);
        let place = |x: &Tensor<4>| on(device, dtype, x);
        let exact = |x: &Tensor<4>| on(device, DType::F32, x);
        let truth = gla(q.clone(), k.clone(), v.clone(), gk.clone(), Some(state.clone()));
        poison(device);
        let kept = exact(&state);
        let found = gla(place(&q), place(&k), place(&v), exact(&gk), Some(kept.clone()));
        close("gla step", &found.0, &truth.0, bound);
        close("gla step's state", &found.1, &truth.1, bound);
        close("a state that is held is left", &kept, &state, 1e-6);
        let truth =
            delta_rule([&q, &k, &v].map(Tensor::clone), [beta.clone(), g.clone()], Some(state.clone()));
        poison(device);
        let gates = [&beta, &g].map(|x| on(device, DType::F32, x));
        let found = delta_rule([&q, &k, &v].map(place), gates, Some(exact(&state)));
        close("delta step", &found.0, &truth.0, bound);
        close("delta step's state", &found.1, &truth.1, bound);
    });
}

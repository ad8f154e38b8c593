use burn::tensor::{DType, Tensor};

use super::gated_delta_rule;
use crate::cuda_testing::{
    INPUT_KINDS, SEQUENCE_LENGTHS, assert_close, fill_free_memory_with_nan, for_each_dtype, keys, log_decays,
    perturb, random_bf16_exact, relative_error, to_device,
};

#[test]
fn outputs_and_gradients_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (kind, time) in INPUT_KINDS.into_iter().flat_map(|kind| SEQUENCE_LENGTHS.map(|time| (kind, time)))
        {
            // With strong decay, the gradient of a token's decay is the sum of a few terms, which may cancel
            // by chance. With few tokens and a small batch, one such gradient would dominate the error.
            let batch = if time < 64 { 64 } else { 2 };
            let (heads, groups, key, value) = (4, 2, 64, 128);
            let q = random_bf16_exact([batch, heads, time, key], -1.0, 1.0);
            let k = keys(kind, [batch, groups, time, key]);
            let v = random_bf16_exact([batch, groups, time, value], -1.0, 1.0);
            let (beta, g) =
                (random_bf16_exact([batch, heads, time], 0.1, 1.0), log_decays(kind, [batch, heads, time]));
            let seed = random_bf16_exact([batch, heads, time, value], -1.0, 1.0);
            let learn = |[q, k, v, seed]: [Tensor<4>; 4], gates: [Tensor<3>; 2]| {
                let leaves = [q, k, v].map(|x| x.autodiff().require_grad());
                let gates = gates.map(|x| x.autodiff().require_grad());
                let (o, _) = gated_delta_rule(leaves.clone(), gates.clone(), None);
                let gradients = (o.clone() * seed.autodiff()).sum().backward();
                let of_leaves = leaves.map(|leaf| leaf.grad(&gradients).unwrap());
                (o.inner(), of_leaves, gates.map(|gate| gate.grad(&gradients).unwrap()))
            };
            let truth = learn([&q, &k, &v, &seed].map(Tensor::clone), [beta.clone(), g.clone()]);
            // With correlated keys, the terms of the decays' gradients cancel. Rounding the inputs then
            // changes the reference itself by more than the bound. The kernels round at three places: the
            // inputs, the saved chunks and the states. So the bound is raised to three times that change.
            let [q_, k_, v_] = [&q, &k, &v].map(|x| perturb(x, dtype));
            let perturbed = learn([q_, k_, v_, seed.clone()], [beta.clone(), g.clone()]);
            fill_free_memory_with_nan(device);
            let place = |x: &Tensor<4>| to_device(device, dtype, x);
            let gates = || [&beta, &g].map(|x| to_device(device, DType::F32, x));
            let found = learn([&q, &k, &v, &seed].map(place), gates());
            let label = format!("{time} {kind:?} {dtype:?}");
            assert_close(&format!("delta {label}"), &found.0, &truth.0, bound);
            for (index, name) in ["q", "k", "v"].iter().enumerate() {
                let (found, truth, perturbed) = (&found.1[index], &truth.1[index], &perturbed.1[index]);
                let bound = bound.max(3.0 * relative_error(perturbed, truth));
                assert_close(&format!("delta's {name} {label}"), found, truth, bound);
            }
            for (index, name) in ["beta", "g"].iter().enumerate() {
                let (found, truth, perturbed) = (&found.2[index], &truth.2[index], &perturbed.2[index]);
                let bound = bound.max(3.0 * relative_error(perturbed, truth));
                assert_close(&format!("delta's {name} {label}"), found, truth, bound);
            }
            let state = random_bf16_exact([batch, heads, key, value], -1.0, 1.0);
            let (o, last) = gated_delta_rule(
                [&q, &k, &v].map(Tensor::clone),
                [beta.clone(), g.clone()],
                Some(state.clone()),
            );
            fill_free_memory_with_nan(device);
            let state_ = to_device(device, DType::F32, &state);
            let (o_, last_) = gated_delta_rule([&q, &k, &v].map(place), gates(), Some(state_));
            assert_close(&format!("delta from a state {label}"), &o_, &o, bound);
            assert_close(&format!("delta's state {label}"), &last_, &last, bound);
        }
    });
}

#[test]
fn a_step_continues_from_a_state() {
    for_each_dtype(|device, dtype, bound| {
        let (batch, heads, groups, key, value) = (3, 4, 2, 64, 64);
        let q = random_bf16_exact([batch, heads, 1, key], -1.0, 1.0);
        let k = random_bf16_exact([batch, groups, 1, key], -1.0, 1.0);
        let v = random_bf16_exact([batch, groups, 1, value], -1.0, 1.0);
        let (beta, g) =
            (random_bf16_exact([batch, heads, 1], 0.1, 1.0), random_bf16_exact([batch, heads, 1], -0.3, 0.0));
        let state = random_bf16_exact([batch, heads, key, value], -1.0, 1.0);
        let place = |x: &Tensor<4>| to_device(device, dtype, x);
        let exact = |x: &Tensor<4>| to_device(device, DType::F32, x);
        let truth =
            gated_delta_rule([&q, &k, &v].map(Tensor::clone), [beta.clone(), g.clone()], Some(state.clone()));
        fill_free_memory_with_nan(device);
        let gates = [&beta, &g].map(|x| to_device(device, DType::F32, x));
        let found = gated_delta_rule([&q, &k, &v].map(place), gates, Some(exact(&state)));
        assert_close("delta step", &found.0, &truth.0, bound);
        assert_close("delta step's state", &found.1, &truth.1, bound);
    });
}

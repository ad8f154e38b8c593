use burn::tensor::{DType, Tensor};

use super::gla;
use crate::cuda_testing::{
    INPUT_KINDS, SEQUENCE_LENGTHS, assert_close, fill_free_memory_with_nan, for_each_dtype, keys, log_decays,
    random_bf16_exact, to_device,
};

#[test]
fn outputs_and_gradients_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (kind, time) in INPUT_KINDS.into_iter().flat_map(|kind| SEQUENCE_LENGTHS.map(|time| (kind, time)))
        {
            let (batch, heads, groups, key, value) = (2, 4, 2, 64, 128);
            let q = random_bf16_exact([batch, heads, time, key], -1.0, 1.0);
            let k = keys(kind, [batch, groups, time, key]);
            let v = random_bf16_exact([batch, groups, time, value], -1.0, 1.0);
            let gk = log_decays(kind, [batch, groups, time, key]);
            let seed = random_bf16_exact([batch, heads, time, value], -1.0, 1.0);
            let learn = |[q, k, v, gk, seed]: [Tensor<4>; 5]| {
                let leaves = [q, k, v, gk].map(|x| x.autodiff().require_grad());
                let [q, k, v, gk] = leaves.clone();
                let (o, _) = gla(q, k, v, gk, None);
                let gradients = (o.clone() * seed.autodiff()).sum().backward();
                (o.inner(), leaves.map(|leaf| leaf.grad(&gradients).unwrap()))
            };
            let truth = learn([&q, &k, &v, &gk, &seed].map(Tensor::clone));
            fill_free_memory_with_nan(device);
            let place = |x: &Tensor<4>| to_device(device, dtype, x);
            let gk_ = to_device(device, DType::F32, &gk);
            let found = learn([place(&q), place(&k), place(&v), gk_.clone(), place(&seed)]);
            let label = format!("{time} {kind:?} {dtype:?}");
            assert_close(&format!("gla {label}"), &found.0, &truth.0, bound);
            for (name, (found, truth)) in ["q", "k", "v", "gk"].iter().zip(found.1.iter().zip(&truth.1)) {
                assert_close(&format!("gla's {name} {label}"), found, truth, bound);
            }
            let state = random_bf16_exact([batch, heads, key, value], -1.0, 1.0);
            let (o, last) = gla(q.clone(), k.clone(), v.clone(), gk.clone(), Some(state.clone()));
            fill_free_memory_with_nan(device);
            let state_ = to_device(device, DType::F32, &state);
            let (o_, last_) = gla(place(&q), place(&k), place(&v), gk_, Some(state_));
            assert_close(&format!("gla from a state {label}"), &o_, &o, bound);
            assert_close(&format!("gla's state {label}"), &last_, &last, bound);
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
        let gk = random_bf16_exact([batch, groups, 1, key], -0.3, 0.0);
        let state = random_bf16_exact([batch, heads, key, value], -1.0, 1.0);
        let place = |x: &Tensor<4>| to_device(device, dtype, x);
        let exact = |x: &Tensor<4>| to_device(device, DType::F32, x);
        let truth = gla(q.clone(), k.clone(), v.clone(), gk.clone(), Some(state.clone()));
        fill_free_memory_with_nan(device);
        let kept = exact(&state);
        let found = gla(place(&q), place(&k), place(&v), exact(&gk), Some(kept.clone()));
        assert_close("gla step", &found.0, &truth.0, bound);
        assert_close("gla step's state", &found.1, &truth.1, bound);
        assert_close("a shared state is not overwritten", &kept, &state, 1e-6);
    });
}

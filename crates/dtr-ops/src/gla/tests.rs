use burn::tensor::Tensor;

use super::{chunk_gla, gla, gla_step, naive};
use crate::testing::{
    InputKind, RecurrenceInputs, SEQUENCE_LENGTHS, assert_close, gradients, random, to_f32,
};

type Form = fn(Tensor<4>, Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>);

/// The implementations to test. On a CPU, `gla` computes all tokens in one pass.
const FORMS: [(&str, Form); 2] = [("chunks", chunk_gla), ("one pass", gla)];

#[test]
fn every_form_matches_the_recurrence() {
    for ((form, gla), time) in FORMS.into_iter().flat_map(|form| SEQUENCE_LENGTHS.map(|time| (form, time))) {
        for kind in [InputKind::Mild, InputKind::StrongDecay] {
            let x = RecurrenceInputs::new(time, kind);
            let (expected, expected_state) = naive::gla(&x.q, &x.k, &x.v, &x.gk, x.state.clone());
            let (output, state) =
                gla(to_f32(&x.q), to_f32(&x.k), to_f32(&x.v), to_f32(&x.gk), Some(to_f32(&x.state)));
            assert_close(&format!("gla {time} {kind:?} in {form}"), &output, &expected, 1e-5);
            assert_close(&format!("gla state {time} {kind:?} in {form}"), &state, &expected_state, 1e-5);
        }
    }
}

#[test]
fn steps_match_the_recurrence() {
    let x = RecurrenceInputs::new(9, InputKind::Mild);
    let (expected, _) = naive::gla(&x.q, &x.k, &x.v, &x.gk, x.state.clone());
    let at = |x: &Tensor<4>, time: usize| to_f32(x).narrow(2, time, 1).squeeze_dim::<3>(2);
    let mut state = to_f32(&x.state);
    for time in 0..9 {
        let (output, next) = gla_step(at(&x.q, time), at(&x.k, time), at(&x.v, time), at(&x.gk, time), state);
        assert_close("gla step", &output.unsqueeze_dim::<4>(2), &expected.clone().narrow(2, time, 1), 1e-5);
        state = next;
    }
}

#[test]
fn every_form_has_the_gradients_of_the_recurrence() {
    for time in [1, 15, 64, 65, 130] {
        for kind in [InputKind::Mild, InputKind::StrongDecay] {
            let x = RecurrenceInputs::new(time, kind);
            let probe = random("probe", x.v.dims(), -1.0, 1.0);
            let inputs = [&x.q, &x.k, &x.v, &x.gk, &x.state];
            let expected = gradients(inputs, |[q, k, v, gk, s]| naive::gla(&q, &k, &v, &gk, s).0, &probe);
            for (form, gla) in FORMS {
                let inputs = inputs.map(to_f32);
                let found = gradients(
                    inputs.each_ref(),
                    |[q, k, v, gk, s]| gla(q, k, v, gk, Some(s)).0,
                    &to_f32(&probe),
                );
                for (name, (found, expected)) in
                    ["q", "k", "v", "gk", "state"].iter().zip(found.iter().zip(&expected))
                {
                    assert_close(&format!("gla d{name} {time} {kind:?} in {form}"), found, expected, 1e-4);
                }
            }
        }
    }
}

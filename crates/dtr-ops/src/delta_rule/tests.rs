use burn::tensor::Tensor;

use super::{chunk_gated_delta, gated_delta_step, naive, normalised_gated_delta_rule};
use crate::testing::{
    INPUT_KINDS, InputKind, RecurrenceInputs, SEQUENCE_LENGTHS, assert_close, gradients, random, to_f32,
};

type Form =
    fn(Tensor<4>, Tensor<4>, Tensor<4>, Tensor<3>, Tensor<3>, Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>);

/// The implementations to test. On a CPU, `normalised_gated_delta_rule` computes all tokens in one pass.
const FORMS: [(&str, Form); 2] = [("chunks", chunk_gated_delta), ("one pass", normalised_gated_delta_rule)];

fn without_width(x: &Tensor<4>) -> Tensor<3> {
    x.clone().squeeze_dim::<3>(3)
}

#[test]
fn every_form_matches_the_recurrence() {
    for ((form, gated_delta), time) in
        FORMS.into_iter().flat_map(|form| SEQUENCE_LENGTHS.map(|time| (form, time)))
    {
        for kind in INPUT_KINDS {
            let x = RecurrenceInputs::new(time, kind);
            let (expected, expected_state) =
                naive::gated_delta(&x.q, &x.k, &x.v, &x.beta, &x.g, x.state.clone());
            let (output, state) = gated_delta(
                to_f32(&x.q),
                to_f32(&x.k),
                to_f32(&x.v),
                without_width(&to_f32(&x.beta)),
                without_width(&to_f32(&x.g)),
                Some(to_f32(&x.state)),
            );
            assert_close(&format!("delta {time} {kind:?} in {form}"), &output, &expected, 1e-5);
            assert_close(&format!("delta state {time} {kind:?} in {form}"), &state, &expected_state, 1e-5);
        }
    }
}

#[test]
fn steps_match_the_recurrence() {
    let x = RecurrenceInputs::new(9, InputKind::Mild);
    let (expected, _) = naive::gated_delta(&x.q, &x.k, &x.v, &x.beta, &x.g, x.state.clone());
    let at = |x: &Tensor<4>, time: usize| to_f32(x).narrow(2, time, 1).squeeze_dim::<3>(2);
    let gate = |x: &Tensor<4>, time: usize| at(x, time).squeeze_dim::<2>(2);
    let mut state = to_f32(&x.state);
    for time in 0..9 {
        let (output, next) = gated_delta_step(
            at(&x.q, time),
            at(&x.k, time),
            at(&x.v, time),
            gate(&x.beta, time),
            gate(&x.g, time),
            state,
        );
        assert_close("delta step", &output.unsqueeze_dim::<4>(2), &expected.clone().narrow(2, time, 1), 1e-5);
        state = next;
    }
}

#[test]
fn every_form_has_the_gradients_of_the_recurrence() {
    for time in [1, 15, 64, 65, 130] {
        for kind in INPUT_KINDS {
            let x = RecurrenceInputs::new(time, kind);
            let probe = random("probe", x.v.dims(), -1.0, 1.0);
            let state = x.state.zeros_like().autodiff();
            let inputs = [&x.q, &x.k, &x.v, &x.beta, &x.g];
            let expected = gradients(
                inputs,
                |[q, k, v, beta, g]| naive::gated_delta(&q, &k, &v, &beta, &g, state.clone()).0,
                &probe,
            );
            for (form, gated_delta) in FORMS {
                let inputs = inputs.map(to_f32);
                let found = gradients(
                    inputs.each_ref(),
                    |[q, k, v, beta, g]| {
                        gated_delta(q, k, v, without_width(&beta), without_width(&g), None).0
                    },
                    &to_f32(&probe),
                );
                for (name, (found, expected)) in
                    ["q", "k", "v", "beta", "g"].iter().zip(found.iter().zip(&expected))
                {
                    // With one token and a state of zeros, the output does not depend on the decay. The
                    // gradient of the decay is then zero in both implementations, and the relative error
                    // would be 0 / 0.
                    if *name == "g" && time == 1 {
                        continue;
                    }
                    assert_close(&format!("delta d{name} {time} {kind:?} in {form}"), found, expected, 1e-4);
                }
            }
        }
    }
}

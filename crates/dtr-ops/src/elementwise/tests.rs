use super::silu_mul;
use crate::testing::{assert_close, random, to_f32};

#[test]
fn silu_mul_follows_its_definition() {
    let x = random("x", [3, 5, 8], -2.0, 2.0);
    let gate = random("gate", [3, 5, 8], -4.0, 4.0);
    let expected = gate.clone() / (gate.clone().neg().exp() + 1.0) * x.clone();
    assert_close("silu times x", &silu_mul(to_f32(&gate), to_f32(&x)), &expected, 1e-6);
    let autodiff = silu_mul(to_f32(&gate).autodiff(), to_f32(&x).autodiff());
    assert_close("silu times x on a graph", &autodiff, &expected, 1e-6);
}

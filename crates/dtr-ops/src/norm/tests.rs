use burn::tensor::Tensor;

use super::{l2_norm, rms_norm};
use crate::testing::{assert_close, random, to_f32};

#[test]
fn norms_follow_their_definitions() {
    let x = random("x", [3, 5, 8], -2.0, 2.0);
    let weight = random("w", [8], 0.5, 1.5);
    let mean: Tensor<3> = x.clone().square().mean_dim(2);
    let expected = x.clone() / (mean + 1e-5).sqrt() * weight.clone().reshape([1, 1, 8]);
    assert_close("rms norm", &rms_norm(to_f32(&x), &to_f32(&weight), 1e-5), &expected, 1e-6);
    let autodiff = rms_norm(to_f32(&x).autodiff(), &to_f32(&weight).autodiff(), 1e-5);
    assert_close("rms norm on a graph", &autodiff, &expected, 1e-6);
    let length = (x.clone().square().sum_dim(2) + 1e-6).sqrt();
    assert_close("l2 norm", &l2_norm(to_f32(&x)), &(x / length), 1e-6);
}

use burn::tensor::Tensor;

use super::{causal_conv, conv_state_after, dynamic_conv};
use crate::testing::{assert_close, random, to_f32};

#[test]
fn a_convolution_continues_from_its_state() {
    let x = random("x", [2, 11, 6], -1.0, 1.0);
    let weight = random("w", [6, 4], -1.0, 1.0);
    let (whole, _) = causal_conv(to_f32(&x), &to_f32(&weight), None);
    let (first, state) = causal_conv(to_f32(&x).narrow(1, 0, 5), &to_f32(&weight), None);
    let (second, _) = causal_conv(to_f32(&x).narrow(1, 5, 6), &to_f32(&weight), Some(state));
    assert_close("split convolution", &Tensor::cat(vec![first, second], 1), &whole, 1e-6);
    // The expected output at token 7 and channel 2, computed from the definition.
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
    let kernels = to_f32(&weight).reshape([1, 1, 6, 4]).expand([2, 9, 6, 4]);
    let (expected, _) = causal_conv(to_f32(&x), &to_f32(&weight), None);
    let (found, _) = dynamic_conv(to_f32(&x), &kernels, None);
    assert_close("dynamic convolution", &found, &expected, 1e-6);
}

#[test]
fn the_state_after_some_tokens_is_that_of_a_convolution_of_these_tokens() {
    let x = to_f32(&random("x", [3, 11, 6], -1.0, 1.0));
    let weight = to_f32(&random("w", [6, 4], -1.0, 1.0));
    for lengths in [[11, 3, 7], [11, 1, 2]] {
        let states = conv_state_after(x.clone(), 3, &lengths);
        for (row, length) in lengths.into_iter().enumerate() {
            let tokens = x.clone().narrow(0, row, 1).narrow(1, 0, length);
            let (_, expected) = causal_conv(tokens, &weight, None);
            assert_eq!(states.clone().narrow(0, row, 1).into_data(), expected.into_data(), "{lengths:?}");
        }
    }
}

use burn::tensor::{Device, Tensor};

use super::{linear, linear_f32, linear_triple, swiglu};
use crate::cuda_testing::{
    F32_TRAINING_BOUND, assert_close, assert_gradients_close, cuda_device, fill_free_memory_with_nan,
    for_each_dtype, random_beyond_tf32, random_bf16_exact, to_device,
};

#[test]
fn products_and_gradients_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for [rows, width, out] in [[1, 64, 96], [3, 192, 200], [130, 512, 1000], [257, 4096, 256]] {
            let (x, weight) =
                (random_bf16_exact([1, rows, width], -1.0, 1.0), random_bf16_exact([out, width], -1.0, 1.0));
            let seed = random_bf16_exact([1, rows, out], -1.0, 1.0);
            let run = |x: Tensor<3>, weight: Tensor<2>, seed: Tensor<3>| {
                let (x, weight) = (x.autodiff().require_grad(), weight.autodiff().require_grad());
                let y = linear(x.clone(), &weight, None);
                let gradients = (y.clone() * seed.autodiff()).sum().backward();
                (y.inner(), x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap())
            };
            let truth = run(x.clone(), weight.clone(), seed.clone());
            fill_free_memory_with_nan(device);
            let found = run(
                to_device(device, dtype, &x),
                to_device(device, dtype, &weight),
                to_device(device, dtype, &seed),
            );
            let label = format!("{rows} x {width} x {out} {dtype:?}");
            assert_close(&format!("product {label}"), &found.0, &truth.0, bound);
            assert_close(&format!("product's input {label}"), &found.1, &truth.1, bound);
            assert_close(&format!("product's weight {label}"), &found.2, &truth.2, bound);
        }
    });
}

/// Some cases have few rows, as in decoding. The other cases have more rows, and weights of equal or of
/// different shapes.
#[test]
fn triple_products_and_swiglu_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        let odd = [96, 37, 1];
        let cases = [
            (1, 1, 4096, odd),
            (2, 1, 264, odd),
            (1, 3, 2048, odd),
            (4, 1, 64, odd),
            (5, 1, 128, odd),
            (5, 1, 128, [96, 64, 64]),
            (16, 1, 512, [128, 64, 64]),
            (2, 77, 264, [128, 128, 128]),
            (513, 1, 64, [128, 64, 64]),
        ];
        for (batch, time, width, outs) in cases {
            let x = random_bf16_exact([batch, time, width], -1.0, 1.0);
            let weights = outs.map(|out| random_bf16_exact([out, width], -1.0, 1.0));
            let bias = random_bf16_exact([outs[1]], -1.0, 1.0);
            let up = random_bf16_exact([outs[0], width], -1.0, 1.0);
            let run = |x: Tensor<3>, [a, b, c]: [Tensor<2>; 3], bias: Tensor<1>, up: Tensor<2>| {
                let three = linear_triple(x.clone(), [(&a, None), (&b, Some(&bias)), (&c, None)]);
                (three, swiglu(x.clone(), &a, &up), linear_f32(x.flatten(0, 1), &b))
            };
            let truth = run(x.clone(), weights.clone(), bias.clone(), up.clone());
            fill_free_memory_with_nan(device);
            let (x, bias, up) = (
                to_device(device, dtype, &x),
                to_device(device, dtype, &bias),
                to_device(device, dtype, &up),
            );
            let found = run(x, weights.each_ref().map(|weight| to_device(device, dtype, weight)), bias, up);
            let label = format!("{batch} x {time} x {width} x {outs:?} {dtype:?}");
            for (index, (found, truth)) in found.0.iter().zip(&truth.0).enumerate() {
                assert_close(&format!("product {index} of three {label}"), found, truth, bound);
            }
            assert_close(&format!("gated product {label}"), &found.1, &truth.1, bound);
            assert_close(&format!("exact product {label}"), &found.2, &truth.2, bound);
        }
    });
}

#[test]
fn gradients_of_biases_are_in_f32() {
    let Some(device) = cuda_device() else { return };
    for [batch, time, heads] in [[1, 1, 8], [3, 77, 33], [2, 512, 200]] {
        let tokens = [1, batch, time, heads];
        let row = |x: Tensor<4>| x.reshape([heads]);
        let bias = |[x, weight, bias]: [Tensor<4>; 3], _: &Device| {
            let x = x.reshape([batch, time, heads]);
            linear(x, &weight.reshape([heads, heads]), Some(&row(bias))).unsqueeze()
        };
        let inputs = [
            random_beyond_tf32(tokens),
            random_beyond_tf32([1, 1, heads, heads]),
            random_beyond_tf32([1, 1, 1, heads]),
        ];
        assert_gradients_close(F32_TRAINING_BOUND, &format!("bias {tokens:?}"), &device, inputs, bias, bias);
    }
}

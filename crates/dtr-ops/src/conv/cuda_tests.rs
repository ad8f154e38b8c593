use burn::tensor::Tensor;

use super::{causal_conv_silu, dynamic_conv_silu};
use crate::cuda_testing::{
    assert_close, fill_free_memory_with_nan, for_each_dtype, random_bf16_exact, to_device,
};

#[test]
fn outputs_and_gradients_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for time in [1, 3, 64, 65, 130] {
            let (batch, channels, width) = (3, 256, 4);
            let x = random_bf16_exact([batch, time, channels], -2.0, 2.0);
            let weight = random_bf16_exact([channels, width], -1.0, 1.0);
            let kernels = random_bf16_exact([batch, time, channels, width], -1.0, 1.0);
            let seed = random_bf16_exact([batch, time, channels], -1.0, 1.0);
            let past = random_bf16_exact([batch, width - 1, channels], -2.0, 2.0);
            let learn = |x: Tensor<3>, weight: Tensor<2>, kernels: Tensor<4>, seed: Tensor<3>| {
                let x = x.autodiff().require_grad();
                let (weight, kernels) = (weight.autodiff().require_grad(), kernels.autodiff().require_grad());
                let y = causal_conv_silu(x.clone(), &weight, None).0;
                let z = dynamic_conv_silu(x.clone(), kernels.clone(), None).0;
                let gradients = ((y.clone() + z.clone()) * seed.autodiff()).sum().backward();
                let of_x = x.grad(&gradients).unwrap();
                (
                    y.inner(),
                    z.inner(),
                    of_x,
                    weight.grad(&gradients).unwrap(),
                    kernels.grad(&gradients).unwrap(),
                )
            };
            let truth = learn(x.clone(), weight.clone(), kernels.clone(), seed.clone());
            fill_free_memory_with_nan(device);
            let (x_, weight_, kernels_) = (
                to_device(device, dtype, &x),
                to_device(device, dtype, &weight),
                to_device(device, dtype, &kernels),
            );
            let found = learn(x_.clone(), weight_.clone(), kernels_.clone(), to_device(device, dtype, &seed));
            let label = format!("{time} {dtype:?}");
            assert_close(&format!("convolution {label}"), &found.0, &truth.0, bound);
            assert_close(&format!("dynamic convolution {label}"), &found.1, &truth.1, bound);
            assert_close(&format!("convolutions' input {label}"), &found.2, &truth.2, bound);
            assert_close(&format!("convolution's weight {label}"), &found.3, &truth.3, bound);
            assert_close(&format!("convolution's kernels {label}"), &found.4, &truth.4, bound);
            let truth = causal_conv_silu(x.clone(), &weight, Some(past.clone()));
            fill_free_memory_with_nan(device);
            let found = causal_conv_silu(x_.clone(), &weight_, Some(to_device(device, dtype, &past)));
            assert_close(&format!("convolution after a past {label}"), &found.0, &truth.0, bound);
            assert_close(&format!("convolution's past {label}"), &found.1, &truth.1, bound);
            let truth = dynamic_conv_silu(x, kernels, Some(past.clone()));
            let found = dynamic_conv_silu(x_, kernels_, Some(to_device(device, dtype, &past)));
            assert_close(&format!("dynamic convolution after a past {label}"), &found.0, &truth.0, bound);
        }
    });
}

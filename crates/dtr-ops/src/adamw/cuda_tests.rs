use burn::tensor::{DType, Device, Tensor};

use super::{AdamWStep, WeightDecay, adamw_step, sum_of_squares};
use crate::cuda_testing::{
    assert_close, cuda_device, fill_free_memory_with_nan, random_bf16_exact, to_device,
};

#[test]
fn steps_match_the_portable_form() {
    let Some(device) = cuda_device() else { return };
    // The sizes are not all multiples of a block. There are steps with and without weight decay, gradients of
    // both dtypes, single layers, and stacks of layers.
    let cases = [
        (3000, 0.1, DType::F32, 1),
        (77, 0.0, DType::F32, 7),
        (1025, 0.1, DType::BF16, 1),
        (1025, 0.1, DType::BF16, 5),
        (4096, 0.1, DType::BF16, 4),
    ];
    for (size, rate, dtype, layers) in cases {
        let mut decay = WeightDecay::default();
        decay.push(size, rate);
        let weights = random_bf16_exact([size], -1.0, 1.0);
        let start = |device: &Device| {
            let nothing = || Tensor::zeros([size], (device, DType::F32));
            [to_device(device, DType::F32, &weights), nothing(), nothing()]
        };
        let (mut found, mut truth) = (start(&device), start(&Device::flex()));
        for (steps, scale) in [(1, 0.001), (2, 3.0), (3, 1.0)] {
            let gradient = random_bf16_exact([size], -scale, scale);
            let step = AdamWStep {
                learning_rate: 1e-2,
                betas: [0.9, 0.95],
                epsilon: 1e-8,
                max_gradient_norm: 1.0,
                steps,
            };
            let next = |state: [Tensor<1>; 3], gradient: Tensor<1>| {
                let norm = sum_of_squares(gradient.clone(), layers).sqrt();
                (norm.clone(), adamw_step(state, gradient, norm, &decay, &step))
            };
            fill_free_memory_with_nan(&device);
            let (norm, ours) = next(found, to_device(&device, dtype, &gradient));
            let (norm_here, theirs) = next(truth, to_device(&Device::flex(), DType::F32, &gradient));
            assert_close(&format!("norm {steps}"), &norm, &norm_here, 1e-5);
            for (name, (ours, theirs)) in ["weights", "first", "second"].iter().zip(ours.iter().zip(&theirs))
            {
                assert_close(&format!("{name} of {size} after step {steps}"), ours, theirs, 1e-5);
            }
            (found, truth) = (ours, theirs);
        }
    }
}

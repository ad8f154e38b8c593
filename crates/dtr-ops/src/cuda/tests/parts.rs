//! What surrounds a recurrence, the loss, and the optimiser.

use super::*;

#[test]
fn convolutions_and_their_gradients() {
    in_both(|device, dtype, bound| {
        for time in [1, 3, 64, 65, 130] {
            let (batch, channels, width) = (3, 256, 4);
            let x = random([batch, time, channels], -2.0, 2.0);
            let weight = random([channels, width], -1.0, 1.0);
            let kernels = random([batch, time, channels, width], -1.0, 1.0);
            let seed = random([batch, time, channels], -1.0, 1.0);
            let past = random([batch, width - 1, channels], -2.0, 2.0);
            let learn = |x: Tensor<3>, weight: Tensor<2>, kernels: Tensor<4>, seed: Tensor<3>| {
                let x = x.autodiff().require_grad();
                let (weight, kernels) = (weight.autodiff().require_grad(), kernels.autodiff().require_grad());
                let y = swish_conv(x.clone(), &weight, None).0;
                let z = swish_dynamic_conv(x.clone(), kernels.clone(), None).0;
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
            poison(device);
            let (x_, weight_, kernels_) =
                (on(device, dtype, &x), on(device, dtype, &weight), on(device, dtype, &kernels));
            let found = learn(x_.clone(), weight_.clone(), kernels_.clone(), on(device, dtype, &seed));
            let what = format!("{time} {dtype:?}");
            close(&format!("convolution {what}"), &found.0, &truth.0, bound);
            close(&format!("dynamic convolution {what}"), &found.1, &truth.1, bound);
            close(&format!("convolutions' input {what}"), &found.2, &truth.2, bound);
            close(&format!("convolution's weight {what}"), &found.3, &truth.3, bound);
            close(&format!("convolution's kernels {what}"), &found.4, &truth.4, bound);
            let truth = swish_conv(x.clone(), &weight, Some(past.clone()));
            poison(device);
            let found = swish_conv(x_.clone(), &weight_, Some(on(device, dtype, &past)));
            close(&format!("convolution after a past {what}"), &found.0, &truth.0, bound);
            close(&format!("convolution's past {what}"), &found.1, &truth.1, bound);
            let truth = swish_dynamic_conv(x, kernels, Some(past.clone()));
            let found = swish_dynamic_conv(x_, kernels_, Some(on(device, dtype, &past)));
            close(&format!("dynamic convolution after a past {what}"), &found.0, &truth.0, bound);
        }
    });
}

#[test]
fn decay_gates_readouts_and_losses() {
    in_both(|device, dtype, bound| {
        for time in [1, 65] {
            let (batch, heads, value) = (2, 6, 64);
            let o = random([batch, heads, time, value], -2.0, 2.0);
            let gate = random([batch, time, heads * value], -4.0, 4.0);
            let weight = random([value], 0.5, 1.5);
            let target = random([batch, time, heads * value], -1.0, 1.0);
            let learn = |o: Tensor<4>, gate: Tensor<3>, weight: Tensor<1>, target: Tensor<3>| {
                let (o, gate) = (o.autodiff().require_grad(), gate.autodiff().require_grad());
                let weight = weight.autodiff().require_grad();
                let y = readout(o.clone(), Some(gate.clone()), &weight, 1e-5);
                let loss = mean_squared_error(y.clone(), target.autodiff());
                let gradients = loss.backward();
                let of_gate = gate.grad(&gradients).unwrap();
                (
                    y.inner(),
                    loss.inner(),
                    o.grad(&gradients).unwrap(),
                    of_gate,
                    weight.grad(&gradients).unwrap(),
                )
            };
            let truth = learn(o.clone(), gate.clone(), weight.clone(), target.clone());
            poison(device);
            let place = |x: &Tensor<3>| on(device, dtype, x);
            let found =
                learn(on(device, dtype, &o), place(&gate), on(device, dtype, &weight), place(&target));
            let what = format!("{time} {dtype:?}");
            close(&format!("readout {what}"), &found.0, &truth.0, bound);
            close(&format!("loss {what}"), &found.1, &truth.1, bound);
            close(&format!("readout's heads {what}"), &found.2, &truth.2, bound);
            close(&format!("readout's gate {what}"), &found.3, &truth.3, bound);
            close(&format!("readout's weight {what}"), &found.4, &truth.4, bound);
            let learn = |x: Tensor<3>| {
                let x = x.autodiff().require_grad();
                let y = decay_gate(x.clone(), 16.0);
                let gradients = y.clone().sum().backward();
                (y.inner(), x.grad(&gradients).unwrap())
            };
            let truth = learn(gate.clone());
            poison(device);
            let found = learn(place(&gate));
            close(&format!("decay gate {what}"), &found.0, &truth.0, bound);
            close(&format!("decay gate's input {what}"), &found.1, &truth.1, bound);
        }
    });
}

#[test]
fn likelihoods_of_tokens() {
    in_both(|device, dtype, bound| {
        for (rows, width, vocab) in [(1, 64, 9), (5, 128, 1000), (37, 64, 30_011)] {
            let (x, head) = (random([rows, width], -1.0, 1.0), random([vocab, width], -1.0, 1.0));
            let wanted: Vec<(usize, u32)> =
                (0..3 * rows).map(|at| (at % rows, (7919 * at % vocab) as u32)).collect();
            let truth = burn::tensor::activation::log_softmax(x.clone().matmul(head.clone().transpose()), 1);
            let truth: Vec<f64> = truth.into_data().iter::<f64>().collect();
            let truth: Vec<f64> =
                wanted.iter().map(|&(row, token)| truth[row * vocab + token as usize]).collect();
            poison(device);
            let (x_, head_) = (on(device, dtype, &x), on(device, dtype, &head));
            let values = |numbers: Vec<f64>| {
                let shape = [numbers.len()];
                Tensor::<1>::from_data(TensorData::new(numbers, shape), (&Device::flex(), DType::F64))
            };
            let truth = values(truth);
            // All at a time, and in parts of which the last is smaller.
            for at_once in [rows, rows.div_ceil(2)] {
                let found = loss::in_parts(&x_, &head_, &wanted, at_once);
                let found = values(found.into_iter().map(f64::from).collect());
                close(&format!("likelihoods {rows} of {vocab} {dtype:?}"), &found, &truth, bound);
            }
            let spoilt = on(device, dtype, &x.mul_scalar(f64::NAN));
            let found = loss::in_parts(&spoilt, &head_, &wanted, rows);
            assert!(found.iter().all(|value| value.is_nan()), "NaN never passes");
        }
    });
}

#[test]
fn steps_of_adamw() {
    let Some(device) = cuda() else { return };
    // Sizes that are no multiples of what a block takes, with decay and without, along gradients of either dtype.
    for (size, rate, dtype) in
        [(3000, 0.1, DType::F32), (77, 0.0, DType::F32), (1025, 0.1, DType::BF16), (4096, 0.1, DType::BF16)]
    {
        let mut decay = WeightDecay::default();
        decay.push(size, rate);
        let weights = random([size], -1.0, 1.0);
        let start = |device: &Device| {
            let nothing = || Tensor::zeros([size], (device, DType::F32));
            [on(device, DType::F32, &weights), nothing(), nothing()]
        };
        let (mut found, mut truth) = (start(&device), start(&Device::flex()));
        for (steps, scale) in [(1, 0.001), (2, 3.0), (3, 1.0)] {
            let gradient = random([size], -scale, scale);
            let step = AdamWStep { learning_rate: 1e-2, betas: [0.9, 0.95], epsilon: 1e-8, clip: 1.0, steps };
            let next = |state: [Tensor<1>; 3], gradient: Tensor<1>| {
                let norm = sum_of_squares(gradient.clone()).sqrt();
                (norm.clone(), adamw(state, gradient, norm, &decay, &step))
            };
            poison(&device);
            let (norm, ours) = next(found, on(&device, dtype, &gradient));
            let (norm_here, theirs) = next(truth, on(&Device::flex(), DType::F32, &gradient));
            close(&format!("norm {steps}"), &norm, &norm_here, 1e-5);
            for (name, (ours, theirs)) in ["weights", "first", "second"].iter().zip(ours.iter().zip(&theirs))
            {
                close(&format!("{name} of {size} after step {steps}"), ours, theirs, 1e-5);
            }
            (found, truth) = (ours, theirs);
        }
    }
}

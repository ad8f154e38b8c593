use burn::tensor::{Device, Tensor};

use super::{decay_gate, delta_gates, gated_rms_norm};
use crate::cuda_testing::{
    BOUNDS, assert_close, assert_gradients_close, cuda_device, fill_free_memory_with_nan, for_each_dtype,
    random_beyond_tf32, random_bf16_exact, to_device,
};
use crate::mean_squared_error;

#[test]
fn decay_gates_output_gates_and_losses_match_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for time in [1, 65] {
            let (batch, heads, value) = (2, 6, 64);
            let o = random_bf16_exact([batch, heads, time, value], -2.0, 2.0);
            let gate = random_bf16_exact([batch, time, heads * value], -4.0, 4.0);
            let weight = random_bf16_exact([value], 0.5, 1.5);
            let target = random_bf16_exact([batch, time, heads * value], -1.0, 1.0);
            let learn = |o: Tensor<4>, gate: Tensor<3>, weight: Tensor<1>, target: Tensor<3>| {
                let (o, gate) = (o.autodiff().require_grad(), gate.autodiff().require_grad());
                let weight = weight.autodiff().require_grad();
                let y = gated_rms_norm(o.clone(), Some(gate.clone()), &weight, 1e-5);
                let loss = mean_squared_error(y.clone(), target.autodiff(), 1);
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
            fill_free_memory_with_nan(device);
            let place = |x: &Tensor<3>| to_device(device, dtype, x);
            let found = learn(
                to_device(device, dtype, &o),
                place(&gate),
                to_device(device, dtype, &weight),
                place(&target),
            );
            let label = format!("{time} {dtype:?}");
            assert_close(&format!("gated norm {label}"), &found.0, &truth.0, bound);
            assert_close(&format!("loss {label}"), &found.1, &truth.1, bound);
            assert_close(&format!("gated norm's heads {label}"), &found.2, &truth.2, bound);
            assert_close(&format!("gated norm's gate {label}"), &found.3, &truth.3, bound);
            assert_close(&format!("gated norm's weight {label}"), &found.4, &truth.4, bound);
            let learn = |x: Tensor<3>| {
                let x = x.autodiff().require_grad();
                let y = decay_gate(x.clone(), 16.0);
                let gradients = y.clone().sum().backward();
                (y.inner(), x.grad(&gradients).unwrap())
            };
            let truth = learn(gate.clone());
            fill_free_memory_with_nan(device);
            let found = learn(place(&gate));
            assert_close(&format!("decay gate {label}"), &found.0, &truth.0, bound);
            assert_close(&format!("decay gate's input {label}"), &found.1, &truth.1, bound);
        }
    });
}

#[test]
fn gates_of_the_delta_rule_have_the_gradients_of_their_definition() {
    let Some(device) = cuda_device() else { return };
    for [batch, time, heads] in [[1, 1, 8], [3, 77, 33], [2, 512, 200]] {
        let tokens = [1, batch, time, heads];
        let row = |x: Tensor<4>| x.reshape([heads]);
        let gates = |[a, b, a_log, dt_bias]: [Tensor<4>; 4], _: &Device| {
            let [a, b] = [a, b].map(|x| x.reshape([batch, time, heads]));
            let gates = delta_gates([a, b], [&row(a_log), &row(dt_bias)], 2.0);
            Tensor::cat(gates.to_vec(), 2).unsqueeze()
        };
        // The same gates in f64. `delta_gates` itself cannot be the reference, since it computes in f32.
        let exact = |[a, b, a_log, dt_bias]: [Tensor<4>; 4], _: &Device| {
            let strength = burn::tensor::activation::sigmoid(b) * 2.0;
            let decay = burn::tensor::activation::softplus(a + dt_bias, 1.0) * a_log.exp().neg();
            Tensor::cat(vec![strength, decay], 3)
        };
        let inputs = [
            random_beyond_tf32(tokens),
            random_beyond_tf32(tokens),
            random_beyond_tf32([1, 1, 1, heads]),
            random_beyond_tf32([1, 1, 1, heads]),
        ];
        assert_gradients_close(BOUNDS[0].1, &format!("gates {tokens:?}"), &device, inputs, gates, exact);
    }
}

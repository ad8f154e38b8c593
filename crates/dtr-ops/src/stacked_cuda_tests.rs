//! Tests of stacks of layers on CUDA devices. An operation on a stack must have the same outputs and
//! gradients as the operation on each single layer. The expected values are computed in f64.

use burn::tensor::{DType, Device, Tensor, activation::sigmoid, activation::softplus};

use crate::cuda_testing::{
    F32_TRAINING_BOUND, assert_gradients_close, cuda_device, random_beyond_tf32, to_device,
};
use crate::{
    causal_conv_silu, delta_gates, gated_rms_norm, mean_squared_error, merge_heads, rms_norm, split_heads,
    stacked_linear,
};

/// The number of layers, of rows of each layer, and of tokens of each row.
const STACKS: [[usize; 3]; 4] = [[3, 1, 1], [5, 2, 7], [3, 3, 65], [30, 2, 130]];

/// The bound on relative errors for operations with fast approximations of exponentials.
const GATE_BOUND: f64 = 1e-3;

/// Returns the part of `x` that belongs to layer `index` of a stack of `layers` layers. The layers are
/// stacked along `dimension`.
fn layer_part<const D: usize>(x: &Tensor<D>, index: usize, layers: usize, dimension: usize) -> Tensor<D> {
    let size = x.dims()[dimension] / layers;
    x.clone().narrow(dimension, index * size, size)
}

/// Calls `run` for each layer and concatenates the outputs. `dimensions` holds, for each input, the dimension
/// along which its layers are stacked.
fn by_layer<const N: usize>(
    layers: usize,
    inputs: &[Tensor<4>; N],
    dimensions: [usize; N],
    run: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) -> Tensor<4> {
    let outputs = (0..layers).map(|index| {
        run(std::array::from_fn(|input| layer_part(&inputs[input], index, layers, dimensions[input])))
    });
    Tensor::cat(outputs.collect(), 1)
}

fn silu(x: Tensor<4>) -> Tensor<4> {
    x.clone() * sigmoid(x)
}

fn exact_norm(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let scale = (x.clone().square().mean_dim(3) + 1e-5).sqrt().recip();
    x * scale * weight
}

#[test]
fn stacked_projections_have_the_gradients_of_their_layers() {
    let Some(device) = cuda_device() else { return };
    for [layers, batch, time] in STACKS {
        let (inputs, outputs) = (64, 24);
        let run = |[x, weight, bias]: [Tensor<4>; 3], _: &Device| {
            let weight = weight.reshape([layers * outputs, inputs]);
            let bias = bias.reshape([layers * outputs]);
            stacked_linear(x.squeeze_dim::<3>(0), &weight, Some(&bias), layers).unsqueeze()
        };
        let exact = |all: [Tensor<4>; 3], _: &Device| {
            by_layer(layers, &all, [1, 2, 3], |[x, weight, bias]| x.matmul(weight.transpose()) + bias)
        };
        let all = [
            random_beyond_tf32([1, layers * batch, time, inputs]),
            random_beyond_tf32([1, 1, layers * outputs, inputs]),
            random_beyond_tf32([1, 1, 1, layers * outputs]),
        ];
        let label = format!("projections of {layers} layers");
        assert_gradients_close(F32_TRAINING_BOUND, &label, &device, all, run, exact);
    }
}

#[test]
fn stacked_norms_have_the_gradients_of_their_layers() {
    let Some(device) = cuda_device() else { return };
    for [layers, batch, time] in STACKS {
        let width = 64;
        let run =
            |[x, weight]: [Tensor<4>; 2], _: &Device| rms_norm(x, &weight.reshape([layers * width]), 1e-5);
        let exact = |all: [Tensor<4>; 2], _: &Device| {
            by_layer(layers, &all, [1, 3], |[x, weight]| exact_norm(x, weight))
        };
        let all = [
            random_beyond_tf32([1, layers * batch, time, width]),
            random_beyond_tf32([1, 1, 1, layers * width]),
        ];
        assert_gradients_close(
            F32_TRAINING_BOUND,
            &format!("norms of {layers} layers"),
            &device,
            all,
            run,
            exact,
        );
    }
}

#[test]
fn stacked_gated_norms_have_the_gradients_of_their_layers() {
    let Some(device) = cuda_device() else { return };
    for [layers, batch, time] in STACKS {
        let (heads, value) = (3, 32);
        let heads_of = |x: Tensor<4>| split_heads(x.squeeze_dim::<3>(0), heads);
        let run = |[o, gate, weight]: [Tensor<4>; 3], _: &Device| {
            let weight = weight.reshape([layers * value]);
            gated_rms_norm(heads_of(o), Some(gate.squeeze_dim::<3>(0)), &weight, 1e-5).unsqueeze()
        };
        let exact = |all: [Tensor<4>; 3], _: &Device| {
            by_layer(layers, &all, [1, 1, 3], |[o, gate, weight]| {
                merge_heads(exact_norm(heads_of(o), weight)).unsqueeze::<4>() * silu(gate)
            })
        };
        let tokens = [1, layers * batch, time, heads * value];
        let all = [
            random_beyond_tf32(tokens),
            random_beyond_tf32(tokens),
            random_beyond_tf32([1, 1, 1, layers * value]),
        ];
        let label = format!("gated norms of {layers} layers");
        assert_gradients_close(GATE_BOUND, &label, &device, all, run, exact);
    }
}

#[test]
fn stacked_convolutions_have_the_gradients_of_their_layers() {
    let Some(device) = cuda_device() else { return };
    for [layers, batch, time] in STACKS {
        let (channels, width) = (24, 4);
        let run = |[x, weight]: [Tensor<4>; 2], _: &Device| {
            let weight = weight.reshape([layers * channels, width]);
            causal_conv_silu(x.squeeze_dim::<3>(0), &weight, None).0.unsqueeze()
        };
        let exact = |all: [Tensor<4>; 2], _: &Device| {
            by_layer(layers, &all, [1, 2], |[x, weight]| {
                let zeros = x.clone().narrow(2, 0, 1).zeros_like().expand([1, batch, width - 1, channels]);
                let extended = Tensor::cat(vec![zeros, x], 2);
                let taps = (0..width).map(|tap| {
                    let tap_weight = weight.clone().narrow(3, tap, 1).reshape([1, 1, 1, channels]);
                    extended.clone().narrow(2, tap, time) * tap_weight
                });
                silu(taps.reduce(|sum, tap| sum + tap).expect("there are taps"))
            })
        };
        let all = [
            random_beyond_tf32([1, layers * batch, time, channels]),
            random_beyond_tf32([1, 1, layers * channels, width]),
        ];
        let label = format!("convolutions of {layers} layers");
        assert_gradients_close(GATE_BOUND, &label, &device, all, run, exact);
    }
}

#[test]
fn stacked_delta_gates_have_the_gradients_of_their_layers() {
    let Some(device) = cuda_device() else { return };
    for [layers, batch, time] in STACKS {
        let heads = 9;
        let row = |x: Tensor<4>| x.reshape([layers * heads]);
        let run = |[a, b, a_log, dt_bias]: [Tensor<4>; 4], _: &Device| {
            let [a, b] = [a, b].map(|x| x.squeeze_dim::<3>(0));
            let gates = delta_gates([a, b], [&row(a_log), &row(dt_bias)], 2.0);
            Tensor::cat(gates.to_vec(), 2).unsqueeze()
        };
        let exact = |all: [Tensor<4>; 4], _: &Device| {
            by_layer(layers, &all, [1, 1, 3, 3], |[a, b, a_log, dt_bias]| {
                let strength = sigmoid(b) * 2.0;
                let decay = softplus(a + dt_bias, 1.0) * a_log.exp().neg();
                Tensor::cat(vec![strength, decay], 3)
            })
        };
        let tokens = [1, layers * batch, time, heads];
        let row = [1, 1, 1, layers * heads];
        let all = [
            random_beyond_tf32(tokens),
            random_beyond_tf32(tokens),
            random_beyond_tf32(row),
            random_beyond_tf32(row),
        ];
        let label = format!("delta gates of {layers} layers");
        assert_gradients_close(GATE_BOUND, &label, &device, all, run, exact);
    }
}

#[test]
fn stacked_losses_have_the_gradients_of_their_layers() {
    let Some(device) = cuda_device() else { return };
    for [layers, batch, time] in STACKS {
        let shape = [1, layers * batch, time, 40];
        let target = random_beyond_tf32(shape);
        let run = |[x]: [Tensor<4>; 1], device: &Device| {
            let target = to_device(device, DType::F32, &target).autodiff().squeeze_dim::<3>(0);
            mean_squared_error(x.squeeze_dim::<3>(0), target, layers).reshape([1, layers, 1, 1])
        };
        let exact = |[x]: [Tensor<4>; 1], _: &Device| {
            let squares = (x - target.clone().autodiff()).square();
            squares.reshape([layers, batch * time * 40]).mean_dim(1).reshape([1, layers, 1, 1])
        };
        let label = format!("losses of {layers} layers");
        assert_gradients_close(F32_TRAINING_BOUND, &label, &device, [random_beyond_tf32(shape)], run, exact);
    }
}

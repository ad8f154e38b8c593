//! Every kernel against the portable form of its operation in f64, on random numbers that differ from run to run, over
//! memory that held NaN before. Without a CUDA device these tests say that they are skipped.

use burn::tensor::{DType, Device, DeviceType, Distribution, Tensor, TensorData};
use half::bf16;

use crate::ops::*;

/// Relative error that is allowed: rounding of inputs is not part of it, since the oracle has the same ones.
const BOUNDS: [(DType, f64); 2] = [(DType::F32, 1e-3), (DType::BF16, 1e-2)];

fn cuda() -> Option<Device> {
    let found = !Device::enumerate(DeviceType::Cuda).into_vec().is_empty();
    if !found {
        eprintln!("SKIPPED: there is no CUDA device");
    }
    found.then(|| Device::cuda(0))
}

/// Leaves NaN in memory that the next tensors will have.
fn poison(device: &Device) {
    let sizes = (8..25).map(|power| 1_usize << power);
    let filled: Vec<Tensor<1>> =
        sizes.flat_map(|size| [size, size]).map(|size| Tensor::full([size], f32::NAN, device)).collect();
    drop(filled);
    device.sync().unwrap();
}

/// Random numbers that f32 and bf16 hold alike, in f64 on the processor.
fn random<const D: usize>(shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
    let x = Tensor::<D>::random(shape, Distribution::Uniform(low, high), &Device::flex());
    let values: Vec<f32> = x.into_data().try_to_vec().unwrap();
    let values: Vec<f64> = values.into_iter().map(|value| f64::from(bf16::from_f32(value))).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
}

fn on<const D: usize>(device: &Device, dtype: DType, x: &Tensor<D>) -> Tensor<D> {
    Tensor::from_data(x.to_data(), (device, dtype))
}

fn close<const D: usize>(what: &str, found: &Tensor<D>, truth: &Tensor<D>, bound: f64) {
    assert_eq!(found.dims(), truth.dims(), "{what}");
    let numbers = |x: &Tensor<D>| -> Vec<f64> { x.to_data().iter::<f64>().collect() };
    let (found, truth) = (numbers(found), numbers(truth));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let error = norm(&mut found.iter().zip(&truth).map(|(a, b)| a - b)) / norm(&mut truth.iter().copied());
    assert!(error < bound, "{what}: relative error {error:.2e}, allowed {bound:.0e}");
}

/// Runs `check` for both dtypes.
fn in_both(check: impl Fn(&Device, DType, f64)) {
    let Some(device) = cuda() else { return };
    for (dtype, bound) in BOUNDS {
        check(&device, dtype, bound);
    }
}

#[test]
fn products_and_their_gradients() {
    in_both(|device, dtype, bound| {
        for [rows, width, out] in [[1, 64, 96], [3, 192, 200], [130, 512, 1000], [257, 4096, 256]] {
            let (x, weight) = (random([1, rows, width], -1.0, 1.0), random([out, width], -1.0, 1.0));
            let seed = random([1, rows, out], -1.0, 1.0);
            let run = |x: Tensor<3>, weight: Tensor<2>, seed: Tensor<3>| {
                let (x, weight) = (x.autodiff().require_grad(), weight.autodiff().require_grad());
                let y = linear(x.clone(), &weight, None);
                let gradients = (y.clone() * seed.autodiff()).sum().backward();
                (y.inner(), x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap())
            };
            let truth = run(x.clone(), weight.clone(), seed.clone());
            poison(device);
            let found = run(on(device, dtype, &x), on(device, dtype, &weight), on(device, dtype, &seed));
            let what = format!("{rows} x {width} x {out} {dtype:?}");
            close(&format!("product {what}"), &found.0, &truth.0, bound);
            close(&format!("product's input {what}"), &found.1, &truth.1, bound);
            close(&format!("product's weight {what}"), &found.2, &truth.2, bound);
        }
    });
}

#[test]
fn norms_gates_and_rotations() {
    in_both(|device, dtype, bound| {
        for [rows, width] in [[1, 64], [77, 192], [300, 4096]] {
            let (x, gate) = (random([rows, width], -4.0, 4.0), random([rows, width], -8.0, 8.0));
            let weight = random([width], 0.5, 1.5);
            let what = format!("{rows} x {width} {dtype:?}");
            poison(device);
            let (x_, gate_, weight_) =
                (on(device, dtype, &x), on(device, dtype, &gate), on(device, dtype, &weight));
            let norm = |x: Tensor<2>, weight: &Tensor<1>| {
                // In f64 on the processor, where `rms_norm` itself computes in f32.
                let scale = (x.clone().square().mean_dim(1) + 1e-5).sqrt().recip();
                x * scale * weight.clone().unsqueeze::<2>()
            };
            close(
                &format!("norm {what}"),
                &rms_norm(x_.clone(), &weight_, 1e-5),
                &norm(x.clone(), &weight),
                bound,
            );
            close(&format!("gate {what}"), &swish_gate(gate_, x_), &swish_gate(gate, x), bound);
        }
        for (heads, time, width) in [(1, 1, 64), (6, 37, 32), (8, 130, 128)] {
            let x = random([2, heads, time, width], -2.0, 2.0);
            let rope = Rope::new(width, 1e4, &RopeScaling::None);
            let positions = [0, 5].map(|start| (start..start + time).collect()).to_vec();
            let truth = Rope::apply(x.clone(), &rope.angles(&positions, &Device::flex()));
            poison(device);
            let found = Rope::apply(on(device, dtype, &x), &rope.angles(&positions, device));
            close(&format!("rotation {heads} {time} {width} {dtype:?}"), &found, &truth, bound);
        }
    });
}

#[test]
fn attention_over_caches() {
    in_both(|device, dtype, bound| {
        let cases = [
            (1, 4, 2, 1, 0, 64, false),
            (2, 8, 2, 1, 700, 128, false),
            (2, 8, 2, 4, 64, 64, true),
            (3, 4, 4, 63, 0, 32, true),
            (2, 8, 2, 130, 65, 128, true),
            (1, 32, 8, 257, 0, 128, false),
            (2, 6, 2, 65, 300, 96, true),
        ];
        for (batch, heads, groups, time, past, width, is_padded) in cases {
            let keys = past + time;
            let q = random([batch, heads, time, width], -2.0, 2.0);
            let k = random([batch, groups, keys, width], -2.0, 2.0);
            let v = random([batch, groups, keys, width], -2.0, 2.0);
            let pads = is_padded.then(|| (0..batch).map(|row| row * keys / 3).collect::<Vec<_>>());
            let mask = |device: &Device| CausalMask::new(time, past, pads.as_deref(), device);
            let flex = Device::flex();
            let truth = attention(q.clone(), &KvCache::new(k.clone(), v.clone()), &mask(&flex));
            poison(device);
            let place = |x: &Tensor<4>| on(device, dtype, x);
            // A cache with room behind the last key, which nothing may read.
            let room = if past == 0 { 0 } else { keys + 37 };
            let first = |x: &Tensor<4>, count| place(&x.clone().narrow(2, 0, count));
            let cache = match past {
                0 => KvCache::new(place(&k), place(&v)),
                past => KvCache::new(first(&k, past), first(&v, past)).append(
                    place(&k.clone().narrow(2, past, time)),
                    place(&v.clone().narrow(2, past, time)),
                    room,
                ),
            };
            let found = attention(place(&q), &cache, &mask(device));
            let what = format!("attention {batch} {heads}/{groups} {time} after {past} {width} {dtype:?}");
            close(&what, &found, &truth, bound);
        }
    });
}

/// How hard a case is.
#[derive(Clone, Copy, Debug)]
enum Case {
    Mild,
    StrongDecay,
    /// Keys that nearly point the same way.
    Correlated,
}

const CASES: [Case; 3] = [Case::Mild, Case::StrongDecay, Case::Correlated];
const TIMES: [usize; 6] = [2, 63, 64, 65, 130, 300];

fn decays<const D: usize>(case: Case, shape: [usize; D]) -> Tensor<D> {
    match case {
        Case::Mild => random(shape, -0.2, 0.0),
        Case::StrongDecay => random(shape, -30.0, 0.0),
        Case::Correlated => random(shape, -0.01, 0.0),
    }
}

fn keys(case: Case, shape: [usize; 4]) -> Tensor<4> {
    let noise = random(shape, -1.0, 1.0);
    match case {
        Case::Correlated => {
            let common = random([1, 1, 1, shape[3]], -1.0, 1.0).expand(shape);
            let x = common + noise.mul_scalar(0.03);
            let values: Vec<f64> = x.into_data().iter::<f64>().collect();
            let rounded: Vec<f64> = values.into_iter().map(|x| f64::from(bf16::from_f64(x))).collect();
            Tensor::from_data(TensorData::new(rounded, shape), (&Device::flex(), DType::F64))
        }
        _ => noise,
    }
}

#[test]
fn gla_and_its_gradients() {
    in_both(|device, dtype, bound| {
        for (case, time) in CASES.into_iter().flat_map(|case| TIMES.map(|time| (case, time))) {
            let (batch, heads, groups, key, value) = (2, 4, 2, 64, 128);
            let q = random([batch, heads, time, key], -1.0, 1.0);
            let k = keys(case, [batch, groups, time, key]);
            let v = random([batch, groups, time, value], -1.0, 1.0);
            let gk = decays(case, [batch, groups, time, key]);
            let seed = random([batch, heads, time, value], -1.0, 1.0);
            let learn = |[q, k, v, gk, seed]: [Tensor<4>; 5]| {
                let leaves = [q, k, v, gk].map(|x| x.autodiff().require_grad());
                let [q, k, v, gk] = leaves.clone();
                let (o, _) = gla(q, k, v, gk, None);
                let gradients = (o.clone() * seed.autodiff()).sum().backward();
                (o.inner(), leaves.map(|leaf| leaf.grad(&gradients).unwrap()))
            };
            let truth = learn([&q, &k, &v, &gk, &seed].map(Tensor::clone));
            poison(device);
            let place = |x: &Tensor<4>| on(device, dtype, x);
            let gk_ = on(device, DType::F32, &gk);
            let found = learn([place(&q), place(&k), place(&v), gk_.clone(), place(&seed)]);
            let what = format!("{time} {case:?} {dtype:?}");
            close(&format!("gla {what}"), &found.0, &truth.0, bound);
            for (name, (found, truth)) in ["q", "k", "v", "gk"].iter().zip(found.1.iter().zip(&truth.1)) {
                close(&format!("gla's {name} {what}"), found, truth, 2.0 * bound);
            }
            let state = random([batch, heads, key, value], -1.0, 1.0);
            let (o, last) = gla(q.clone(), k.clone(), v.clone(), gk.clone(), Some(state.clone()));
            poison(device);
            let state_ = on(device, DType::F32, &state);
            let (o_, last_) = gla(place(&q), place(&k), place(&v), gk_, Some(state_));
            close(&format!("gla from a state {what}"), &o_, &o, bound);
            close(&format!("gla's state {what}"), &last_, &last, bound);
        }
    });
}

#[test]
fn the_delta_rule_and_its_gradients() {
    in_both(|device, dtype, bound| {
        for (case, time) in CASES.into_iter().flat_map(|case| TIMES.map(|time| (case, time))) {
            let (batch, heads, groups, key, value) = (2, 4, 2, 64, 128);
            let q = random([batch, heads, time, key], -1.0, 1.0);
            let k = keys(case, [batch, groups, time, key]);
            let v = random([batch, groups, time, value], -1.0, 1.0);
            let (beta, g) = (random([batch, heads, time], 0.1, 1.0), decays(case, [batch, heads, time]));
            let seed = random([batch, heads, time, value], -1.0, 1.0);
            let learn = |[q, k, v, seed]: [Tensor<4>; 4], gates: [Tensor<3>; 2]| {
                let leaves = [q, k, v].map(|x| x.autodiff().require_grad());
                let gates = gates.map(|x| x.autodiff().require_grad());
                let (o, _) = delta_rule(leaves.clone(), gates.clone(), None);
                let gradients = (o.clone() * seed.autodiff()).sum().backward();
                let of_leaves = leaves.map(|leaf| leaf.grad(&gradients).unwrap());
                (o.inner(), of_leaves, gates.map(|gate| gate.grad(&gradients).unwrap()))
            };
            let truth = learn([&q, &k, &v, &seed].map(Tensor::clone), [beta.clone(), g.clone()]);
            poison(device);
            let place = |x: &Tensor<4>| on(device, dtype, x);
            let gates = || [&beta, &g].map(|x| on(device, DType::F32, x));
            let found = learn([&q, &k, &v, &seed].map(place), gates());
            let what = format!("{time} {case:?} {dtype:?}");
            close(&format!("delta {what}"), &found.0, &truth.0, bound);
            for (name, (found, truth)) in ["q", "k", "v"].iter().zip(found.1.iter().zip(&truth.1)) {
                close(&format!("delta's {name} {what}"), found, truth, 2.0 * bound);
            }
            for (name, (found, truth)) in ["beta", "g"].iter().zip(found.2.iter().zip(&truth.2)) {
                close(&format!("delta's {name} {what}"), found, truth, 2.0 * bound);
            }
            let state = random([batch, heads, key, value], -1.0, 1.0);
            let (o, last) =
                delta_rule([&q, &k, &v].map(Tensor::clone), [beta.clone(), g.clone()], Some(state.clone()));
            poison(device);
            let state_ = on(device, DType::F32, &state);
            let (o_, last_) = delta_rule([&q, &k, &v].map(place), gates(), Some(state_));
            close(&format!("delta from a state {what}"), &o_, &o, bound);
            close(&format!("delta's state {what}"), &last_, &last, bound);
        }
    });
}

#[test]
fn steps_go_on_from_a_state() {
    in_both(|device, dtype, bound| {
        let (batch, heads, groups, key, value) = (3, 4, 2, 64, 64);
        let q = random([batch, heads, 1, key], -1.0, 1.0);
        let k = random([batch, groups, 1, key], -1.0, 1.0);
        let v = random([batch, groups, 1, value], -1.0, 1.0);
        let gk = random([batch, groups, 1, key], -0.3, 0.0);
        let (beta, g) = (random([batch, heads, 1], 0.1, 1.0), random([batch, heads, 1], -0.3, 0.0));
        let state = random([batch, heads, key, value], -1.0, 1.0);
        let place = |x: &Tensor<4>| on(device, dtype, x);
        let exact = |x: &Tensor<4>| on(device, DType::F32, x);
        let truth = gla(q.clone(), k.clone(), v.clone(), gk.clone(), Some(state.clone()));
        poison(device);
        let kept = exact(&state);
        let found = gla(place(&q), place(&k), place(&v), exact(&gk), Some(kept.clone()));
        close("gla step", &found.0, &truth.0, bound);
        close("gla step's state", &found.1, &truth.1, bound);
        close("a state that is held is left", &kept, &state, 1e-6);
        let truth =
            delta_rule([&q, &k, &v].map(Tensor::clone), [beta.clone(), g.clone()], Some(state.clone()));
        poison(device);
        let gates = [&beta, &g].map(|x| on(device, DType::F32, x));
        let found = delta_rule([&q, &k, &v].map(place), gates, Some(exact(&state)));
        close("delta step", &found.0, &truth.0, bound);
        close("delta step's state", &found.1, &truth.1, bound);
    });
}

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
            close(&format!("readout's heads {what}"), &found.2, &truth.2, 2.0 * bound);
            close(&format!("readout's gate {what}"), &found.3, &truth.3, 2.0 * bound);
            close(&format!("readout's weight {what}"), &found.4, &truth.4, 2.0 * bound);
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
fn steps_of_adamw() {
    let Some(device) = cuda() else { return };
    // Sizes that are no multiples of what a block takes, matrices that decay and vectors that do not.
    let sizes = [(3000, 0.1), (77, 0.0), (1025, 0.1)];
    let mut decay = Decay::default();
    sizes.iter().for_each(|(size, rate)| decay.push(*size, *rate));
    let count = decay.size();
    let flex = Device::flex();
    let single = |x: &Tensor<1>, device: &Device| on(device, DType::F32, x);
    let weights = random([count], -1.0, 1.0);
    let start = |device: &Device| {
        let nothing = || Tensor::zeros([count], (device, DType::F32));
        [single(&weights, device), nothing(), nothing()]
    };
    let (mut found, mut truth) = (start(&device), start(&flex));
    for (steps, scale) in [(1, 0.001), (2, 3.0), (3, 1.0)] {
        let gradient = random([count], -1.0, 1.0).mul_scalar(scale);
        let step = AdamWStep { learning_rate: 1e-2, betas: [0.9, 0.95], epsilon: 1e-8, clip: 1.0, steps };
        let next = |state: [Tensor<1>; 3], device: &Device| {
            let gradient = single(&gradient, device);
            let norm = sum_of_squares(gradient.clone()).sqrt();
            (norm.clone(), adamw(state, gradient, norm, &decay, &step))
        };
        poison(&device);
        let (norm, ours) = next(found, &device);
        let (norm_here, theirs) = next(truth, &flex);
        close(&format!("norm {steps}"), &norm, &norm_here, 1e-5);
        for (name, (ours, theirs)) in ["weights", "first", "second"].iter().zip(ours.iter().zip(&theirs)) {
            close(&format!("{name} after step {steps}"), ours, theirs, 1e-5);
        }
        (found, truth) = (ours, theirs);
    }
}

//! Products, and what frozen layers run.

use super::*;

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

/// As decoding has them: of a few rows, and of more with weights of one shape and of several.
#[test]
fn products_that_share_their_rows() {
    in_both(|device, dtype, bound| {
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
            let x = random([batch, time, width], -1.0, 1.0);
            let weights = outs.map(|out| random([out, width], -1.0, 1.0));
            let bias = random([outs[1]], -1.0, 1.0);
            let up = random([outs[0], width], -1.0, 1.0);
            let run = |x: Tensor<3>, [a, b, c]: [Tensor<2>; 3], bias: Tensor<1>, up: Tensor<2>| {
                let three = linear_by_three(x.clone(), [(&a, None), (&b, Some(&bias)), (&c, None)]);
                (three, swish_gated(x.clone(), &a, &up), exact_product(x.flatten(0, 1), &b))
            };
            let truth = run(x.clone(), weights.clone(), bias.clone(), up.clone());
            poison(device);
            let (x, bias, up) = (on(device, dtype, &x), on(device, dtype, &bias), on(device, dtype, &up));
            let found = run(x, weights.each_ref().map(|weight| on(device, dtype, weight)), bias, up);
            let what = format!("{batch} x {time} x {width} x {outs:?} {dtype:?}");
            for (index, (found, truth)) in found.0.iter().zip(&truth.0).enumerate() {
                close(&format!("product {index} of three {what}"), found, truth, bound);
            }
            close(&format!("gated product {what}"), &found.1, &truth.1, bound);
            close(&format!("exact product {what}"), &found.2, &truth.2, bound);
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

/// What a base learns through besides projections. True f32 stays far below this; of ten bits it is a thirtieth.
const TRUE_F32: f64 = 1e-5;

/// Not by a power of two, so that ten bits do not hold them.
fn odd(shape: [usize; 4]) -> Tensor<4> {
    random(shape, -2.0, 2.0) * 0.77
}

/// Output and gradients of a function, here in f32 and in f64 on the processor by another form of it.
fn learns<const N: usize>(
    bound: f64,
    what: &str,
    device: &Device,
    inputs: [Tensor<4>; N],
    run: impl Fn([Tensor<4>; N], &Device) -> Tensor<4>,
    exact: impl Fn([Tensor<4>; N], &Device) -> Tensor<4>,
) {
    type Form<'a, const N: usize> = &'a dyn Fn([Tensor<4>; N], &Device) -> Tensor<4>;
    let all = |run: Form<'_, N>, inputs: [Tensor<4>; N], device: &Device, seed: Option<Tensor<4>>| {
        let inputs = inputs.map(|x| x.autodiff().require_grad());
        let y = run(inputs.clone(), device);
        let seed = seed.unwrap_or_else(|| odd(y.dims()));
        let gradients = (y.clone() * seed.clone().autodiff()).sum().backward();
        let gradients = inputs.map(|x| x.grad(&gradients).unwrap());
        (y.inner(), gradients, seed)
    };
    let (truth, of_truth, seed) = all(&exact, inputs.clone(), &Device::flex(), None);
    poison(device);
    let there = |x: &Tensor<4>| on(device, DType::F32, x);
    let (found, of_found, _) = all(&run, inputs.each_ref().map(there), device, Some(there(&seed)));
    close(what, &found, &truth, bound);
    for (index, (found, truth)) in of_found.iter().zip(&of_truth).enumerate() {
        close(&format!("{what}: gradient {index}"), found, truth, bound);
    }
}

#[test]
fn what_a_base_learns_through_is_in_true_f32() {
    let Some(device) = cuda() else { return };
    for (batch, heads, groups, time, width) in [(1, 4, 2, 7, 32), (3, 4, 4, 65, 64), (2, 8, 2, 130, 32)] {
        let inputs = [heads, groups, groups].map(|heads| odd([batch, heads, time, width]));
        let run = |[q, k, v]: [Tensor<4>; 3], device: &Device| {
            let mask = CausalMask::new(time, 0, None, device).autodiff();
            attention(q, &KvCache::new(k, v), &mask)
        };
        let what = format!("attention {batch} {heads}/{groups} {time} {width}");
        learns(TRUE_F32, &what, &device, inputs.clone(), run, run);
        let rope = Rope::new(width, 1e4, &RopeScaling::None);
        let rotate = |[q]: [Tensor<4>; 1], device: &Device| {
            let angles = rope.angles(&[(0..time).collect()], device);
            Rope::apply(q, &angles.autodiff())
        };
        let [q, ..] = inputs;
        learns(TRUE_F32, &format!("rotation {what}"), &device, [q], rotate, rotate);
    }
    for shape in [[1, 1, 1, 64], [1, 1, 77, 192], [1, 2, 384, 128], [3, 1, 100, 1000]] {
        let norm = |[x, weight]: [Tensor<4>; 2], _: &Device| rms_norm(x, &weight.reshape([shape[3]]), 1e-5);
        // In f64, where `rms_norm` itself computes in f32.
        let exact = |[x, weight]: [Tensor<4>; 2], _: &Device| {
            let scale = (x.clone().square().mean_dim(3) + 1e-5).sqrt().recip();
            x * scale * weight
        };
        let inputs = [odd(shape), odd([1, 1, 1, shape[3]])];
        learns(TRUE_F32, &format!("norm {shape:?}"), &device, inputs, norm, exact);
        let gate = |[gate, x]: [Tensor<4>; 2], _: &Device| swish_gate(gate * 4.0, x);
        learns(TRUE_F32, &format!("gate {shape:?}"), &device, [odd(shape), odd(shape)], gate, gate);
    }
    for shape in [[1, 1, 7, 33], [1, 1, 1, 8], [3, 1, 100, 1000]] {
        let silu = |[x]: [Tensor<4>; 1], _: &Device| swish(x * 4.0);
        learns(TRUE_F32, &format!("swish {shape:?}"), &device, [odd(shape)], silu, silu);
    }
    for [batch, time, heads] in [[1, 1, 8], [3, 77, 33], [2, 512, 200]] {
        let tokens = [1, batch, time, heads];
        let row = |x: Tensor<4>| x.reshape([heads]);
        let bias = |[x, weight, bias]: [Tensor<4>; 3], _: &Device| {
            let x = x.reshape([batch, time, heads]);
            linear(x, &weight.reshape([heads, heads]), Some(&row(bias))).unsqueeze()
        };
        let inputs = [odd(tokens), odd([1, 1, heads, heads]), odd([1, 1, 1, heads])];
        learns(TRUE_F32, &format!("bias {tokens:?}"), &device, inputs, bias, bias);
    }
}

#[test]
fn gates_of_the_delta_rule_are_learnt() {
    let Some(device) = cuda() else { return };
    for [batch, time, heads] in [[1, 1, 8], [3, 77, 33], [2, 512, 200]] {
        let tokens = [1, batch, time, heads];
        let row = |x: Tensor<4>| x.reshape([heads]);
        let gates = |[a, b, a_log, dt_bias]: [Tensor<4>; 4], _: &Device| {
            let [a, b] = [a, b].map(|x| x.reshape([batch, time, heads]));
            let gates = delta_gates([a, b], [&row(a_log), &row(dt_bias)], 2.0);
            Tensor::cat(gates.to_vec(), 2).unsqueeze()
        };
        // In f64, where `delta_gates` itself computes in f32.
        let exact = |[a, b, a_log, dt_bias]: [Tensor<4>; 4], _: &Device| {
            let strength = burn::tensor::activation::sigmoid(b) * 2.0;
            let decay = burn::tensor::activation::softplus(a + dt_bias, 1.0) * a_log.exp().neg();
            Tensor::cat(vec![strength, decay], 3)
        };
        let inputs = [odd(tokens), odd(tokens), odd([1, 1, 1, heads]), odd([1, 1, 1, heads])];
        learns(BOUNDS[0].1, &format!("gates {tokens:?}"), &device, inputs, gates, exact);
    }
}

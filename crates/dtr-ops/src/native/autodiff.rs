//! What twins and bases learn through on CUDA devices: operations that burn differentiates, by the kernels of [`Blocks`].

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata, backend_extension};

use super::blocks::Blocks;
use super::differentiable::{Backwards, differentiable};
use super::inference::Frozen;

/// Projections and the parts of linear blocks, from no state and without one after; frozen layers share those that
/// have no state.
#[backend_extension(Cube, Autodiff)]
pub trait Lessons: Backend {
    /// `x_rd · weight_odᵀ`, or of as many of each as leading dimensions say, in the dtype of both.
    fn project(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The output of GLA from no state; the rest as in [`Blocks::gla_pass`].
    fn gla_lesson(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gk: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// The output of the gated delta rule from no state; the rest as in [`Blocks::delta_pass`].
    fn delta_lesson(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        g: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `silu` of a short convolution after nothing; the rest as in [`Blocks::conv_pass`].
    fn conv_lesson(x: FloatTensor<Self>, taps: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `log_sigmoid(x) / normalizer` in f32.
    fn decay_gate(x: FloatTensor<Self>, normalizer: f64) -> FloatTensor<Self>;

    /// RMSNorm of o `[b, h, t, v]` over each head, times `silu` of the gate `[b, t, h·v]`: `[b, t, h·v]`.
    fn readout(
        o: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// See [`Frozen::frozen_rotate`]; the angles learn nothing.
    fn rotate_lesson(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// See [`Frozen::frozen_rms_norm`].
    fn rms_norm_lesson(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;

    /// A row `[n]` as each of `[b, t, n]`; its gradient is in f32.
    fn repeat_row(row: FloatTensor<Self>, batch: usize, time: usize) -> FloatTensor<Self>;

    /// `silu(x)`.
    fn swish_lesson(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`Frozen::frozen_swish_gate`].
    fn swish_gate_lesson(gate: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The mean of `(a − b)²` in f32, `[1]`; only a is learnt from.
    fn squared_error(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn project_gradients<B: Blocks>(pass: Backwards<B, (), 2>) -> [Option<FloatTensor<B>>; 2] {
    let ([x, weight], [wants_x, wants_weight]) = (pass.inputs, pass.wanted);
    let of_x = wants_x.then(|| B::project_to_input(pass.gradient.clone(), weight));
    [of_x, wants_weight.then(|| B::project_to_weight(pass.gradient, x))]
}

fn gla_gradients<B: Blocks>(pass: Backwards<B, (), 4>) -> [Option<FloatTensor<B>>; 4] {
    let ([q, k, v, gk], mut kept) = (pass.inputs, pass.kept);
    let states = kept.pop().expect("the forward pass kept its states");
    <[_; 4]>::from(B::gla_gradients(q, k, v, gk, states, pass.gradient)).map(Some)
}

fn delta_gradients<B: Blocks>(pass: Backwards<B, (), 5>) -> [Option<FloatTensor<B>>; 5] {
    let [q, k, v, beta, g] = pass.inputs;
    <[_; 5]>::from(B::delta_gradients(q, k, v, beta, g, pass.gradient)).map(Some)
}

fn conv_gradients<B: Blocks>(pass: Backwards<B, (), 2>) -> [Option<FloatTensor<B>>; 2] {
    let [x, taps] = pass.inputs;
    <[_; 2]>::from(B::conv_gradients(x, taps, pass.gradient)).map(Some)
}

fn decay_gate_gradient<B: Blocks>(pass: Backwards<B, f64, 1>) -> [Option<FloatTensor<B>>; 1] {
    let [x] = pass.inputs;
    [Some(B::decay_gate_gradient(x, pass.parameters, pass.gradient))]
}

fn readout_gradients<B: Blocks>(pass: Backwards<B, f64, 3>) -> [Option<FloatTensor<B>>; 3] {
    let [o, gate, weight] = pass.inputs;
    <[_; 3]>::from(B::readout_gradients(o, gate, weight, pass.parameters, pass.gradient)).map(Some)
}

/// The angles back.
fn rotate_gradient<B: Frozen>(pass: Backwards<B, (), 3>) -> [Option<FloatTensor<B>>; 3] {
    let [_, cos, sin] = pass.inputs;
    [Some(B::frozen_rotate(pass.gradient, cos, B::float_neg(sin))), None, None]
}

fn rms_norm_gradients<B: Blocks>(pass: Backwards<B, f64, 2>) -> [Option<FloatTensor<B>>; 2] {
    let [x, weight] = pass.inputs;
    <[_; 2]>::from(B::rms_norm_gradients(x, weight, pass.parameters, pass.gradient)).map(Some)
}

fn repeat_row_gradient<B: Blocks>(pass: Backwards<B, [usize; 2], 1>) -> [Option<FloatTensor<B>>; 1] {
    [Some(B::column_sums(pass.gradient))]
}

fn swish_gradient<B: Blocks>(pass: Backwards<B, (), 1>) -> [Option<FloatTensor<B>>; 1] {
    let [x] = pass.inputs;
    [Some(B::swish_gradient(x, pass.gradient))]
}

fn swish_gate_gradients<B: Blocks>(pass: Backwards<B, (), 2>) -> [Option<FloatTensor<B>>; 2] {
    let [gate, x] = pass.inputs;
    <[_; 2]>::from(B::swish_gate_gradients(gate, x, pass.gradient)).map(Some)
}

fn squared_error_gradient<B: Blocks>(pass: Backwards<B, (), 2>) -> [Option<FloatTensor<B>>; 2] {
    let [a, _] = pass.inputs;
    let mut kept = pass.kept;
    let of_a = kept.pop().expect("the forward pass kept the gradient");
    let factor = B::float_reshape(B::float_cast(pass.gradient, a.dtype().into()), [1, 1, 1].into());
    [Some(B::float_mul(of_a, factor)), None]
}

impl<B: Blocks + Frozen + Lessons, C: CheckpointStrategy> Lessons for Autodiff<B, C> {
    fn project(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let forward = |(): &(), [x, weight]: [FloatTensor<B>; 2]| (B::project(x, weight), Vec::new());
        differentiable::<B, C, _, _>((), [x, weight], forward, project_gradients)
    }

    fn gla_lesson(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gk: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let forward = |(): &(), [q, k, v, gk]: [FloatTensor<B>; 4]| {
            let (output, states) = B::gla_keep(q, k, v, gk);
            (output, vec![states])
        };
        differentiable::<B, C, _, _>((), [q, k, v, gk], forward, gla_gradients)
    }

    fn delta_lesson(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        g: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let forward = |(): &(), [q, k, v, beta, g]: [FloatTensor<B>; 5]| {
            (B::delta_lesson(q, k, v, beta, g), Vec::new())
        };
        differentiable::<B, C, _, _>((), [q, k, v, beta, g], forward, delta_gradients)
    }

    fn conv_lesson(x: FloatTensor<Self>, taps: FloatTensor<Self>) -> FloatTensor<Self> {
        let forward = |(): &(), [x, taps]: [FloatTensor<B>; 2]| (B::conv_lesson(x, taps), Vec::new());
        differentiable::<B, C, _, _>((), [x, taps], forward, conv_gradients)
    }

    fn decay_gate(x: FloatTensor<Self>, normalizer: f64) -> FloatTensor<Self> {
        let forward =
            |normalizer: &f64, [x]: [FloatTensor<B>; 1]| (B::decay_gate(x, *normalizer), Vec::new());
        differentiable::<B, C, _, _>(normalizer, [x], forward, decay_gate_gradient)
    }

    fn readout(
        o: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let forward = |epsilon: &f64, [o, gate, weight]: [FloatTensor<B>; 3]| {
            (B::readout(o, gate, weight, *epsilon), Vec::new())
        };
        differentiable::<B, C, _, _>(epsilon, [o, gate, weight], forward, readout_gradients)
    }

    fn rotate_lesson(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let forward =
            |(): &(), [x, cos, sin]: [FloatTensor<B>; 3]| (B::frozen_rotate(x, cos, sin), Vec::new());
        differentiable::<B, C, _, _>((), [x, cos, sin], forward, rotate_gradient)
    }

    fn rms_norm_lesson(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        let forward = |epsilon: &f64, [x, weight]: [FloatTensor<B>; 2]| {
            (B::frozen_rms_norm(x, weight, *epsilon), Vec::new())
        };
        differentiable::<B, C, _, _>(epsilon, [x, weight], forward, rms_norm_gradients)
    }

    fn repeat_row(row: FloatTensor<Self>, batch: usize, time: usize) -> FloatTensor<Self> {
        let forward = |&[batch, time]: &[usize; 2], [row]: [FloatTensor<B>; 1]| {
            (B::repeat_row(row, batch, time), Vec::new())
        };
        differentiable::<B, C, _, _>([batch, time], [row], forward, repeat_row_gradient)
    }

    fn swish_lesson(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let forward = |(): &(), [x]: [FloatTensor<B>; 1]| (B::swish_lesson(x), Vec::new());
        differentiable::<B, C, _, _>((), [x], forward, swish_gradient)
    }

    fn swish_gate_lesson(gate: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        let forward = |(): &(), [gate, x]: [FloatTensor<B>; 2]| (B::frozen_swish_gate(gate, x), Vec::new());
        differentiable::<B, C, _, _>((), [gate, x], forward, swish_gate_gradients)
    }

    fn squared_error(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let forward = |(): &(), [a, b]: [FloatTensor<B>; 2]| {
            let (error, gradient) = B::squared_error_keep(a, b);
            (error, vec![gradient])
        };
        differentiable::<B, C, _, _>((), [a, b], forward, squared_error_gradient)
    }
}

//! Linear blocks and projections on CUDA devices: passes with states outside of any autodiff graph, gradients, and what
//! serves tensors on a graph and off it.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Tensor};

use super::autodiff::Lessons;

/// Kernels of GLA, the gated delta rule, short convolutions, gates and readouts. Key/value heads are not repeated: query
/// head `i` of `h` goes with key/value head `i / (h / g)`.
#[backend_extension(Cube)]
#[allow(clippy::type_complexity)]
pub trait Blocks: Backend {
    /// `x_rd · weight_odᵀ` in f32, whatever the dtype of both.
    fn project_exactly(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of a projection's input from that of its output.
    fn project_to_input(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of a projection's weight, in f32.
    fn project_to_weight(gradient: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Output `[b, h, t, v]` and next state `[b, h, k, v]` of GLA over q `[b, h, t, k]`, k and the log decays gk
    /// `[b, g, t, k]` and v `[b, g, t, v]`.
    fn gla_pass(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gk: FloatTensor<Self>,
        state: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The same from no state.
    fn gla_begin(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gk: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The output and the states of all chunks, which the gradients take.
    fn gla_keep(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gk: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of q, k, v and gk.
    fn gla_gradients(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gk: FloatTensor<Self>,
        states: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Output and next state of the gated delta rule over q `[b, h, t, k]`, k `[b, g, t, k]`, both normalised here,
    /// v `[b, g, t, v]`, write strengths beta and log decays g `[b, h, t]` in f32.
    fn delta_pass(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        g: FloatTensor<Self>,
        state: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of q, k, v, beta and g.
    fn delta_gradients(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        g: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `silu` of a short convolution of `[b, t, c]` after `past` `[b, w - 1, c]`, and the next past; taps are a `weight`
    /// `[c, w]`, or kernels of every token `[b, t, c, w]`.
    fn conv_pass(
        x: FloatTensor<Self>,
        taps: FloatTensor<Self>,
        past: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of input and taps.
    fn conv_gradients(
        x: FloatTensor<Self>,
        taps: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradient of x.
    fn decay_gate_gradient(
        x: FloatTensor<Self>,
        normalizer: f64,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// The gradients of o, gate and weight.
    fn readout_gradients(
        o: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of x and weight of an RMSNorm over the last dimension; the weight's is in f32.
    fn rms_norm_gradients(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of gate and x of `silu(gate) · x`.
    fn swish_gate_gradients(
        gate: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The sums of the columns of x `[.., n]` in f32, `[n]`.
    fn column_sums(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of x of `silu(x)`.
    fn swish_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The mean of `(a − b)²` in f32, `[1]`, and its gradient of a.
    fn squared_error_keep(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// What a lesson has for a state, which nothing may read: twins learn from nothing, sequence by sequence.
fn no_state<const D: usize>(like: &Tensor<4>, shape: [usize; D]) -> Tensor<D> {
    let device = like.device();
    let device = if device.is_autodiff() { device.inner() } else { device };
    Tensor::<D>::full([1; D], f32::NAN, (&device, DType::F32)).expand(shape)
}

fn zeros<const D: usize, const E: usize>(like: &Tensor<D>, shape: [usize; E], dtype: DType) -> Tensor<E> {
    Tensor::zeros(shape, (&like.device(), dtype))
}

/// `x_rd · weight_odᵀ`, or of as many of each as leading dimensions say.
pub(crate) fn project<const D: usize>(x_rd: Tensor<D>, weight_od: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::project(x_rd.into_dispatch(), weight_od.into_dispatch()))
}

/// The same in f32.
pub(crate) fn project_exactly(x_rd: Tensor<2>, weight_od: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::project_exactly(x_rd.into_dispatch(), weight_od.into_dispatch()))
}

/// GLA over q `[b, h, t, k]`, k and gk `[b, g, t, k]` and v `[b, g, t, v]`.
pub(crate) fn gla(inputs: [Tensor<4>; 4], state_bhkv: Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
    let shape = state_shape(&inputs[0], &inputs[2]);
    if inputs[0].is_autodiff() {
        assert!(state_bhkv.is_none(), "lessons start from no state");
        let state = no_state(&inputs[0], shape);
        let [q, k, v, gk] = inputs.map(Tensor::into_dispatch);
        return (Tensor::from_dispatch(Dispatch::gla_lesson(q, k, v, gk)), state);
    }
    let [q, k, v, gk] = inputs.map(Tensor::into_dispatch);
    let (output, state) = match state_bhkv {
        Some(state) => Dispatch::gla_pass(q, k, v, gk, state.into_dispatch()),
        None => Dispatch::gla_begin(q, k, v, gk),
    };
    (Tensor::from_dispatch(output), Tensor::from_dispatch(state))
}

/// The gated delta rule over q `[b, h, t, k]`, k `[b, g, t, k]`, both normalised there, v `[b, g, t, v]`, write strengths and
/// log decays `[b, h, t]`.
pub(crate) fn delta_rule(
    [q, k, v]: [Tensor<4>; 3],
    [beta, g]: [Tensor<3>; 2],
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let shape = state_shape(&q, &v);
    if q.is_autodiff() {
        assert!(state_bhkv.is_none(), "lessons start from no state");
        let state = no_state(&q, shape);
        let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
        let [beta, g] = [beta, g].map(Tensor::into_dispatch);
        return (Tensor::from_dispatch(Dispatch::delta_lesson(q, k, v, beta, g)), state);
    }
    let state = state_bhkv.unwrap_or_else(|| zeros(&q, shape, DType::F32));
    let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
    let [beta, g] = [beta, g].map(Tensor::into_dispatch);
    let (output, state) = Dispatch::delta_pass(q, k, v, beta, g, state.into_dispatch());
    (Tensor::from_dispatch(output), Tensor::from_dispatch(state))
}

fn state_shape(q_bhtk: &Tensor<4>, v_bgtv: &Tensor<4>) -> [usize; 4] {
    let ([batch, heads, _, key], value) = (q_bhtk.dims(), v_bgtv.dims()[3]);
    [batch, heads, key, value]
}

/// `silu` of a short convolution by a weight `[c, w]` or by kernels `[b, t, c, w]`, and the past after it.
pub(crate) fn conv<const D: usize>(
    x_btd: Tensor<3>,
    taps: Tensor<D>,
    past: Option<Tensor<3>>,
) -> (Tensor<3>, Tensor<3>) {
    let ([batch, _, channels], width) = (x_btd.dims(), taps.dims()[D - 1]);
    let shape = [batch, width - 1, channels];
    if x_btd.is_autodiff() {
        assert!(past.is_none(), "lessons start after nothing");
        let next = no_state(&x_btd.clone().unsqueeze(), shape);
        let y = Dispatch::conv_lesson(x_btd.into_dispatch(), taps.into_dispatch());
        return (Tensor::from_dispatch(y), next);
    }
    let past = past.unwrap_or_else(|| zeros(&x_btd, shape, x_btd.dtype()));
    let (y, next) = Dispatch::conv_pass(x_btd.into_dispatch(), taps.into_dispatch(), past.into_dispatch());
    (Tensor::from_dispatch(y), Tensor::from_dispatch(next))
}

/// `log_sigmoid(x) / normalizer` in f32.
pub(crate) fn decay_gate(x_btd: Tensor<3>, normalizer: f64) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::decay_gate(x_btd.into_dispatch(), normalizer))
}

/// RMSNorm of every head, gated, the heads side by side.
pub(crate) fn readout(o_bhtv: Tensor<4>, gate_btd: Tensor<3>, weight: &Tensor<1>, epsilon: f64) -> Tensor<3> {
    let (o, gate, weight) =
        (o_bhtv.into_dispatch(), gate_btd.into_dispatch(), weight.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::readout(o, gate, weight, epsilon))
}

/// The mean of `(a − b)²`; only a is learnt from.
pub(crate) fn squared_error(a_btd: Tensor<3>, b_btd: Tensor<3>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::squared_error(a_btd.into_dispatch(), b_btd.into_dispatch()))
}

/// Turns the pairs of `x_bhtk`, as [`super::inference::rotate`] does, on an autodiff graph.
pub(crate) fn rotate(x_bhtk: Tensor<4>, [cos, sin]: [Tensor<4>; 2]) -> Tensor<4> {
    let [x, cos, sin] = [x_bhtk, cos, sin].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::rotate_lesson(x, cos, sin))
}

/// [`super::inference::rms_norm`] on an autodiff graph.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let (x, weight) = (x.into_dispatch(), weight.clone().into_dispatch());
    Tensor::from_dispatch(Dispatch::rms_norm_lesson(x, weight, epsilon))
}

/// [`super::inference::swish_gate`] on an autodiff graph.
pub(crate) fn swish_gate<const D: usize>(gate: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::swish_gate_lesson(gate.into_dispatch(), x.into_dispatch()))
}

/// `silu(x)` on an autodiff graph.
pub(crate) fn swish<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::swish_lesson(x.into_dispatch()))
}

/// A row `[n]` on an autodiff graph as each of `[b, t, n]`.
pub(crate) fn repeat_row(row: Tensor<1>, [batch, time]: [usize; 2]) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::repeat_row(row.into_dispatch(), batch, time))
}

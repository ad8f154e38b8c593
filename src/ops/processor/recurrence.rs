//! The recurrences on a processor, in one pass over the tokens by `dtr-kernels`, as an operation that
//! burn differentiates.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use dtr_kernels::{DeltaInputs, GlaInputs, Shape, delta_backward, delta_forward, gla_backward, gla_forward};

use super::{like, values};

/// Which recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Gated linear attention; gates are log decays `[b, h, t, k]`.
    Gla,
    /// The gated delta rule; gates are write strengths and log decays, `[2, b, h, t]`.
    Delta,
}

/// Runs `rule` over `q_bhtk`, `k_bhtk`, `v_bhtv` and its gates from `state_bhkv` (zeros if none);
/// returns the output `[b, h, t, v]` and the state after it.
pub(in crate::ops) fn recur<const G: usize>(
    rule: Rule,
    [q_bhtk, k_bhtk, v_bhtv]: [Tensor<4>; 3],
    gates: Tensor<G>,
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let [batch, heads, time, key] = q_bhtk.dims();
    let value = v_bhtv.dims()[3];
    let state = state_bhkv.unwrap_or_else(|| Tensor::zeros([batch, heads, key, value], &q_bhtk.device()));
    let packed = Tensor::<1>::from_dispatch(Dispatch::recur(
        rule,
        q_bhtk.into_dispatch(),
        k_bhtk.into_dispatch(),
        v_bhtv.into_dispatch(),
        gates.into_dispatch(),
        state.into_dispatch(),
    ));
    let outputs = batch * heads * time * value;
    let states = batch * heads * key * value;
    (
        packed.clone().narrow(0, 0, outputs).reshape([batch, heads, time, value]),
        packed.narrow(0, outputs, states).reshape([batch, heads, key, value]),
    )
}

/// Both recurrences, forward and backward. A backend's operation has one output, so outputs
/// `[b, h, t, v]` and last states `[b, h, k, v]` lie end to end in it.
#[backend_extension(Flex, Autodiff)]
pub trait Recurrences: Backend {
    /// Outputs and last states, end to end.
    fn recur(
        rule: Rule,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradients of q, k, v, gates and state from those of outputs and last states, end to end.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn recur_backward(
        rule: Rule,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn sizes(q: &FlexTensor, v: &FlexTensor) -> Shape {
    let (q, v) = (q.shape(), v.shape());
    Shape { rows: q[0] * q[1], time: q[2], key: q[3], value: v[3] }
}

/// The kernels' view of contiguous tensors.
struct View<'a> {
    shape: Shape,
    tensors: &'a [FlexTensor; 5],
}

impl<'a> View<'a> {
    fn gla(&self) -> GlaInputs<'a> {
        let [q, k, v, g, state] = self.tensors.each_ref().map(values);
        GlaInputs { shape: self.shape, q, k, v, g, state }
    }

    fn delta(&self) -> DeltaInputs<'a> {
        let [q, k, v, gates, state] = self.tensors.each_ref().map(values);
        let (beta, g) = gates.split_at(gates.len() / 2);
        DeltaInputs { shape: self.shape, q, k, v, beta, g, state }
    }
}

impl Recurrences for Flex {
    fn recur(
        rule: Rule,
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        gates: FlexTensor,
        state: FlexTensor,
    ) -> FlexTensor {
        let shape = sizes(&q, &v);
        let tensors = [q, k, v, gates, state].map(|tensor| tensor.to_contiguous());
        let view = View { shape, tensors: &tensors };
        let packed = match rule {
            Rule::Gla => gla_forward(view.gla()),
            Rule::Delta => delta_forward(view.delta()),
        };
        let length = packed.len();
        FlexTensor::from_data(TensorData::new(packed, [length]))
    }

    fn recur_backward(
        rule: Rule,
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        gates: FlexTensor,
        state: FlexTensor,
        gradient: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let shape = sizes(&q, &v);
        let tensors = [q, k, v, gates, state].map(|tensor| tensor.to_contiguous());
        let view = View { shape, tensors: &tensors };
        let gradient = gradient.to_contiguous();
        let (d_output, d_state) = values(&gradient).split_at(shape.rows * shape.time * shape.value);
        let (d_q, d_k, d_v, d_gates, d_state) = match rule {
            Rule::Gla => {
                let d = gla_backward(view.gla(), d_output, d_state);
                (d.q, d.k, d.v, d.g, d.state)
            }
            Rule::Delta => {
                let d = delta_backward(view.delta(), d_output, d_state);
                (d.q, d.k, d.v, [d.beta, d.g].concat(), d.state)
            }
        };
        let [q, k, v, gates, state] = &tensors;
        (like(d_q, q), like(d_k, k), like(d_v, v), like(d_gates, gates), like(d_state, state))
    }
}

#[derive(Debug)]
struct Recurrence;

impl<B: Recurrences> Backward<B, 5> for Recurrence {
    type State = (Rule, [FloatTensor<B>; 5]);

    fn backward(self, ops: Ops<Self::State, 5>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (rule, [q, k, v, gates, state]) = ops.state;
        let (d_q, d_k, d_v, d_gates, d_state) = B::recur_backward(rule, q, k, v, gates, state, gradient);
        for (parent, gradient) in ops.parents.into_iter().zip([d_q, d_k, d_v, d_gates, d_state]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: Recurrences, C: CheckpointStrategy> Recurrences for Autodiff<B, C> {
    fn recur(
        rule: Rule,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [&q, &k, &v, &gates, &state].map(|tensor| tensor.node());
        let inputs = [q, k, v, gates, state].map(|tensor| tensor.into_primitive());
        let run = |[q, k, v, gates, state]: [FloatTensor<B>; 5]| B::recur(rule, q, k, v, gates, state);
        match Recurrence.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((rule, inputs.clone()), run(inputs)),
            OpsKind::UnTracked(prepared) => prepared.finish(run(inputs)),
        }
    }

    fn recur_backward(
        _: Rule,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("nothing here differentiates twice")
    }
}

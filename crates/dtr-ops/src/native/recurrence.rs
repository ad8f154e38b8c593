//! The recurrences as operations that burn differentiates.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::differentiable::{Backwards, differentiable};

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
pub(crate) fn recur<const G: usize>(
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

/// Both recurrences. A backend's operation has one output, so outputs `[b, h, t, v]` and last states
/// `[b, h, k, v]` lie end to end in it.
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
}

/// What a backend gives for [`Recurrences`] to be differentiated on it.
pub(crate) trait RecurrenceGradients: Recurrences {
    /// Gradients of q, k, v, gates and state from those of outputs and last states, end to end.
    fn recur_backward(
        rule: Rule,
        inputs: [FloatTensor<Self>; 5],
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 5];
}

fn gradients<B: RecurrenceGradients>(pass: Backwards<B, Rule, 5>) -> [Option<FloatTensor<B>>; 5] {
    B::recur_backward(pass.parameters, pass.inputs, pass.gradient).map(Some)
}

impl<B: RecurrenceGradients, C: CheckpointStrategy> Recurrences for Autodiff<B, C> {
    fn recur(
        rule: Rule,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        state: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let forward = |rule: &Rule, [q, k, v, gates, state]: [FloatTensor<B>; 5]| {
            (B::recur(*rule, q, k, v, gates, state), Vec::new())
        };
        differentiable::<B, C, _, _>(rule, [q, k, v, gates, state], forward, gradients)
    }
}

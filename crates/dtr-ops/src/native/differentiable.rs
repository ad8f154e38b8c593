//! Operations of our own that burn differentiates: inputs and what the forward pass keeps, and a function for the
//! gradients.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

/// What a backward pass starts from.
pub(super) struct Backwards<B: Backend, P, const N: usize> {
    /// What the operation was told beside its inputs.
    pub parameters: P,
    /// Its inputs.
    pub inputs: [FloatTensor<B>; N],
    /// What the forward pass kept.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "CUDA's operations alone keep anything"))]
    pub kept: Vec<FloatTensor<B>>,
    /// The gradient of its output.
    pub gradient: FloatTensor<B>,
    /// Which inputs want a gradient.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "CUDA's operations alone leave any out"))]
    pub wanted: [bool; N],
}

/// The gradients of the inputs; those that nobody wants may be left out.
pub(super) type GradientsOf<B, P, const N: usize> = fn(Backwards<B, P, N>) -> [Option<FloatTensor<B>>; N];

/// The output, and what is kept for the backward pass.
pub(super) type ForwardOf<B, P, const N: usize> =
    fn(&P, [FloatTensor<B>; N]) -> (FloatTensor<B>, Vec<FloatTensor<B>>);

/// Runs `forward` on `inputs`, with gradients by `gradients`.
pub(super) fn differentiable<B, C, P, const N: usize>(
    parameters: P,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: ForwardOf<B, P, N>,
    gradients: GradientsOf<B, P, N>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    P: Clone + Debug + Send + 'static,
{
    let nodes = inputs.each_ref().map(|tensor| tensor.node());
    let inputs = inputs.map(|tensor| tensor.into_primitive());
    let (output, kept) = forward(&parameters, inputs.clone());
    let operation = Operation(std::marker::PhantomData::<P>);
    match Backward::<B, N>::prepare::<C>(operation, nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(Held { parameters, inputs, kept, gradients }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

/// What lies between the passes.
#[derive(Clone)]
struct Held<B: Backend, P, const N: usize> {
    parameters: P,
    inputs: [FloatTensor<B>; N],
    kept: Vec<FloatTensor<B>>,
    gradients: GradientsOf<B, P, N>,
}

impl<B: Backend, P: Debug, const N: usize> Debug for Held<B, P, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Operation<P>(std::marker::PhantomData<P>);

impl<B, P, const N: usize> Backward<B, N> for Operation<P>
where
    B: Backend,
    P: Clone + Debug + Send + 'static,
{
    type State = Held<B, P, N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let Held { parameters, inputs, kept, gradients } = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = gradients(Backwards { parameters, inputs, kept, gradient, wanted });
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

//! Operations with their own gradients, as nodes of burn's autodiff graph.
//!
//! [`DifferentiableOp`] corresponds to PyTorch's `torch.autograd.Function`. An operation implements the
//! trait once, for the backend that its kernels run on. [`apply`] runs the operation.
//!
//! burn's own mechanism, `#[backend_extension]`, needs three parts. They are a trait with the signature of
//! every operation, an implementation of the trait for the backend, and an implementation for `Autodiff`.
//! [`DifferentiableOp`] replaces all three parts, because each operation here has kernels for only one
//! backend. [`apply`] converts tensors to this backend with [`Tensor::from_primitive`] and its inverse.

use std::fmt::{Debug, Formatter};
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, DispatchAutodiffContext, DispatchKindConversion, DispatchTensor,
};
use burn::tensor::Tensor;

/// An operation on `N` float tensors that computes its own gradients.
pub(crate) trait DifferentiableOp<const N: usize>: Clone + Debug + Send + 'static {
    /// The backend that the operation's kernels run on.
    type Backend: Backend;

    /// Returns the output, and the tensors to save for [`backward`](Self::backward) in addition to the
    /// inputs.
    fn forward(
        &self,
        inputs: [FloatTensor<Self::Backend>; N],
    ) -> (FloatTensor<Self::Backend>, Vec<FloatTensor<Self::Backend>>);

    /// Returns the gradient of each input, or `None` for an input that needs no gradient.
    fn backward(&self, pass: BackwardArgs<Self::Backend, N>) -> [Option<FloatTensor<Self::Backend>>; N];
}

/// The arguments of [`DifferentiableOp::backward`].
pub(crate) struct BackwardArgs<B: Backend, const N: usize> {
    /// The inputs of the forward pass.
    pub inputs: [FloatTensor<B>; N],
    /// The tensors that the forward pass saved.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "only operations on CUDA save tensors"))]
    pub saved: Vec<FloatTensor<B>>,
    /// The gradient of the output.
    pub output_gradient: FloatTensor<B>,
    /// Whether each input needs a gradient.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "only operations on CUDA skip gradients"))]
    pub needs_gradient: [bool; N],
}

/// Runs `op`. If any input is on an autodiff graph, `op` becomes a node of that graph, and inputs outside of
/// the graph count as constants.
///
/// # Panics
/// Panics if an input is not on the operation's backend.
pub(crate) fn apply<O, const N: usize, const D: usize>(op: O, inputs: [DispatchTensor; N]) -> Tensor<D>
where
    O: DifferentiableOp<N>,
    DispatchTensor: DispatchKindConversion<O::Backend> + DispatchKindConversion<Autodiff<O::Backend>>,
{
    if inputs.iter().all(|input| !is_autodiff(input)) {
        let (output, _) = op.forward(inputs.map(primitive::<O::Backend>));
        return Tensor::from_primitive::<O::Backend>(output);
    }
    let inputs = inputs.map(|input| match is_autodiff(&input) {
        true => primitive::<Autodiff<O::Backend>>(input),
        false => Autodiff::<O::Backend>::from_inner(primitive::<O::Backend>(input)),
    });
    let nodes = inputs.each_ref().map(|input| input.node());
    let inputs = inputs.map(|input| input.into_primitive());
    let (output, saved) = op.forward(inputs.clone());
    let node = Node(PhantomData::<O>);
    let output = match node.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(node) => node.finish(NodeState { op, inputs, saved }, output),
        OpsKind::UnTracked(node) => node.finish(output),
    };
    Tensor::from_primitive::<Autodiff<O::Backend>>(output)
}

/// Returns a placeholder for the state after a training sequence: a tensor of NaN, which must not be read.
/// The CUDA kernels do not compute this state, because training never continues a sequence.
#[cfg(feature = "cuda")]
pub(crate) fn uncomputed_final_state<const D: usize, const S: usize>(
    like: &Tensor<D>,
    shape: [usize; S],
) -> Tensor<S> {
    let device = like.device();
    let device = if device.is_autodiff() { device.inner() } else { device };
    Tensor::<S>::full([1; S], f32::NAN, (&device, burn::tensor::DType::F32)).expand(shape)
}

fn is_autodiff(tensor: &DispatchTensor) -> bool {
    tensor.autodiff != DispatchAutodiffContext::Disabled
}

fn primitive<B: Backend>(tensor: DispatchTensor) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let tensor = <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor);
    tensor.unwrap_or_else(|cause| panic!("an input of an operation is on another backend: {cause}")).float()
}

/// The node of the operation `O` on the autodiff graph.
struct Node<O>(PhantomData<O>);

impl<O> Debug for Node<O> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<O>())
    }
}

/// The data of the forward pass that a node keeps for the backward pass.
#[derive(Clone)]
struct NodeState<O: DifferentiableOp<N>, const N: usize> {
    op: O,
    inputs: [FloatTensor<O::Backend>; N],
    saved: Vec<FloatTensor<O::Backend>>,
}

impl<O: DifferentiableOp<N>, const N: usize> Debug for NodeState<O, N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeState").field("op", &self.op).finish_non_exhaustive()
    }
}

impl<O: DifferentiableOp<N>, const N: usize> Backward<O::Backend, N> for Node<O> {
    type State = NodeState<O, N>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let output_gradient = gradients.consume::<O::Backend>(&ops.node);
        let NodeState { op, inputs, saved } = ops.state;
        let needs_gradient = ops.parents.each_ref().map(Option::is_some);
        let found = op.backward(BackwardArgs { inputs, saved, output_gradient, needs_gradient });
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<O::Backend>(parent.id, gradient);
            }
        }
    }
}

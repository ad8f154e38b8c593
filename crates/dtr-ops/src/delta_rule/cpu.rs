//! The gated delta rule on CPUs, in one pass over the tokens.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use dtr_kernels::{DeltaInputs, delta_backward, delta_outputs_and_states};

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::flex_tensors::{
    elements, packed_tensor, recurrence_shape, state_or_zeros, tensor_like, unpack_outputs_and_states,
};

/// Computes [`normalised_gated_delta_rule`](super::normalised_gated_delta_rule).
pub(super) fn normalised_gated_delta_rule(
    [q, k, v]: [Tensor<4>; 3],
    [beta, g]: [Tensor<3>; 2],
    state_bhkv: Option<Tensor<4>>,
) -> (Tensor<4>, Tensor<4>) {
    let state = state_or_zeros(state_bhkv, &q, &v);
    let (query_shape, value_width) = (q.dims(), v.dims()[3]);
    let [q, k, v, state] = [q, k, v, state].map(Tensor::into_dispatch);
    let [beta, g] = [beta, g].map(Tensor::into_dispatch);
    unpack_outputs_and_states(apply(CpuGatedDelta, [q, k, v, beta, g, state]), query_shape, value_width)
}

/// The recurrence as a differentiable operation. Its inputs are q, k, v, beta, g and the initial states. Its
/// output is one vector that holds all outputs and then all last states.
#[derive(Clone, Debug)]
struct CpuGatedDelta;

impl DifferentiableOp<6> for CpuGatedDelta {
    type Backend = Flex;

    fn forward(&self, inputs: [FlexTensor; 6]) -> (FlexTensor, Vec<FlexTensor>) {
        let inputs = inputs.map(|tensor| tensor.to_contiguous());
        (packed_tensor(delta_outputs_and_states(kernel_inputs(&inputs))), Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Flex, 6>) -> [Option<FlexTensor>; 6] {
        let inputs = pass.inputs.map(|tensor| tensor.to_contiguous());
        let output_gradient = pass.output_gradient.to_contiguous();
        let [q, k, v, beta, g, state] = &inputs;
        let kernel_inputs = kernel_inputs(&inputs);
        let (d_output, d_state) = elements(&output_gradient).split_at(elements(v).len());
        let d = delta_backward(kernel_inputs, d_output, d_state);
        [
            tensor_like(d.q, q),
            tensor_like(d.k, k),
            tensor_like(d.v, v),
            tensor_like(d.beta, beta),
            tensor_like(d.g, g),
            tensor_like(d.state, state),
        ]
        .map(Some)
    }
}

fn kernel_inputs(inputs: &[FlexTensor; 6]) -> DeltaInputs<'_> {
    let shape = recurrence_shape(&inputs[0], &inputs[2]);
    let [q, k, v, beta, g, state] = inputs.each_ref().map(elements);
    DeltaInputs { shape, q, k, v, beta, g, state }
}

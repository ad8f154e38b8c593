//! Gated linear attention on CPUs, in one pass over the tokens.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use dtr_kernels::{GlaInputs, gla_backward, gla_outputs_and_states};

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::flex_tensors::{
    elements, packed_tensor, recurrence_shape, state_or_zeros, tensor_like, unpack_outputs_and_states,
};

/// Computes [`gla`](super::gla) over `[q, k, v, gk]` with as many key/value heads as query heads.
pub(super) fn gla(inputs: [Tensor<4>; 4], state_bhkv: Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
    let [q, k, v, gk] = inputs;
    let state = state_or_zeros(state_bhkv, &q, &v);
    let (query_shape, value_width) = (q.dims(), v.dims()[3]);
    let packed = apply(CpuGla, [q, k, v, gk, state].map(Tensor::into_dispatch));
    unpack_outputs_and_states(packed, query_shape, value_width)
}

/// Gated linear attention as a differentiable operation. Its inputs are q, k, v, gk and the initial states.
/// Its output is one vector: the outputs of all tokens, followed by the last states.
#[derive(Clone, Debug)]
struct CpuGla;

impl DifferentiableOp<5> for CpuGla {
    type Backend = Flex;

    fn forward(&self, inputs: [FlexTensor; 5]) -> (FlexTensor, Vec<FlexTensor>) {
        let inputs = inputs.map(|tensor| tensor.to_contiguous());
        (packed_tensor(gla_outputs_and_states(kernel_inputs(&inputs))), Vec::new())
    }

    fn backward(&self, pass: BackwardArgs<Flex, 5>) -> [Option<FlexTensor>; 5] {
        let inputs = pass.inputs.map(|tensor| tensor.to_contiguous());
        let output_gradient = pass.output_gradient.to_contiguous();
        let [q, k, v, gk, state] = &inputs;
        let kernel_inputs = kernel_inputs(&inputs);
        let (d_output, d_state) = elements(&output_gradient).split_at(elements(v).len());
        let d = gla_backward(kernel_inputs, d_output, d_state);
        [
            tensor_like(d.q, q),
            tensor_like(d.k, k),
            tensor_like(d.v, v),
            tensor_like(d.g, gk),
            tensor_like(d.state, state),
        ]
        .map(Some)
    }
}

fn kernel_inputs(inputs: &[FlexTensor; 5]) -> GlaInputs<'_> {
    let shape = recurrence_shape(&inputs[0], &inputs[2]);
    let [q, k, v, g, state] = inputs.each_ref().map(elements);
    GlaInputs { shape, q, k, v, g, state }
}

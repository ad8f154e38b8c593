//! The recurrences in one pass over the tokens.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use dtr_kernels::{
    DeltaInputs, GlaInputs, RecurrenceShape, delta_backward, delta_forward, gla_backward, gla_forward,
};

use super::{like, values};
use crate::native::recurrence::{RecurrenceGradients, Recurrences, Rule};

fn sizes(q: &FlexTensor, v: &FlexTensor) -> RecurrenceShape {
    let (q, v) = (q.shape(), v.shape());
    RecurrenceShape { num_rows: q[0] * q[1], num_tokens: q[2], key_dim: q[3], value_dim: v[3] }
}

/// The kernels' view of contiguous tensors.
struct View<'a> {
    shape: RecurrenceShape,
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
}

impl RecurrenceGradients for Flex {
    fn recur_backward(rule: Rule, inputs: [FlexTensor; 5], gradient: FlexTensor) -> [FlexTensor; 5] {
        let shape = sizes(&inputs[0], &inputs[2]);
        let tensors = inputs.map(|tensor| tensor.to_contiguous());
        let view = View { shape, tensors: &tensors };
        let gradient = gradient.to_contiguous();
        let (d_output, d_state) =
            values(&gradient).split_at(shape.num_rows * shape.num_tokens * shape.value_dim);
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
        [like(d_q, q), like(d_k, k), like(d_v, v), like(d_gates, gates), like(d_state, state)]
    }
}

//! Conversions between burn's tensors on CPUs and the slices that the kernels of `dtr-kernels` take.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Tensor, TensorData};
use dtr_kernels::RecurrenceShape;

/// Returns the primitive (the tensor type of burn's backend) of a tensor that is on a CPU and on no autodiff
/// graph.
pub(crate) fn into_flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor.try_into_primitive::<Flex>().expect("the tensor must be on a CPU, without autodiff")
}

/// Returns the tensor that holds a primitive.
pub(crate) fn from_flex<const D: usize>(primitive: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(primitive)
}

/// Returns the elements of a contiguous f32 tensor.
pub(crate) fn elements(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the tensor must be contiguous and f32")
}

/// Returns a tensor with the shape of `tensor` and the elements `elements`.
pub(crate) fn tensor_like(elements: Vec<f32>, tensor: &FlexTensor) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(elements, tensor.shape()))
}

/// Returns the sizes of a recurrence over queries `[b, h, t, k]` and values `[b, h, t, v]`.
pub(crate) fn recurrence_shape(q: &FlexTensor, v: &FlexTensor) -> RecurrenceShape {
    let (q, v) = (q.shape(), v.shape());
    RecurrenceShape { num_rows: q[0] * q[1], num_tokens: q[2], key_dim: q[3], value_dim: v[3] }
}

/// Returns `state_bhkv`. If there is no state, returns a state of zeros for these queries and values.
pub(crate) fn state_or_zeros(
    state_bhkv: Option<Tensor<4>>,
    q_bhtk: &Tensor<4>,
    v_bhtv: &Tensor<4>,
) -> Tensor<4> {
    let ([batch, heads, _, key], value) = (q_bhtk.dims(), v_bhtv.dims()[3]);
    state_bhkv.unwrap_or_else(|| Tensor::zeros([batch, heads, key, value], &q_bhtk.device()))
}

/// Splits the packed result of a recurrence: a vector of all outputs and then all last states. Returns the
/// outputs, `[b, h, t, v]`, and the states, `[b, h, k, v]`.
pub(crate) fn unpack_outputs_and_states(
    packed: Tensor<1>,
    [batch, heads, time, key]: [usize; 4],
    value: usize,
) -> (Tensor<4>, Tensor<4>) {
    let (outputs, states) = (batch * heads * time * value, batch * heads * key * value);
    (
        packed.clone().narrow(0, 0, outputs).reshape([batch, heads, time, value]),
        packed.narrow(0, outputs, states).reshape([batch, heads, key, value]),
    )
}

/// Returns the packed result of a recurrence as a tensor.
pub(crate) fn packed_tensor(packed: Vec<f32>) -> FlexTensor {
    let length = packed.len();
    FlexTensor::from_data(TensorData::new(packed, [length]))
}

//! Rotary position embedding on CPUs.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use dtr_kernels::RotaryInputs;

use crate::flex_tensors::{elements, from_flex, into_flex, tensor_like};

/// Rotates `x_bhtk` by the cosines and sines in `tables`, `[b or 1, 1, t, k/2]` each, outside of autodiff
/// graphs.
pub(super) fn rotate(x_bhtk: Tensor<4>, tables: [Tensor<4>; 2]) -> Tensor<4> {
    let [cos, sin] = tables.map(|table| into_flex(table).to_contiguous());
    let (x, strides) = with_contiguous_rows(into_flex(x_bhtk));
    let shape = x.shape();
    let outputs = dtr_kernels::rotary_embedding(RotaryInputs {
        batch: shape[0],
        heads: shape[1],
        time: shape[2],
        width: shape[3],
        x: &x.storage::<f32>()[x.layout().start_offset()..],
        strides,
        cos: elements(&cos),
        sin: elements(&sin),
    });
    from_flex(tensor_like(outputs, &x))
}

/// Returns a tensor `[b, h, t, k]` with contiguous rows, and the strides of the other axes. A tensor in the
/// layout of projections, `[b, t, h·k]`, is not copied.
fn with_contiguous_rows(x: FlexTensor) -> (FlexTensor, [usize; 3]) {
    let has_contiguous_rows = x.layout().has_positive_strides() && x.layout().strides()[3] == 1;
    let x = if has_contiguous_rows { x } else { x.to_contiguous() };
    let strides = [0, 1, 2].map(|axis| x.layout().strides()[axis].unsigned_abs());
    (x, strides)
}

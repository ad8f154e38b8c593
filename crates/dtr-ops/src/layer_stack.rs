//! Broadcasting of the parameters of a stack of layers.

use burn::tensor::Tensor;

/// Reshapes a parameter of stacked layers so that it broadcasts to the shape `dims`.
///
/// `row` holds `dims[D - 1]` elements for each layer. Dimension 0 of `dims` is the batch. It holds all
/// sequences of layer 0, then all sequences of layer 1, and so on.
pub(crate) fn broadcast_layer_parameter<const D: usize>(row: &Tensor<1>, dims: [usize; D]) -> Tensor<D> {
    let width = dims[D - 1];
    let layers = row.dims()[0] / width;
    if layers == 1 {
        return row.clone().unsqueeze::<D>();
    }
    let layer_rows = dims.iter().product::<usize>() / width / layers;
    row.clone().reshape([layers, 1, width]).expand([layers, layer_rows, width]).reshape(dims)
}

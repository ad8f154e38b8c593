//! Broadcasting of the parameters of a stack of layers.

use burn::tensor::Tensor;

/// Returns the parameter `row` as a tensor that broadcasts to a tensor of shape `dims`. `row` has
/// `dims[D - 1]` elements for each layer of a stack. The first dimension of `dims` is the batch, which holds
/// the sequences of all layers, one layer after another.
pub(crate) fn broadcast_layers<const D: usize>(row: &Tensor<1>, dims: [usize; D]) -> Tensor<D> {
    let width = dims[D - 1];
    let layers = row.dims()[0] / width;
    if layers == 1 {
        return row.clone().unsqueeze::<D>();
    }
    let layer_rows = dims.iter().product::<usize>() / width / layers;
    row.clone().reshape([layers, 1, width]).expand([layers, layer_rows, width]).reshape(dims)
}

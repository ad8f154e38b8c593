//! The mean squared error, which is the loss of layer-wise distillation.

#[cfg(feature = "cuda")]
mod cuda;

use burn::tensor::{DType, Tensor};

/// Returns the mean of `(a − b)²` for each layer, in f32, `[layers]`. The first dimension of both inputs
/// stacks the rows of `layers` layers. No gradient flows through `b_btd`.
pub fn mean_squared_error(a_btd: Tensor<3>, b_btd: Tensor<3>, layers: usize) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if crate::kernel_support::has_cuda_kernels(&a_btd) {
        return cuda::mean_squared_error(a_btd, b_btd, layers);
    }
    let squares = (a_btd.cast(DType::F32) - b_btd.cast(DType::F32)).square();
    match layers {
        1 => squares.mean(),
        _ => {
            let count = squares.shape().num_elements() / layers;
            squares.reshape([layers, count]).mean_dim(1).squeeze_dim(1)
        }
    }
}

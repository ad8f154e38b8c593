//! Losses and likelihoods.

use burn::tensor::{DType, Int, Tensor, activation::log_softmax};

#[cfg(feature = "cuda")]
use super::native::{Native, blocks, native};

/// The mean of `(a − b)²` over all elements, in f32; what `b` came of learns nothing by it.
pub fn mean_squared_error(a_btd: Tensor<3>, b_btd: Tensor<3>) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if native(&a_btd) == Some(Native::Cuda) {
        return blocks::squared_error(a_btd, b_btd);
    }
    (a_btd.cast(DType::F32) - b_btd.cast(DType::F32)).square().mean()
}

/// The log-probability of `targets_n` under `logits_nv`, `[n]`.
pub fn log_likelihoods(logits_nv: Tensor<2>, targets_n: Tensor<1, Int>) -> Tensor<1> {
    let rows = logits_nv.dims()[0];
    log_softmax(logits_nv.cast(DType::F32), 1).gather(1, targets_n.reshape([rows, 1])).reshape([rows])
}

/// The log-probability of `targets_n`, each under the logits `logits_pv` in the row that `rows_n` says, `[n]`.
pub fn log_likelihoods_at(
    logits_pv: Tensor<2>,
    rows_n: Tensor<1, Int>,
    targets_n: Tensor<1, Int>,
) -> Tensor<1> {
    let [rows, vocab] = logits_pv.dims();
    let places = rows_n.mul_scalar(vocab as i32) + targets_n;
    log_softmax(logits_pv.cast(DType::F32), 1).reshape([rows * vocab]).select(0, places)
}

/// The mean negative log-likelihood of `targets_n`.
pub fn cross_entropy(logits_nv: Tensor<2>, targets_n: Tensor<1, Int>) -> Tensor<1> {
    log_likelihoods(logits_nv, targets_n).mean().neg()
}

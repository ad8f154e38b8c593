//! Losses and likelihoods.

use burn::tensor::{DType, Int, Tensor, TensorData, activation::log_softmax};

use super::layout::exact_product;
#[cfg(feature = "cuda")]
use super::native::{Native, blocks, elements, native, native_frozen};

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

/// Logits that are made at a time: 256 MiB of them.
const LOGITS: usize = 1 << 26;

/// The log-probability of each wanted token under `x_pd · head_vdᵀ` in the row that goes with it. Of many rows some are done at a
/// time, so that all their logits need not be held.
pub fn log_likelihoods_of(x_pd: &Tensor<2>, head_vd: &Tensor<2>, wanted: &[(usize, u32)]) -> Vec<f32> {
    in_parts(x_pd, head_vd, wanted, (LOGITS / head_vd.dims()[0]).max(1))
}

/// The same of so many rows at a time.
pub(super) fn in_parts(
    x_pd: &Tensor<2>,
    head_vd: &Tensor<2>,
    wanted: &[(usize, u32)],
    at_once: usize,
) -> Vec<f32> {
    let (num_rows, device) = (x_pd.dims()[0], x_pd.device());
    let mut values = vec![f32::NAN; wanted.len()];
    for start in (0..num_rows).step_by(at_once) {
        let rows = start..num_rows.min(start + at_once);
        let own: Vec<usize> = (0..wanted.len()).filter(|&index| rows.contains(&wanted[index].0)).collect();
        if own.is_empty() {
            continue;
        }
        let numbers = |of: &dyn Fn((usize, u32)) -> usize| {
            let numbers: Vec<i32> = own.iter().map(|&index| of(wanted[index]) as i32).collect();
            Tensor::<1, Int>::from_data(TensorData::new(numbers, [own.len()]), (&device, DType::I32))
        };
        let logits = exact_product(x_pd.clone().narrow(0, start, rows.len()), head_vd);
        let found = log_likelihoods_at(
            logits,
            numbers(&|(row, _)| row - start),
            numbers(&|(_, token)| token as usize),
        );
        let found: Vec<f32> = found.into_data().try_to_vec().expect("likelihoods are f32");
        for (index, value) in own.into_iter().zip(found) {
            values[index] = value;
        }
    }
    values
}

/// The log-probability of `targets_n`, each under the logits `logits_pv` in the row that `rows_n` says, `[n]`.
fn log_likelihoods_at(logits_pv: Tensor<2>, rows_n: Tensor<1, Int>, targets_n: Tensor<1, Int>) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if native_frozen(&logits_pv) == Some(Native::Cuda) {
        return elements::log_likelihoods(logits_pv, rows_n, targets_n);
    }
    let [rows, vocab] = logits_pv.dims();
    let places = rows_n.mul_scalar(vocab as i32) + targets_n;
    log_softmax(logits_pv.cast(DType::F32), 1).reshape([rows * vocab]).select(0, places)
}

/// The mean negative log-likelihood of `targets_n`.
pub fn cross_entropy(logits_nv: Tensor<2>, targets_n: Tensor<1, Int>) -> Tensor<1> {
    log_likelihoods(logits_nv, targets_n).mean().neg()
}

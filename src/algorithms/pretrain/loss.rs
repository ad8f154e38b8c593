//! The loss of next-token prediction, and its gradient.

use burn::tensor::{DType, Int, Tensor, TensorData};

use dtr_model::optimizer::group_for_update;
use dtr_model::{AutodiffCopy, Decoder, Hybrid};
use dtr_ops::cross_entropy;

/// Returns the mean loss over the tokens of `rows`, and its gradient, grouped by [`group_for_update`].
pub(super) fn loss_and_gradient(decoder: &Decoder, rows: &[Vec<u32>]) -> (f64, Vec<Tensor<1>>) {
    let tracked = AutodiffCopy::new(decoder, DType::F32);
    let loss = next_token_loss(&tracked.0, rows);
    let value: f32 = loss.clone().inner().into_scalar();
    (f64::from(value), group_for_update(tracked.gradients(&loss)))
}

/// Returns the mean cross entropy of all tokens of `rows` but the first of each row. Each token is predicted
/// from the tokens before it.
fn next_token_loss(decoder: &Decoder, rows: &[Vec<u32>]) -> Tensor<1> {
    let time = rows[0].len() - 1;
    let inputs: Vec<Vec<u32>> = rows.iter().map(|row| row[..time].to_vec()).collect();
    let targets: Vec<i32> = rows.iter().flat_map(|row| row[1..].iter().map(|&id| id as i32)).collect();
    let hidden_btd = Hybrid::from_base(decoder).forward(&inputs, None, None);
    let [batch, _, width] = hidden_btd.dims();
    let logits_nv = decoder.logits(hidden_btd.reshape([batch * time, width]));
    let device = logits_nv.device();
    let targets_n = Tensor::<1, Int>::from_data(TensorData::new(targets, [batch * time]), &device);
    cross_entropy(logits_nv, targets_n)
}

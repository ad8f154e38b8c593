//! The loss of next-token prediction, and its gradient.

use burn::tensor::{DType, Int, Tensor, TensorData};

use dtr_model::optimizer::group_for_update;
use dtr_model::{AutodiffCopy, Decoder, Hybrid};

/// Returns the mean loss over the tokens of `rows`, and the gradient of the loss, grouped by
/// [`group_for_update`]. The forward and the backward pass use copies of the parameters in `dtype`.
pub(super) fn loss_and_gradient(
    decoder: &Decoder,
    rows: &[Vec<u32>],
    dtype: DType,
) -> (Tensor<1>, Vec<Tensor<1>>) {
    let tracked = AutodiffCopy::new(decoder, dtype);
    let loss = next_token_loss(&tracked.0, rows);
    (loss.clone().inner(), group_for_update(tracked.gradients(&loss)))
}

/// Returns the mean cross entropy of all tokens of `rows` except the first token of each row. Each token is
/// predicted from the preceding tokens of its row.
fn next_token_loss(decoder: &Decoder, rows: &[Vec<u32>]) -> Tensor<1> {
    let time = rows[0].len() - 1;
    let inputs: Vec<Vec<u32>> = rows.iter().map(|row| row[..time].to_vec()).collect();
    let targets: Vec<i32> = rows.iter().flat_map(|row| row[1..].iter().map(|&id| id as i32)).collect();
    let hidden_btd = Hybrid::from_base(decoder).forward_hidden(&inputs, None, None);
    let [batch, _, width] = hidden_btd.dims();
    let hidden_nd = hidden_btd.reshape([batch * time, width]);
    let targets_n = Tensor::<1, Int>::from_data(
        TensorData::new(targets, [batch * time]),
        (&hidden_nd.device(), DType::I32),
    );
    decoder.cross_entropy(hidden_nd, targets_n)
}

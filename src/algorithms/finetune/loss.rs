//! The loss of fine-tuning: the cross entropy of the tokens of completions.

use burn::tensor::DType;

use crate::algorithms::parallel::map_in_parallel_on_cpu;
use crate::algorithms::tuning::{TrainableDecoder, accumulate_gradients};
use crate::data::TrainingExample;
use dtr_core::error::Result;
use dtr_model::{Decoder, Hybrid, LossAndGradient};
use dtr_ops::{cross_entropy_loss, is_cpu};

/// Rows of equal lengths, and the tokens that are learned.
struct PaddedRows {
    /// The inputs of the examples. Shorter rows end with padding. No earlier token depends on the padding,
    /// because attention and linear blocks are causal.
    ids: Vec<Vec<u32>>,
    /// The learned tokens. Each is a pair: the index of the preceding token among the tokens of all rows, and
    /// the token.
    targets: Vec<(usize, u32)>,
}

impl PaddedRows {
    fn new(examples: &[&TrainingExample]) -> Self {
        let length = examples.iter().map(|example| example.inputs().len()).max().unwrap_or_default();
        let row = |example: &&TrainingExample| {
            let mut row = example.inputs().to_vec();
            row.resize(length, 0);
            row
        };
        let targets = examples.iter().enumerate().flat_map(|(row, example)| {
            example.targets().map(move |(position, token)| (row * length + position, token))
        });
        Self { ids: examples.iter().map(row).collect(), targets: targets.collect() }
    }
}

/// Returns micro-batches of at most `size` examples of similar lengths.
fn micro_batches(mut examples: Vec<&TrainingExample>, size: usize) -> Vec<Vec<&TrainingExample>> {
    examples.sort_by_key(|example| example.tokens.len());
    examples.chunks(size).map(<[_]>::to_vec).collect()
}

/// Returns the mean cross entropy of all tokens of the completions of `batch`, and the reduced gradient of this
/// mean. The pass computes in `dtype`.
///
/// # Errors
/// Fails if the device fails.
pub(super) fn completion_loss_and_gradient(
    model: &dyn TrainableDecoder,
    dtype: DType,
    batch: &[&TrainingExample],
    micro_batch_size: usize,
) -> Result<LossAndGradient> {
    let num_targets: usize = batch.iter().map(|example| example.num_targets()).sum();
    let micro_batches = micro_batches(batch.to_vec(), micro_batch_size);
    let micro_batches: Vec<&[&TrainingExample]> = micro_batches.iter().map(Vec::as_slice).collect();
    let (is_trained, reduce) =
        (|name: &str| model.is_trained(name), |name: &str, gradient| model.reduce(name, gradient));
    accumulate_gradients(&model.decoder().device(), &micro_batches, |examples| {
        let PaddedRows { ids, targets } = PaddedRows::new(examples);
        let head_loss = |head: &dtr_ops::HeadInputs<'_>, needs_head_gradient| {
            cross_entropy_loss(head, &targets, num_targets as f64, needs_head_gradient)
        };
        Ok(model.decoder().loss_and_reduced_gradient(&ids, dtype, &is_trained, &reduce, head_loss))
    })
}

/// Returns the sum of the cross entropies of all tokens of the completions of `examples`.
///
/// # Errors
/// Fails if the device fails.
pub(super) fn completion_loss_sum(
    decoder: &Decoder,
    examples: Vec<&TrainingExample>,
    micro_batch_size: usize,
) -> Result<f64> {
    let micro_batches = micro_batches(examples, micro_batch_size);
    let sums = map_in_parallel_on_cpu(is_cpu(&decoder.device()), micro_batches, |examples| {
        let PaddedRows { ids, targets } = PaddedRows::new(&examples);
        let hidden_btd = Hybrid::from_base(decoder).forward_hidden(&ids, None, None);
        let [batch, time, width] = hidden_btd.dims();
        let x_nd = hidden_btd.reshape([batch * time, width]);
        let log_likelihoods = decoder.log_likelihoods(x_nd, &targets);
        Ok(-log_likelihoods.into_iter().map(f64::from).sum::<f64>())
    })?;
    Ok(sums.into_iter().sum())
}

//! Passes of a model over examples, in micro-batches of padded rows.

use burn::tensor::DType;

use crate::algorithms::parallel::map_in_parallel_on_cpu;
use crate::algorithms::tuning::{TrainableDecoder, accumulate_gradients};
use crate::data::TrainingExample;
use dtr_core::error::Result;
use dtr_model::{Decoder, Hybrid, LossAndGradient};
use dtr_ops::{HeadInputs, HeadLoss, cross_entropy_loss, is_cpu};

/// An example and its index in the training part.
#[derive(Clone, Copy)]
pub struct IndexedExample<'a> {
    /// The index.
    pub index: usize,
    /// The example.
    pub example: &'a TrainingExample,
}

/// Rows of equal lengths, and the tokens that are learned.
pub struct PaddedRows {
    /// The inputs of the examples. Shorter rows end with padding. No earlier token depends on the padding,
    /// because attention and linear blocks are causal.
    pub ids: Vec<Vec<u32>>,
    /// The learned tokens. Each is a pair: the index of the preceding token among the tokens of all rows, and
    /// the token.
    pub targets: Vec<(usize, u32)>,
    /// The index of the example to which each learned token belongs.
    pub examples: Vec<usize>,
}

impl PaddedRows {
    fn new(examples: &[IndexedExample<'_>]) -> Self {
        let length = examples.iter().map(|one| one.example.inputs().len()).max().unwrap_or_default();
        let row = |one: &IndexedExample<'_>| {
            let mut row = one.example.inputs().to_vec();
            row.resize(length, 0);
            row
        };
        let targets = examples.iter().enumerate().flat_map(|(row, one)| {
            one.example.targets().map(move |(position, token)| (row * length + position, token))
        });
        let indices =
            examples.iter().flat_map(|one| std::iter::repeat_n(one.index, one.example.num_targets()));
        Self {
            ids: examples.iter().map(row).collect(),
            targets: targets.collect(),
            examples: indices.collect(),
        }
    }
}

/// Returns all examples with their indices.
pub fn with_indices(examples: &[TrainingExample]) -> Vec<IndexedExample<'_>> {
    examples.iter().enumerate().map(|(index, example)| IndexedExample { index, example }).collect()
}

/// Returns the number of tokens of all completions.
pub fn num_targets(examples: &[IndexedExample<'_>]) -> usize {
    examples.iter().map(|one| one.example.num_targets()).sum()
}

/// Returns micro-batches of at most `size` examples of similar lengths.
fn micro_batches(mut examples: Vec<IndexedExample<'_>>, size: usize) -> Vec<Vec<IndexedExample<'_>>> {
    examples.sort_by_key(|one| one.example.tokens.len());
    examples.chunks(size).map(<[_]>::to_vec).collect()
}

/// Adds up a loss of the micro-batches of `batch`, and its reduced gradient. `loss` returns the loss of the
/// rows of a micro-batch and its gradient.
///
/// # Errors
/// Fails if the device fails.
pub(super) fn batch_loss_and_gradient(
    model: &dyn TrainableDecoder,
    batch: Vec<IndexedExample<'_>>,
    micro_batch_size: usize,
    loss: impl Fn(&PaddedRows) -> LossAndGradient + Send + Sync,
) -> Result<LossAndGradient> {
    let micro_batches = micro_batches(batch, micro_batch_size);
    let micro_batches: Vec<&[IndexedExample<'_>]> = micro_batches.iter().map(Vec::as_slice).collect();
    accumulate_gradients(&model.decoder().device(), &micro_batches, |examples| {
        Ok(loss(&PaddedRows::new(examples)))
    })
}

/// Returns a loss of `model` on `rows`, and its reduced gradient. `head_loss` computes the loss from the inputs of
/// the output head. The pass computes in `dtype`.
pub fn loss_and_gradient_of_rows(
    model: &dyn TrainableDecoder,
    dtype: DType,
    rows: &PaddedRows,
    head_loss: impl FnOnce(&HeadInputs<'_>, bool) -> HeadLoss + Send,
) -> LossAndGradient {
    let (is_trained, reduce) =
        (|name: &str| model.is_trained(name), |name: &str, gradient| model.reduce(name, gradient));
    model.decoder().loss_and_reduced_gradient(&rows.ids, dtype, &is_trained, &reduce, head_loss)
}

/// Returns the cross entropy of the tokens of the completions in `rows`, divided by `divisor`, and its gradient.
pub(super) fn cross_entropy_of_rows(
    model: &dyn TrainableDecoder,
    dtype: DType,
    rows: &PaddedRows,
    divisor: f64,
) -> LossAndGradient {
    loss_and_gradient_of_rows(model, dtype, rows, |head, needs_head_gradient| {
        cross_entropy_loss(head, &rows.targets, divisor, needs_head_gradient)
    })
}

/// Calls `measure` with the rows of each micro-batch of `examples`. Returns the results.
///
/// # Errors
/// Fails if the device fails.
pub fn map_rows<T: Send>(
    is_cpu: bool,
    examples: Vec<IndexedExample<'_>>,
    micro_batch_size: usize,
    measure: impl Fn(&PaddedRows) -> T + Send + Sync,
) -> Result<Vec<T>> {
    let micro_batches = micro_batches(examples, micro_batch_size);
    map_in_parallel_on_cpu(is_cpu, micro_batches, |examples| Ok(measure(&PaddedRows::new(&examples))))
}

/// Returns the log-likelihoods of the learned tokens of `rows`.
fn log_likelihoods(decoder: &Decoder, rows: &PaddedRows) -> Vec<f32> {
    let hidden_btd = Hybrid::from_base(decoder).forward_hidden(&rows.ids, None, None);
    let [batch, time, width] = hidden_btd.dims();
    decoder.log_likelihoods(hidden_btd.reshape([batch * time, width]), &rows.targets)
}

/// Returns the sum of the cross entropies of all tokens of the completions of `examples`.
///
/// # Errors
/// Fails if the device fails.
pub(super) fn completion_loss_sum(
    decoder: &Decoder,
    examples: Vec<IndexedExample<'_>>,
    micro_batch_size: usize,
) -> Result<f64> {
    let sums = map_rows(is_cpu(&decoder.device()), examples, micro_batch_size, |rows| {
        -log_likelihoods(decoder, rows).into_iter().map(f64::from).sum::<f64>()
    })?;
    Ok(sums.into_iter().sum())
}

/// Returns the mean cross entropy of the completion of each of `examples`, in nats per token.
///
/// # Errors
/// Fails if the device fails.
pub fn completion_losses(
    decoder: &Decoder,
    examples: &[TrainingExample],
    micro_batch_size: usize,
) -> Result<Vec<f64>> {
    let found = map_rows(is_cpu(&decoder.device()), with_indices(examples), micro_batch_size, |rows| {
        let log_likelihoods = log_likelihoods(decoder, rows);
        rows.examples.iter().copied().zip(log_likelihoods).collect::<Vec<(usize, f32)>>()
    })?;
    let mut losses = vec![0.0; examples.len()];
    for (index, log_likelihood) in found.into_iter().flatten() {
        losses[index] -= f64::from(log_likelihood) / examples[index].num_targets() as f64;
    }
    Ok(losses)
}

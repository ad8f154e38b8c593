//! The paper's impact score: the loss of accuracy of linear probes when one layer is replaced.
//!
//! The impact of a layer is `1 - (L + C) / 2F`. `F` is the accuracy of probes that are trained and tested on
//! the base's hidden states after the layer. `L` is the accuracy of probes that are trained and tested on the
//! states with the layer replaced. For `C`, the probes are trained on the base's states, as for `F`, and
//! tested on the states with the layer replaced. Layers with a low impact are replaced first.
//!
//! The paper does not specify the probes' inputs and outputs. Here, a probe reads the hidden state of the
//! prompt's last token and predicts the text of the right choice. If the base's states hold little
//! information about the answer, `F` is low and the impact is mostly noise.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use dtr_core::error::{Error, Result};
use dtr_model::{Decoder, Hybrid, Mask, PrefixTreeStates, Twins};

use super::batch::Batch;
use super::pass_limits::PassLimits;
use super::probe::{GramMatrix, cross_validated_accuracy};
use crate::data::scoring_requests::ScoringRequests;
use crate::observer::Observer;

/// The maximum number of items for training and testing probes. These items are spread evenly over the split.
const MAX_ITEMS: usize = 512;

/// Returns the impact of each layer of `base` on the items of `requests`.
///
/// # Errors
/// Fails if the items have too many different right answers for probes to learn, or if the user asked to
/// stop.
pub fn compute_probe_impacts(
    base: &Decoder,
    twins: &Twins,
    requests: &ScoringRequests,
    observer: &dyn Observer,
) -> Result<Vec<f64>> {
    let num_items = requests.items().len();
    let num_probed = num_items.min(MAX_ITEMS);
    let items: Vec<usize> = (0..num_probed).map(|index| index * num_items / num_probed).collect();
    let classes = answer_classes(requests, &items)?;
    let mut states = PromptStates::new(base, requests, &items);
    let impact_of_layer = |layer| {
        observer.check_interrupted()?;
        let (full, linear) = states.advance(base, twins, layer);
        Ok(compute_impact(&classes, full, linear))
    };
    (0..base.config.num_layers).map(impact_of_layer).collect()
}

/// Returns the class of each item. Two items have the same class if their right choices have the same text.
fn answer_classes(requests: &ScoringRequests, items: &[usize]) -> Result<Vec<usize>> {
    let answer = |item: &usize| {
        let item = &requests.items()[*item];
        item.choices[item.label].as_str()
    };
    let answers: BTreeSet<&str> = items.iter().map(answer).collect();
    if 2 * answers.len() > items.len() {
        return Err(Error::failed(format!(
            "cannot train probes: {} items of the task have {} different right answers",
            items.len(),
            answers.len()
        ))
        .hint("choose another `search.strategy`: `impact` needs a task with few different answers"));
    }
    let classes: BTreeMap<&str, usize> =
        answers.into_iter().enumerate().map(|(class, answer)| (answer, class)).collect();
    Ok(items.iter().map(|item| classes[answer(item)]).collect())
}

/// Returns the impact of a layer. `full_nd` holds the base's states after the layer. `linear_nd` holds the
/// states with the layer replaced. The shape of both tensors is `[items, width]`.
fn compute_impact(classes: &[usize], full_nd: Tensor<2>, linear_nd: Tensor<2>) -> f64 {
    let (full_nd, linear_nd) = (normalize(full_nd), normalize(linear_nd));
    // The mean is the same for all items and carries no information about the class.
    let mean_1d = full_nd.clone().mean_dim(0);
    let (full_nd, linear_nd) = (full_nd - mean_1d.clone(), linear_nd - mean_1d);
    let full_full = gram_matrix(&full_nd, &full_nd);
    let linear_linear = gram_matrix(&linear_nd, &linear_nd);
    let linear_full = gram_matrix(&linear_nd, &full_nd);
    let full_accuracy = cross_validated_accuracy(classes, &full_full, &full_full);
    // If the base's states hold no information about the class, a replacement cannot lose information.
    if full_accuracy == 0.0 {
        return 0.0;
    }
    let linear_accuracy = cross_validated_accuracy(classes, &linear_linear, &linear_linear);
    let cross_accuracy = cross_validated_accuracy(classes, &full_full, &linear_full);
    1.0 - (linear_accuracy + cross_accuracy) / (2.0 * full_accuracy)
}

/// Scales each state to length 1. The norm layers of the model discard the length of a state in the same way.
fn normalize(x_nd: Tensor<2>) -> Tensor<2> {
    let length_n1 = x_nd.clone().square().sum_dim(1).sqrt().clamp_min(f32::MIN_POSITIVE);
    x_nd / length_n1
}

fn gram_matrix(one_nd: &Tensor<2>, other_nd: &Tensor<2>) -> GramMatrix {
    let products_nn = one_nd.clone().matmul(other_nd.clone().transpose());
    let size = products_nn.dims()[1];
    let values: Vec<f32> = products_nn.into_data().try_to_vec().expect("products are f32");
    GramMatrix(values.chunks(size).map(|row| row.iter().map(|&value| f64::from(value)).collect()).collect())
}

/// The base's hidden states at the last token of each item's prompt, layer by layer.
struct PromptStates {
    batches: Vec<PromptBatch>,
    /// The row of each item's prompt in the concatenated states of all batches.
    indices: Vec<i32>,
}

/// A batch of rows, with the base's hidden states before the next layer.
struct PromptBatch {
    batch: Batch,
    states: PrefixTreeStates,
    /// The indices of the prompts' last tokens among all tokens of the batch.
    last_tokens: Vec<i32>,
}

impl PromptStates {
    fn new(base: &Decoder, requests: &ScoringRequests, items: &[usize]) -> Self {
        let probed: BTreeSet<usize> = items.iter().copied().collect();
        let (mut batches, mut index_of_item) = (Vec::new(), BTreeMap::new());
        let limits = PassLimits::new(base);
        for groups in requests.passes(limits.pass_tokens) {
            let batch = Batch::new(base, requests, &groups, limits.block_overhead);
            let mut last_tokens = Vec::new();
            for (item, index) in last_prompt_tokens(&batch).filter(|(item, _)| probed.contains(item)) {
                index_of_item.insert(item, index_of_item.len() as i32);
                last_tokens.push(index as i32);
            }
            if !last_tokens.is_empty() {
                let states = batch.states_before(base, 0);
                batches.push(PromptBatch { batch, states, last_tokens });
            }
        }
        Self { batches, indices: items.iter().map(|item| index_of_item[item]).collect() }
    }

    /// Runs `layer` twice: with full attention, and with its twin. `layer` must be the next layer. Returns
    /// the hidden states of the two runs at the last tokens of the prompts, `[items, width]` each. The rows
    /// are in the order of the items.
    fn advance(&mut self, base: &Decoder, twins: &Twins, layer: usize) -> (Tensor<2>, Tensor<2>) {
        let full = Hybrid::from_base(base);
        let linear = Hybrid::new(base, twins, &Mask::empty().with_layer(layer as u32));
        let states: Vec<_> =
            self.batches.par_iter_mut().map(|batch| batch.advance(&full, &linear, layer)).collect();
        let (full, linear): (Vec<_>, Vec<_>) = states.into_iter().unzip();
        let in_item_order = |states| select_rows(Tensor::cat(states, 0), &self.indices);
        (in_item_order(full), in_item_order(linear))
    }
}

impl PromptBatch {
    fn advance(&mut self, full: &Hybrid<'_>, linear: &Hybrid<'_>, layer: usize) -> (Tensor<2>, Tensor<2>) {
        let run =
            |hybrid: &Hybrid<'_>| hybrid.run_layers(layer..layer + 1, self.states.clone(), self.batch.tree());
        let (full, linear) = (run(full), run(linear));
        let at_last_tokens = |states: PrefixTreeStates| select_rows(states.flatten(), &self.last_tokens);
        let states = (at_last_tokens(full.clone()), at_last_tokens(linear));
        self.states = full;
        states
    }
}

/// Returns pairs of an item and the last token of the item's prompt, as indices. There is one pair for each
/// item whose first choice is in the batch.
fn last_prompt_tokens(batch: &Batch) -> impl Iterator<Item = (usize, usize)> {
    let targets = batch.indexed_targets().iter();
    let first = targets.filter(|(_, target)| target.is_first && target.choice == 0);
    first.map(|(index, target)| (target.item, *index))
}

fn select_rows(x_nd: Tensor<2>, rows: &[i32]) -> Tensor<2> {
    let rows = TensorData::new(rows.to_vec(), [rows.len()]);
    let device = x_nd.device();
    x_nd.select(0, Tensor::<1, Int>::from_data(rows, &device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::score::tests::base;
    use crate::data::{Metric, Task, TaskSource};
    use crate::data::{Split, load_items, synthetic_tokenizer};
    use crate::observer::NullObserver;
    use dtr_model::testing::{twins, variants};
    use dtr_model::{Mixer, Tokenizer};

    fn requests(tokenizer: &Tokenizer, kind: &str) -> ScoringRequests {
        let source = serde_json::json!({ "kind": kind, "validation-items": 60 });
        let task = Task { source: TaskSource::Synthetic(serde_json::from_value(source).unwrap()) };
        ScoringRequests::new(tokenizer, load_items(&task, Split::Validation).unwrap(), Metric::Acc, 128)
            .unwrap()
    }

    fn attention(base: &Decoder) -> Twins {
        let layers = 0..base.config.num_layers;
        Twins { layers: layers.map(|layer| Mixer::Full(base.attention(layer).clone())).collect() }
    }

    #[test]
    fn a_twin_equal_to_its_layer_has_no_impact_and_does_not_change_the_impact_of_others() {
        let tokenizer = Tokenizer::from(synthetic_tokenizer().unwrap());
        let (base, requests) = (base(&tokenizer), requests(&tokenizer, "topic"));
        assert_eq!(
            compute_probe_impacts(&base, &attention(&base), &requests, &NullObserver).unwrap(),
            [0.0; 4]
        );
        let other = twins(&variants()[0], &base);
        let all = compute_probe_impacts(&base, &other, &requests, &NullObserver).unwrap();
        assert!(all.iter().any(|impact| *impact != 0.0), "{all:?}");
        for layer in 0..4 {
            let mut some = attention(&base);
            some.layers[layer] = other.layers[layer].clone();
            let mut expected = [0.0; 4];
            expected[layer] = all[layer];
            assert_eq!(compute_probe_impacts(&base, &some, &requests, &NullObserver).unwrap(), expected);
        }
    }

    #[test]
    fn a_task_whose_items_share_no_answers_is_an_error() {
        let tokenizer = Tokenizer::from(synthetic_tokenizer().unwrap());
        let mut items = requests(&tokenizer, "topic").items().to_vec();
        items.truncate(3);
        let requests = ScoringRequests::new(&tokenizer, items, Metric::Acc, 128).unwrap();
        let base = base(&tokenizer);
        let error = compute_probe_impacts(&base, &attention(&base), &requests, &NullObserver).unwrap_err();
        assert!(error.to_string().contains("3 items of the task have"), "{error}");
    }
}

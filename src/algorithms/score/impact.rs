//! The paper's impact score: what a task's answers lose, as linear probes read them, where one layer is replaced.
//!
//! Impact is 1 - (L + C) / 2F. F is the accuracy of probes on the base's hidden states after the layer, L that of probes
//! on the states with the layer replaced, C that of the first probes asked of the latter states. A low impact says to
//! replace the layer early. The paper leaves open what a probe sees and says; here it sees the last token of the
//! prompt and says which text is the right choice. Where the base's states tell little more than a guess, so that F is
//! low, an impact is mostly noise.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use super::TOKENS_PER_PASS;
use super::batch::Batch;
use super::probe::{Products, accuracy};
use crate::data::requests::Requests;
use crate::observer::Observer;
use dtr_core::error::{Error, Result};
use dtr_model::{Decoder, Hybrid, Mask, PrefixTreeStates, Twins};

/// Items that probes learn from at most, taken evenly; bounds the equations that are solved.
const MOST_ITEMS: usize = 512;

/// The impact of each layer of `base` on the items of `requests`, each replaced alone.
///
/// # Errors
/// When hardly any two items have the same right answer, so that no probe could learn one; and when the observer asks
/// to stop.
pub fn impacts(
    base: &Decoder,
    twins: &Twins,
    requests: &Requests,
    observer: &dyn Observer,
) -> Result<Vec<f64>> {
    let num_items = requests.items().len();
    let num_probed = num_items.min(MOST_ITEMS);
    let items: Vec<usize> = (0..num_probed).map(|place| place * num_items / num_probed).collect();
    let classes = classes(requests, &items)?;
    let mut states = States::new(base, requests, &items);
    let of_layer = |layer| {
        observer.check()?;
        let (full, linear) = states.after(base, twins, layer);
        Ok(impact(&classes, full, linear))
    };
    (0..base.layers.len()).map(of_layer).collect()
}

/// A class for each text that is some item's right choice.
fn classes(requests: &Requests, items: &[usize]) -> Result<Vec<usize>> {
    let answer = |item: &usize| {
        let item = &requests.items()[*item];
        item.choices[item.label].as_str()
    };
    let names: BTreeSet<&str> = items.iter().map(answer).collect();
    if 2 * names.len() > items.len() {
        return Err(Error::failed(format!(
            "the right answers of the task are {} texts for {} items, too many for probes to learn",
            names.len(),
            items.len()
        ))
        .hint("`impact` is for tasks whose items share their answers; choose another `search.strategy`"));
    }
    let numbers: BTreeMap<&str, usize> =
        names.into_iter().enumerate().map(|(number, name)| (name, number)).collect();
    Ok(items.iter().map(|item| numbers[answer(item)]).collect())
}

fn impact(classes: &[usize], full: Tensor<2>, linear: Tensor<2>) -> f64 {
    let (full, linear) = (unit(full), unit(linear));
    // What all states share tells nothing apart.
    let shared = full.clone().mean_dim(0);
    let (full, linear) = (full - shared.clone(), linear - shared);
    let (own, of_linear, across) =
        (products(&full, &full), products(&linear, &linear), products(&linear, &full));
    let told = accuracy(classes, &own, &own);
    // Where the base's states tell nothing, nothing can be lost.
    if told == 0.0 {
        return 0.0;
    }
    let kept = accuracy(classes, &of_linear, &of_linear) + accuracy(classes, &own, &across);
    1.0 - kept / (2.0 * told)
}

/// States of length 1, as a norm comes before whatever reads them.
fn unit(x_nd: Tensor<2>) -> Tensor<2> {
    let length = x_nd.clone().square().sum_dim(1).sqrt().clamp_min(f32::MIN_POSITIVE);
    x_nd / length
}

fn products(one_nd: &Tensor<2>, other_nd: &Tensor<2>) -> Products {
    let products_nn = one_nd.clone().matmul(other_nd.clone().transpose());
    let size = products_nn.dims()[1];
    let values: Vec<f32> = products_nn.into_data().try_to_vec().expect("products are f32");
    Products(values.chunks(size).map(|row| row.iter().map(|&value| f64::from(value)).collect()).collect())
}

/// The hidden states of a base at the last token of each item's prompt, layer by layer.
struct States {
    batches: Vec<Progress>,
    /// Where each item's prompt stands among those of all batches.
    places: Vec<i32>,
}

/// Rows that go through the layers together.
struct Progress {
    batch: Batch,
    /// The base's hidden states before the next layer.
    hidden: PrefixTreeStates,
    /// Where among all tokens of the rows the prompts end.
    ends: Vec<i32>,
}

impl States {
    fn new(base: &Decoder, requests: &Requests, items: &[usize]) -> Self {
        let wanted: BTreeSet<usize> = items.iter().copied().collect();
        let (mut batches, mut found) = (Vec::new(), BTreeMap::new());
        for groups in requests.passes(TOKENS_PER_PASS) {
            let batch = Batch::new(base, requests, &groups);
            let mut ends = Vec::new();
            for (item, place) in prompts(&batch).filter(|(item, _)| wanted.contains(item)) {
                found.insert(item, found.len() as i32);
                ends.push(place as i32);
            }
            if !ends.is_empty() {
                let hidden = batch.before(base, 0);
                batches.push(Progress { batch, hidden, ends });
            }
        }
        Self { batches, places: items.iter().map(|item| found[item]).collect() }
    }

    /// The states after the next layer, `[n, d]` in the order of the items: the base's own, and those with that layer
    /// replaced.
    fn after(&mut self, base: &Decoder, twins: &Twins, layer: usize) -> (Tensor<2>, Tensor<2>) {
        let (own, replaced) =
            (Hybrid::base(base), Hybrid::new(base, twins, &Mask::none().with(layer as u32)));
        let states: Vec<_> =
            self.batches.par_iter_mut().map(|progress| progress.advance(&own, &replaced, layer)).collect();
        let (full, linear): (Vec<_>, Vec<_>) = states.into_iter().unzip();
        let in_order = |states| select(Tensor::cat(states, 0), &self.places);
        (in_order(full), in_order(linear))
    }
}

impl Progress {
    fn advance(&mut self, own: &Hybrid<'_>, replaced: &Hybrid<'_>, layer: usize) -> (Tensor<2>, Tensor<2>) {
        let after =
            |hybrid: &Hybrid<'_>| hybrid.run(layer..layer + 1, self.hidden.clone(), self.batch.tree());
        let (full, linear) = (after(own), after(replaced));
        let at_ends = |states: PrefixTreeStates| select(states.flat(), &self.ends);
        let states = (at_ends(full.clone()), at_ends(linear));
        self.hidden = full;
        states
    }
}

/// The items whose first choice is among the rows, and where among their tokens the prompts end.
fn prompts(batch: &Batch) -> impl Iterator<Item = (usize, usize)> {
    let first = batch.wanted().iter().filter(|(_, target)| target.is_first && target.choice == 0);
    first.map(|(place, target)| (target.item, *place))
}

fn select(x_nd: Tensor<2>, rows: &[i32]) -> Tensor<2> {
    let rows = TensorData::new(rows.to_vec(), [rows.len()]);
    let device = x_nd.device();
    x_nd.select(0, Tensor::<1, Int>::from_data(rows, &device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::score::tests::base;
    use crate::data::{Split, items, synthetic_tokenizer};
    use crate::manifest::{Metric, Task, TaskSource};
    use crate::observer::Silent;
    use dtr_model::Tokenizer;
    use dtr_model::testing::{twins, variants};

    fn requests(tokenizer: &Tokenizer, kind: &str) -> Requests {
        let source = serde_json::json!({ "kind": kind, "validation-items": 60 });
        let task = Task { source: TaskSource::Synthetic(serde_json::from_value(source).unwrap()) };
        Requests::new(tokenizer, items(&task, Split::Validation).unwrap(), Metric::Acc, 128).unwrap()
    }

    fn attention(base: &Decoder) -> Twins {
        Twins { layers: base.layers.iter().map(|layer| layer.attention.clone()).collect() }
    }

    #[test]
    fn a_twin_that_answers_as_its_layer_has_no_impact_and_others_have_their_own() {
        let tokenizer = Tokenizer::from(synthetic_tokenizer().unwrap());
        let (base, requests) = (base(&tokenizer), requests(&tokenizer, "topic"));
        assert_eq!(impacts(&base, &attention(&base), &requests, &Silent).unwrap(), [0.0; 4]);
        let other = twins(&variants()[0], &base);
        let whole = impacts(&base, &other, &requests, &Silent).unwrap();
        assert!(whole.iter().any(|impact| *impact != 0.0), "{whole:?}");
        for layer in 0..4 {
            let mut some = attention(&base);
            some.layers[layer] = other.layers[layer].clone();
            let mut expected = [0.0; 4];
            expected[layer] = whole[layer];
            assert_eq!(impacts(&base, &some, &requests, &Silent).unwrap(), expected);
        }
    }

    #[test]
    fn answers_that_hardly_any_items_share_are_refused() {
        let tokenizer = Tokenizer::from(synthetic_tokenizer().unwrap());
        let mut items = requests(&tokenizer, "topic").items().to_vec();
        items.truncate(3);
        let apart = Requests::new(&tokenizer, items, Metric::Acc, 128).unwrap();
        let base = base(&tokenizer);
        let error = impacts(&base, &attention(&base), &apart, &Silent).unwrap_err();
        assert!(error.to_string().contains("texts for 3 items"), "{error}");
    }
}

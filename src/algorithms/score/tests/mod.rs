//! Tests that caching, batching and pruning do not change scores.

#[cfg(feature = "cuda")]
mod gpu;
mod shared_prefixes;

use std::path::Path;
use std::sync::Mutex;

use burn::tensor::Device;

use shared_prefixes::{byte_level_tokenizer, requests_with_shared_prefixes};

use super::accumulator::TokenLogLikelihood;
use super::batch::Batch;
use super::*;
use crate::algorithms::candidate::{Candidate, PruneBelow};
use crate::data::scoring_requests::ScoringRequests;
use crate::data::{Item, Split, load_items, synthetic_tokenizer};
use crate::data::{Metric, Task, TaskSource};
use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::TwinVariant;
use dtr_model::testing::{twins, variants};
use dtr_model::{BaseModel, Decoder, DecoderShape, Hybrid, Mask, PartialRun, RandomParams, Tokenizer};

fn recall_items() -> Vec<Item> {
    let source = serde_json::json!({ "kind": "recall", "validation-items": 20 });
    let task = Task { source: TaskSource::Synthetic(serde_json::from_value(source).unwrap()) };
    load_items(&task, Split::Validation).unwrap()
}

fn requests(tokenizer: &Tokenizer) -> ScoringRequests {
    ScoringRequests::new(tokenizer, recall_items(), Metric::Acc, 128).unwrap()
}

/// Returns a random base of four layers with the vocabulary of `tokenizer`.
pub fn base(tokenizer: &Tokenizer) -> Decoder {
    let architecture = serde_json::json!({
        "hidden-size": 24, "intermediate-size": 40, "num-layers": 4,
        "num-heads": 6, "num-kv-heads": 2, "head-dim": 4,
    });
    let config = serde_json::from_value::<DecoderShape>(architecture)
        .unwrap()
        .llama_config(tokenizer.vocab_size(), 128);
    Decoder::new(&config, &mut RandomParams::new(Seed(3), &Device::flex())).unwrap()
}

/// Returns each variant twice: with items of one row each, and with items whose rows share a prefix.
fn cases() -> impl Iterator<Item = (TwinVariant, Decoder, ScoringRequests)> {
    variants().into_iter().flat_map(|variant| {
        let (words, bytes) = (Tokenizer::from(synthetic_tokenizer().unwrap()), byte_level_tokenizer());
        let of_one_row = (variant.clone(), base(&words), requests(&words));
        [of_one_row, (variant, base(&bytes), requests_with_shared_prefixes())]
    })
}

#[test]
fn cached_hidden_states_change_no_bit_of_a_score() {
    for (variant, base, requests) in cases() {
        let twins = twins(&variant, &base);
        let mut scorer = Scorer::new(&base, Some(&twins), &requests);
        let fresh =
            |mask: &Mask| Scorer::new(&base, Some(&twins), &requests).score(&Mask::empty(), mask).unwrap();
        // Up to `[2, 0, 3]`, each incumbent extends the previous one, as in a search. `[1]` and `[]` do not
        // extend the previous incumbent.
        for incumbent in [&[][..], &[2], &[2, 0], &[2, 0, 3], &[1], &[]] {
            let incumbent: Mask = incumbent.iter().copied().collect();
            for layer in [0, 1, 2, 3, 1] {
                let mask = incumbent.with_layer(layer);
                assert_eq!(scorer.score(&incumbent, &mask).unwrap(), fresh(&mask), "{incumbent:?} {mask:?}");
            }
        }
        assert_ne!(fresh(&Mask::empty()), fresh(&Mask::empty().with_layer(0)), "twins must change scores");
    }
}

#[test]
fn the_size_and_the_order_of_batches_change_no_bit_of_a_score() {
    let tokenizer = Tokenizer::from(synthetic_tokenizer().unwrap());
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    let bases = [base(&tokenizer), BaseModel::read(&mini, &Device::flex()).unwrap().decoder];
    let mut backwards = recall_items();
    // These items have shorter prompts, so that passes need padding.
    backwards.extend(recall_items().into_iter().map(|item| Item {
        id: format!("short {}", item.id),
        prompt: item.prompt.split_once(". ").unwrap().1.to_owned(),
        ..item
    }));
    let forwards = ScoringRequests::new(&tokenizer, backwards.clone(), Metric::Acc, 128).unwrap();
    backwards.reverse();
    let backwards = ScoringRequests::new(&tokenizer, backwards, Metric::Acc, 128).unwrap();
    for (variant, base) in variants().iter().flat_map(|variant| bases.iter().map(move |base| (variant, base)))
    {
        let twins = twins(variant, base);
        let score = |tokens: usize, requests: &ScoringRequests| {
            let mask = Mask::empty().with_layer(1).with_layer(2);
            let mut scorer = Scorer::from_passes(vec![requests.passes(tokens)], base, Some(&twins), requests);
            let mut items = scorer.score(&Mask::empty(), &mask).unwrap().items;
            items.sort_by(|one, other| one.id().cmp(other.id()));
            items
        };
        let alone = score(1, &forwards);
        for (tokens, requests) in [(150, &forwards), (4096, &forwards), (400, &backwards)] {
            for (one, other) in alone.iter().zip(score(tokens, requests)) {
                assert_eq!(*one, other, "in passes of {tokens} tokens");
            }
        }
    }
}

/// Also tests that `prune_with_known_score` and `score_with_pruning` return the same result. The score of a
/// candidate that is not pruned must be the same as without a threshold.
#[test]
fn a_candidate_that_cannot_win_is_pruned_with_bounds_of_its_score() {
    let none = Mask::empty();
    let mut num_pruned = 0;
    for (variant, base, requests) in cases() {
        let twins = twins(&variant, &base);
        let own = Scorer::new(&base, Some(&twins), &requests).score(&none, &none).unwrap();
        for layer in 0..4 {
            let mask = none.with_layer(layer);
            let mut scorer = Scorer::with_pruning_parts(&base, Some(&twins), &requests, &own);
            let whole = scorer.score(&none, &mask).unwrap();
            assert_eq!(whole.num_items, requests.items().len() as u64);
            for least in [0.2, 0.3, 0.5, 0.9] {
                let prune_below = Some(PruneBelow { score: least, prunes_ties: false });
                let candidate = Candidate { incumbent: &none, mask: &mask, prune_below };
                let scored = scorer.score_with_pruning(&[candidate]).unwrap().remove(0).score;
                assert_eq!(scorer.prune_with_known_score(&candidate, whole.clone()), scored);
                match scored {
                    CandidateScore::Complete(result) => assert_eq!(result, whole),
                    CandidateScore::Pruned { bounds, tokens } => {
                        num_pruned += 1;
                        assert!(bounds.upper < least && tokens < whole.tokens);
                        assert!((bounds.lower..=bounds.upper).contains(&whole.score), "{bounds:?}");
                    }
                }
            }
        }
    }
    assert!(num_pruned > 20, "{num_pruned}");
}

/// A queue that hands every part to two scorers in turn, the last part first.
struct BackwardQueue<'a>(Mutex<(GroupScores<'a>, Vec<OpenParts>)>);

impl<'a> BackwardQueue<'a> {
    fn new(scores: GroupScores<'a>) -> Self {
        let open = |part| OpenParts { parts: part..part + 1, candidates: scores.open_candidates() };
        let parts = (0..scores.num_parts()).map(open).collect();
        Self(Mutex::new((scores, parts)))
    }
}

impl PartQueue for BackwardQueue<'_> {
    fn next(&self, _cost: &dyn Fn(usize) -> usize) -> Result<Option<OpenParts>> {
        Ok(self.0.lock().unwrap().1.pop())
    }

    fn add(&self, parts: OpenParts, scores: Vec<PartScore>) -> Result<()> {
        // Processes exchange scores as JSON.
        let json = serde_json::to_string(&scores).unwrap();
        self.0.lock().unwrap().0.add(parts, serde_json::from_str(&json).unwrap());
        Ok(())
    }
}

/// One scorer scores some parts, and another scorer all earlier ones. No part is scored in its order, so the
/// pruning is known only at the end.
#[test]
fn parts_of_several_scorers_in_any_order_give_the_scores_and_bounds_of_one_scorer() {
    let (none, mut num_pruned) = (Mask::empty(), 0);
    for (variant, base, requests) in cases() {
        let twins = twins(&variant, &base);
        let own = Scorer::new(&base, Some(&twins), &requests).score(&none, &none).unwrap();
        let masks = [0, 1, 2, 3].map(|layer| none.with_layer(layer));
        let candidates: Vec<Candidate<'_>> = masks
            .iter()
            .zip([Some(0.9), None, Some(0.3), Some(0.2)])
            .map(|(mask, least)| {
                let prune_below = least.map(|score| PruneBelow { score, prunes_ties: true });
                Candidate { incumbent: &none, mask, prune_below }
            })
            .collect();
        let new_scorer = || Scorer::with_pruning_parts(&base, Some(&twins), &requests, &own);
        let alone = new_scorer().score_with_pruning(&candidates).unwrap();
        let scores = new_scorer().group_scores(&candidates);
        assert!(scores.num_parts() > 2);
        let queue = BackwardQueue::new(scores);
        let mut earlier = queue.0.lock().unwrap().1.drain(..2).collect();
        new_scorer().score_parts(&candidates, &queue).unwrap();
        queue.0.lock().unwrap().1.append(&mut earlier);
        assert!(!queue.0.lock().unwrap().0.is_done());
        new_scorer().score_parts(&candidates, &queue).unwrap();
        let together = queue.0.into_inner().unwrap().0.finish();
        for (alone, together) in alone.iter().zip(together) {
            assert_eq!(alone.score, together.score);
            assert!(alone.layer_tokens <= together.layer_tokens);
            num_pruned += usize::from(matches!(alone.score, CandidateScore::Pruned { .. }));
        }
    }
    assert!(num_pruned > 5, "{num_pruned}");
}

/// The candidates have different incumbents, and some candidates are pruned.
#[test]
fn candidates_of_one_batch_are_scored_as_one_by_one() {
    for (variant, base, requests) in cases() {
        let twins = twins(&variant, &base);
        let own = Scorer::new(&base, Some(&twins), &requests).score(&Mask::empty(), &Mask::empty()).unwrap();
        let incumbents = [Mask::empty(), Mask::empty().with_layer(2)];
        let masks = incumbents.each_ref().map(|incumbent| [0, 1, 3].map(|layer| incumbent.with_layer(layer)));
        let pairs =
            incumbents.iter().zip(&masks).flat_map(|(one, masks)| masks.iter().map(move |mask| (one, mask)));
        let candidates: Vec<Candidate<'_>> = pairs
            .zip([Some(0.9), None, Some(0.3), Some(0.4), Some(0.2), None])
            .map(|((incumbent, mask), least)| {
                let prune_below = least.map(|score| PruneBelow { score, prunes_ties: false });
                Candidate { incumbent, mask, prune_below }
            })
            .collect();
        let mut scorer = Scorer::with_pruning_parts(&base, Some(&twins), &requests, &own);
        let together = scorer.score_with_pruning(&candidates).unwrap();
        assert!(together.iter().any(|one| matches!(one.score, CandidateScore::Pruned { .. })));
        for (candidate, scored) in candidates.iter().zip(together) {
            let mut alone = Scorer::with_pruning_parts(&base, Some(&twins), &requests, &own);
            assert_eq!(alone.score_with_pruning(&[*candidate]).unwrap(), [scored], "{:?}", candidate.mask);
        }
    }
}

#[test]
fn a_split_without_items_has_a_score_of_no_items() {
    let tokenizer = Tokenizer::from(synthetic_tokenizer().unwrap());
    let requests = ScoringRequests::new(&tokenizer, Vec::new(), Metric::Acc, 128).unwrap();
    let (base, none) = (base(&tokenizer), Mask::empty());
    let whole = Scorer::new(&base, None, &requests).score(&none, &none).unwrap();
    assert_eq!((whole.num_items, whole.tokens), (0, 0));
    let mut scorer = Scorer::with_pruning_parts(&base, None, &requests, &whole);
    for prune_below in [None, Some(PruneBelow { score: 0.5, prunes_ties: false })] {
        let candidate = Candidate { incumbent: &none, mask: &none, prune_below };
        let scored = scorer.score_with_pruning(&[candidate]).unwrap().remove(0);
        assert!(matches!(scored.score, CandidateScore::Complete(result) if result.items.is_empty()));
    }
}

/// The hybrids differ from their incumbent in one layer, in several layers, or in none.
#[test]
fn hybrids_of_one_pass_have_the_log_likelihoods_of_passes_of_their_own() {
    for (variant, base, requests) in cases() {
        let twins = twins(&variant, &base);
        let incumbent = Hybrid::new(&base, &twins, &Mask::empty().with_layer(1));
        let hybrids = [&[0, 1][..], &[1, 2], &[1, 2, 3], &[1, 3], &[1]]
            .map(|layers| Hybrid::new(&base, &twins, &layers.iter().copied().collect()));
        let firsts = [0, 2, 2, 3, 4];
        let siblings: Vec<PartialRun<'_>> = hybrids
            .iter()
            .zip(firsts)
            .map(|(hybrid, first_layer)| PartialRun { hybrid, first_layer })
            .collect();
        for groups in requests.passes(120) {
            let mut batch = Batch::new(&base, &requests, &groups, 32);
            batch.extend_cache(&base, &incumbent, 4);
            batch.prepare_copies(siblings.len());
            let answers = |siblings: &[PartialRun<'_>]| -> Vec<Vec<TokenLogLikelihood>> {
                batch.log_likelihoods(&base, &requests, siblings).into_iter().collect::<Result<_>>().unwrap()
            };
            let alone = siblings.iter().flat_map(|sibling| answers(std::slice::from_ref(sibling)));
            let alone: Vec<Vec<TokenLogLikelihood>> = alone.collect();
            assert_eq!(answers(&siblings), alone, "{variant:?}");
            assert_ne!(alone[0], alone[4], "twins must change log-likelihoods");
        }
    }
}

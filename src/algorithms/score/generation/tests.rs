//! Tests that scores of generated texts depend neither on the division into parts nor on pruning.

use std::path::Path;

use burn::tensor::Device;
use dtr_model::testing::{twins, variants};

use super::*;
use crate::algorithms::score::{CandidateScore, ItemAnswer};
use crate::data::{GenerativeItem, GenerativeTask};

/// Returns a task with short generated texts, whose metric is the token F1.
fn task() -> GenerativeTask {
    serde_json::from_value(serde_json::json!({
        "test": "unused", "prompt": "unused", "target": "unused", "max-tokens": 6,
        "metric": "token-f1",
    }))
    .unwrap()
}

fn base() -> BaseModel {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    BaseModel::read(&mini, &Device::flex()).unwrap()
}

/// Returns items. The reference of an item is the text that the base generates for this item, or the word
/// `nothing`.
fn requests(base: &BaseModel) -> GenerationRequests {
    let prompts = ["where is the lamp ?", "the mirror is in the", "who has the red", "the lamp", "the"];
    let items = |references: &[String]| {
        let item = |index: usize| GenerativeItem {
            id: format!("{index}"),
            prompt: prompts[index % prompts.len()].split(' ').skip(index / 20).collect::<Vec<_>>().join(" "),
            target: String::new(),
            references: vec![references.get(index).cloned().unwrap_or_else(|| "nothing".to_owned())],
            classes: Vec::new(),
            test: None,
            script: None,
            chat: None,
            road: None,
        };
        let items: Vec<_> = (0..20).map(item).collect();
        GenerationRequests::new(&base.tokenizer, &task().generation_settings(), items, 128).unwrap()
    };
    let blind = items(&[]);
    let result = GenerationScorer::new(base, None, &blind).score(&Mask::empty(), &Mask::empty()).unwrap();
    let text = |(index, item): (usize, &ItemAnswer)| {
        let text = item.as_text().unwrap().text.clone();
        if index % 3 == 0 { "nothing".to_owned() } else { text }
    };
    items(&result.items.iter().enumerate().map(text).collect::<Vec<_>>())
}

#[test]
fn the_score_is_the_mean_of_the_answers_scores() {
    let base = base();
    let requests = requests(&base);
    let result = GenerationScorer::new(&base, None, &requests).score(&Mask::empty(), &Mask::empty()).unwrap();
    // 13 of 20 references are the base's own texts.
    assert_eq!((result.num_items, result.num_correct, result.score), (20, 13, 13.0 / 20.0));
    assert!(result.items.iter().all(|item| !item.as_text().unwrap().text.is_empty()));
}

#[test]
fn parts_change_no_answer_and_pruning_gives_bounds_of_the_score() {
    let base = base();
    let requests = requests(&base);
    let of_base =
        GenerationScorer::new(&base, None, &requests).score(&Mask::empty(), &Mask::empty()).unwrap();
    for variant in variants() {
        let twins = twins(&variant, &base.decoder);
        let mut whole = GenerationScorer::new(&base, Some(&twins), &requests);
        let limits = GenerationLimits { rows: 3, ..whole.limits };
        let scorer = GenerationScorer::with_pruning_parts(&base, Some(&twins), &requests, &of_base);
        let items: Vec<usize> = scorer.parts.concat();
        let mut scorer =
            GenerationScorer { limits, parts: items.chunks(3).map(<[usize]>::to_vec).collect(), ..scorer };
        let (none, mask) = (Mask::empty(), Mask::empty().with_layer(1));
        let exact = whole.score(&Mask::empty(), &mask).unwrap();
        for score in [None, Some(0.01), Some(0.5), Some(0.99)] {
            let prune_below = score.map(|score| PruneBelow { score, prunes_ties: true });
            let candidate = Candidate { incumbent: &none, mask: &mask, prune_below };
            let scored = scorer.score_with_pruning(&[candidate]).unwrap().remove(0).score;
            assert_eq!(scored, scorer.prune_with_known_score(&candidate, exact.clone()), "{score:?}");
            match scored {
                CandidateScore::Complete(result) => assert_eq!(result, exact),
                CandidateScore::Pruned { bounds, .. } => {
                    assert!(bounds.lower <= exact.score && exact.score <= bounds.upper, "{bounds:?}");
                    assert!(bounds.upper <= score.unwrap(), "{bounds:?}");
                }
            }
        }
    }
}

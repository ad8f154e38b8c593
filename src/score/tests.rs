//! What a scorer keeps changes no score.

use burn::tensor::Device;

use super::*;
use crate::data::{Split, items, world_tokenizer};
use crate::manifest::{Task, TaskSource};
use crate::model::tests::{twins, variants};
use crate::model::{Config, Random, Tokenizer};
use crate::seed::Seed;

fn requests(tokenizer: &Tokenizer) -> Requests {
    let world = serde_json::json!({ "kind": "recall", "validation-items": 20 });
    let task = Task { source: TaskSource::World(serde_json::from_value(world).unwrap()) };
    Requests::new(tokenizer, items(&task, Split::Validation).unwrap(), task.metric(), 128).unwrap()
}

/// A base of four layers over the closed language's words.
fn base(tokenizer: &Tokenizer) -> Decoder {
    let architecture = serde_json::json!({
        "hidden-size": 24, "intermediate-size": 40, "num-layers": 4,
        "num-heads": 6, "num-kv-heads": 2, "head-dim": 4,
    });
    let config = Config::llama(&serde_json::from_value(architecture).unwrap(), tokenizer.vocab_size(), 128);
    Decoder::new(&config, &mut Random::new(Seed(3), &Device::flex())).unwrap()
}

#[test]
fn hidden_states_kept_of_an_incumbent_change_no_bit_of_a_score() {
    let tokenizer = Tokenizer::from(world_tokenizer().unwrap());
    let (base, requests) = (base(&tokenizer), requests(&tokenizer));
    for variant in variants() {
        let twins = twins(&variant, &base);
        let mut scorer = Scorer::new(&base, Some(&twins), &requests);
        let fresh =
            |mask: &Mask| Scorer::new(&base, Some(&twins), &requests).score(&Mask::none(), mask).unwrap();
        // As a search asks: every layer beside an incumbent, which then grows; and out of order.
        for incumbent in [&[][..], &[2], &[2, 0], &[2, 0, 3], &[1], &[]] {
            let incumbent: Mask = incumbent.iter().copied().collect();
            for layer in [0, 1, 2, 3, 1] {
                let mask = incumbent.with(layer);
                assert_eq!(scorer.score(&incumbent, &mask).unwrap(), fresh(&mask), "{incumbent:?} {mask:?}");
            }
        }
        assert_ne!(fresh(&Mask::none()), fresh(&Mask::none().with(0)), "a twin changes likelihoods");
    }
}

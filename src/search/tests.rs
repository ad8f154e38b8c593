//! The search against an independent reading of the published algorithm, on random score tables.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A table of coarse scores, so that ties are common.
fn table(num_layers: u32) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(0..12u32, 1 << num_layers)
        .prop_map(|scores| scores.into_iter().map(|score| f64::from(score) / 12.0).collect())
}

fn index(mask: &Mask) -> usize {
    mask.layers().iter().map(|layer| 1 << layer).sum()
}

/// Algorithm 1 as the paper's box has it, written over plain sets of bits.
fn by_the_paper(num_layers: u32, p_min: f64, scores: &[f64]) -> (usize, usize) {
    let (mut current, mut best, mut opt) = (0usize, 0usize, 0usize);
    let mut p_best = scores[0];
    loop {
        let mut star: Option<usize> = None;
        for layer in 0..num_layers {
            let candidate = current | (1 << layer);
            if candidate != current && star.is_none_or(|s| scores[candidate] > scores[s]) {
                star = Some(candidate);
            }
        }
        let Some(star) = star else { break };
        if scores[star] >= p_best {
            best = star;
            p_best = scores[star];
        }
        if scores[star] < p_min {
            break;
        }
        current = star;
        opt = star;
    }
    (best, opt)
}

proptest! {
    #[test]
    fn finds_what_the_published_algorithm_finds(scores in table(5), drop in 0.0..0.6f64) {
        let found = greedy(5, &Stop::MaxRelativeDrop(drop), |_, mask| Ok(scores[index(mask)])).unwrap();
        let p_min = scores[0] * (1.0 - drop);
        let (best, opt) = by_the_paper(5, p_min, &scores);
        prop_assert_eq!(index(&found.best.0), best);
        prop_assert_eq!(index(&found.opt.0), opt);
    }

    #[test]
    fn a_search_that_never_stops_replaces_every_layer_in_some_order(scores in table(5)) {
        let mut asked = BTreeMap::new();
        let found = greedy(5, &Stop::Never {}, |_, mask| {
            *asked.entry(mask.clone()).or_insert(0) += 1;
            Ok(scores[index(mask)])
        }).unwrap();
        prop_assert_eq!(found.trials.len(), 5 * 6 / 2);
        prop_assert_eq!(found.opt.0.num_replaced(), 5);
        prop_assert!(asked.values().all(|&count| count == 1));
    }
}

#[test]
fn the_lowest_layer_wins_a_tie() {
    let found = greedy(4, &Stop::Never {}, |_, _| Ok(0.5)).unwrap();
    let order: Vec<u32> = found.rounds.iter().map(|round| round.layer).collect();
    assert_eq!(order, [0, 1, 2, 3]);
}

#[test]
fn of_equal_scores_the_one_with_more_linear_layers_is_best() {
    let found = greedy(3, &Stop::Never {}, |_, _| Ok(0.5)).unwrap();
    assert_eq!(found.best.0.num_replaced(), 3);
}

#[test]
fn the_round_that_ends_the_search_is_recorded_as_refused() {
    let scores = [0.8, 0.79, 0.3];
    let found =
        greedy(3, &Stop::MaxRelativeDrop(0.05), |_, mask| Ok(scores[mask.num_replaced().min(2) as usize]))
            .unwrap();
    assert_eq!(found.rounds.iter().map(|round| round.accepted).collect::<Vec<_>>(), [true, false]);
    assert_eq!(found.opt.0.num_replaced(), 1);
    assert_eq!(found.best.0.num_replaced(), 0);
}

#[test]
fn an_error_of_a_score_ends_the_search() {
    let result = greedy(3, &Stop::Never {}, |_, mask| match mask.num_replaced() {
        0 => Ok(0.5),
        _ => Err(crate::error::Error::failed("no score")),
    });
    assert!(result.is_err());
}

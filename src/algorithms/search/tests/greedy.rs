//! Tests that compare greedy search with an independent implementation of the published algorithm, on random
//! tables of scores.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    NEVER, UNPRUNED, answer_tables, batch_policies, by_table, exact_result, one_by_one, score_items,
    score_tables, table_index,
};
use crate::algorithms::search::{BatchPolicy, StopCriterion, Trial, greedy_search};
use dtr_core::error::Error;

/// Runs Algorithm 1 of the paper. Represents masks as bit sets. Returns `M_best` and `M_opt`.
fn algorithm_1(num_layers: u32, p_min: f64, scores: &[f64]) -> (usize, usize) {
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
    fn the_outcome_is_that_of_the_published_algorithm(
        scores in score_tables(5),
        drop in 0.0..0.6f64,
        policy in batch_policies(false),
    ) {
        let stop = StopCriterion::MaxRelativeDrop(drop);
        let found = greedy_search(&[3, 1, 0, 4, 2], &stop, policy, &mut by_table(&scores)).unwrap();
        let p_min = scores[0] * (1.0 - drop);
        let (best, opt) = algorithm_1(5, p_min, &scores);
        prop_assert_eq!(table_index(&found.best.0), best);
        prop_assert_eq!(table_index(&found.opt.0), opt);
    }

    #[test]
    fn a_search_that_never_stops_replaces_every_layer_in_some_order(scores in score_tables(5)) {
        let mut scored = BTreeMap::new();
        let found = greedy_search(&[0, 1, 2, 3, 4], &NEVER, UNPRUNED, &mut one_by_one(|candidate| {
            *scored.entry(candidate.mask.clone()).or_insert(0) += 1;
            exact_result(scores[table_index(candidate.mask)])
        })).unwrap();
        prop_assert_eq!(found.trials.len(), 5 * 6 / 2);
        prop_assert_eq!(found.opt.0.num_replaced(), 5);
        prop_assert!(scored.values().all(|&count| count == 1));
    }
}

proptest! {
    #[test]
    fn pruning_candidates_that_cannot_win_does_not_change_the_outcome(
        answers in answer_tables(5),
        drop in 0.0..0.6f64,
        first in Just(vec![0u32, 1, 2, 3, 4]).prop_shuffle(),
        policy in batch_policies(true),
    ) {
        let search = |first: &[u32], policy: BatchPolicy| {
            let mut num_scored = 0;
            let stop = StopCriterion::MaxRelativeDrop(drop);
            let found = greedy_search(first, &stop, policy, &mut one_by_one(|candidate| {
                Ok(score_items(answers[table_index(candidate.mask)], candidate.prune_below, &mut num_scored))
            }));
            (found.unwrap(), num_scored)
        };
        let (plain, all) = search(&[0, 1, 2, 3, 4], UNPRUNED);
        let (pruned, some) = search(&first, policy);
        prop_assert!(some <= all);
        for (one, other) in [(&plain.best, &pruned.best), (&plain.opt, &pruned.opt)] {
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(&plain.rounds, &pruned.rounds);
        prop_assert_eq!(plain.threshold, pruned.threshold);
        prop_assert_eq!(plain.trials.len(), pruned.trials.len());
        for trial in &pruned.trials {
            let same = |other: &&Trial| (other.round, &other.layers) == (trial.round, &trial.layers);
            let score = plain.trials.iter().find(same).unwrap().bounds.score().unwrap();
            prop_assert!((trial.bounds.lower..=trial.bounds.upper).contains(&score));
            // `score` returns a value only if both bounds are equal.
            prop_assert!(trial.bounds.score().is_none_or(|known| known == score));
        }
    }
}

#[test]
fn the_lowest_layer_wins_a_tie() {
    let found =
        greedy_search(&[2, 0, 3, 1], &NEVER, UNPRUNED, &mut one_by_one(|_| exact_result(0.5))).unwrap();
    let order: Vec<u32> = found.rounds.iter().filter_map(|round| round.layer).collect();
    assert_eq!(order, [0, 1, 2, 3]);
}

#[test]
fn of_equal_scores_the_hybrid_with_more_linear_layers_is_best() {
    let found = greedy_search(&[0, 1, 2], &NEVER, UNPRUNED, &mut one_by_one(|_| exact_result(0.5))).unwrap();
    assert_eq!(found.best.0.num_replaced(), 3);
}

#[test]
fn the_round_that_ends_the_search_is_recorded_as_rejected() {
    let scores = [0.8, 0.79, 0.3];
    let found = greedy_search(
        &[0, 1, 2],
        &StopCriterion::MaxRelativeDrop(0.05),
        UNPRUNED,
        &mut one_by_one(|candidate| exact_result(scores[candidate.mask.num_replaced().min(2) as usize])),
    )
    .unwrap();
    assert_eq!(found.rounds.iter().map(|round| round.accepted).collect::<Vec<_>>(), [true, false]);
    assert_eq!(found.opt.0.num_replaced(), 1);
    assert_eq!(found.best.0.num_replaced(), 0);
}

#[test]
fn an_error_while_scoring_ends_the_search() {
    let result = greedy_search(
        &[0, 1, 2],
        &NEVER,
        UNPRUNED,
        &mut one_by_one(|candidate| match candidate.mask.num_replaced() {
            0 => exact_result(0.5),
            _ => Err(Error::failed("no score")),
        }),
    );
    assert!(result.is_err());
}

//! The greedy search against an independent reading of the published algorithm, on random score tables.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{answers, ask, each, index, known, manner, of_table, table};
use crate::algorithms::search::StopCriterion;
use crate::algorithms::search::Trial;
use crate::algorithms::search::{BatchPolicy, greedy};
use dtr_core::error::Error;

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
    fn finds_what_the_published_algorithm_finds(scores in table(5), drop in 0.0..0.6f64, manner in manner(false)) {
        let found = greedy(&[3, 1, 0, 4, 2], &StopCriterion::MaxRelativeDrop(drop), manner, of_table(&scores)).unwrap();
        let p_min = scores[0] * (1.0 - drop);
        let (best, opt) = by_the_paper(5, p_min, &scores);
        prop_assert_eq!(index(&found.best.0), best);
        prop_assert_eq!(index(&found.opt.0), opt);
    }

    #[test]
    fn a_search_that_never_stops_replaces_every_layer_in_some_order(scores in table(5)) {
        let mut asked = BTreeMap::new();
        let found = greedy(&[0, 1, 2, 3, 4], &StopCriterion::Never {}, BatchPolicy::PLAIN, each(|question| {
            *asked.entry(question.mask.clone()).or_insert(0) += 1;
            known(scores[index(question.mask)])
        })).unwrap();
        prop_assert_eq!(found.trials.len(), 5 * 6 / 2);
        prop_assert_eq!(found.opt.0.num_replaced(), 5);
        prop_assert!(asked.values().all(|&count| count == 1));
    }
}

proptest! {
    #[test]
    fn dropping_what_cannot_win_changes_nothing_that_is_found(
        answers in answers(5),
        drop in 0.0..0.6f64,
        first in Just(vec![0u32, 1, 2, 3, 4]).prop_shuffle(),
        manner in manner(true),
    ) {
        let search = |first: &[u32], manner: BatchPolicy| {
            let mut num_asked = 0;
            let found = greedy(first, &StopCriterion::MaxRelativeDrop(drop), manner, each(|question| {
                Ok(ask(answers[index(question.mask)], question.bar, &mut num_asked))
            }));
            (found.unwrap(), num_asked)
        };
        let (plain, all) = search(&[0, 1, 2, 3, 4], BatchPolicy::PLAIN);
        let (pruned, some) = search(&first, manner);
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
            prop_assert!((trial.bounds.at_least..=trial.bounds.at_most).contains(&score));
            // A bound is never taken for a score.
            prop_assert!(trial.bounds.score().is_none_or(|known| known == score));
        }
    }
}

#[test]
fn the_lowest_layer_wins_a_tie() {
    let found =
        greedy(&[2, 0, 3, 1], &StopCriterion::Never {}, BatchPolicy::PLAIN, each(|_| known(0.5))).unwrap();
    let order: Vec<u32> = found.rounds.iter().filter_map(|round| round.layer).collect();
    assert_eq!(order, [0, 1, 2, 3]);
}

#[test]
fn of_equal_scores_the_one_with_more_linear_layers_is_best() {
    let found =
        greedy(&[0, 1, 2], &StopCriterion::Never {}, BatchPolicy::PLAIN, each(|_| known(0.5))).unwrap();
    assert_eq!(found.best.0.num_replaced(), 3);
}

#[test]
fn the_round_that_ends_the_search_is_recorded_as_refused() {
    let scores = [0.8, 0.79, 0.3];
    let found = greedy(
        &[0, 1, 2],
        &StopCriterion::MaxRelativeDrop(0.05),
        BatchPolicy::PLAIN,
        each(|question| known(scores[question.mask.num_replaced().min(2) as usize])),
    )
    .unwrap();
    assert_eq!(found.rounds.iter().map(|round| round.accepted).collect::<Vec<_>>(), [true, false]);
    assert_eq!(found.opt.0.num_replaced(), 1);
    assert_eq!(found.best.0.num_replaced(), 0);
}

#[test]
fn an_error_of_a_score_ends_the_search() {
    let result = greedy(
        &[0, 1, 2],
        &StopCriterion::Never {},
        BatchPolicy::PLAIN,
        each(|question| match question.mask.num_replaced() {
            0 => known(0.5),
            _ => Err(Error::failed("no score")),
        }),
    );
    assert!(result.is_err());
}

//! The beam against the greedy search, and against every mask there is.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{answers, ask, each, index, known, manner, of_table, table};
use crate::algorithms::search::StopCriterion;
use crate::algorithms::search::Trial;
use crate::algorithms::search::beam::beam;
use crate::algorithms::search::{BatchPolicy, Found, greedy};
use dtr_model::Mask;

const LAYERS: [u32; 5] = [0, 1, 2, 3, 4];

/// What was found, the trials of each round sorted.
fn sorted(mut found: Found) -> Found {
    found.trials.sort_by_key(|trial| (trial.round, trial.layers.clone()));
    found
}

/// The best mask of a number of layers, of equals the lexicographically lowest.
fn best_of_all(num_replaced: u32, scores: &[f64]) -> Mask {
    let all =
        (0..scores.len()).map(|bits| LAYERS.into_iter().filter(|layer| bits >> layer & 1 == 1).collect());
    let of_size: Vec<Mask> = all.filter(|mask: &Mask| mask.num_replaced() == num_replaced).collect();
    let better = |one: &&Mask, other: &&Mask| {
        scores[index(one)].total_cmp(&scores[index(other)]).then_with(|| other.cmp(one))
    };
    of_size.iter().max_by(better).unwrap().clone()
}

proptest! {
    #[test]
    fn a_width_of_one_is_the_greedy_search(
        scores in table(5),
        drop in 0.0..0.6f64,
        first in Just(LAYERS.to_vec()).prop_shuffle(),
    ) {
        let stop = StopCriterion::MaxRelativeDrop(drop);
        let narrow = beam(1, &first, &stop, BatchPolicy::PLAIN, of_table(&scores)).unwrap();
        let plain = greedy(&first, &stop, BatchPolicy::PLAIN, of_table(&scores)).unwrap();
        prop_assert_eq!(sorted(narrow), sorted(plain));
    }

    #[test]
    fn a_width_of_every_mask_finds_the_best_of_every_size(scores in table(5)) {
        let found = beam(10, &LAYERS, &StopCriterion::Never {}, BatchPolicy::PLAIN, of_table(&scores)).unwrap();
        let winners: Vec<Vec<u32>> = found.rounds.iter().map(|round| round.layers.clone()).collect();
        let best: Vec<Vec<u32>> = (1..=5).map(|size| best_of_all(size, &scores).layers()).collect();
        prop_assert_eq!(winners, best);
        prop_assert_eq!(found.trials.len(), 31, "every mask is tried once");
    }

    #[test]
    fn a_mask_is_asked_for_once_and_grows_from_one_that_was_kept(scores in table(5), width in 1..5usize) {
        let mut asked = BTreeMap::new();
        let found = beam(width, &LAYERS, &StopCriterion::Never {}, BatchPolicy::PLAIN, each(|question| {
            *asked.entry(question.mask.clone()).or_insert(0) += 1;
            assert!(question.mask.num_replaced() == 0 || question.mask.one_beside(question.incumbent).is_some());
            known(scores[index(question.mask)])
        })).unwrap();
        prop_assert!(asked.values().all(|&count| count == 1));
        prop_assert_eq!(found.trials.len() + 1, asked.len());
        for round in &found.rounds {
            let of_round = found.trials.iter().filter(|trial| trial.round == round.round);
            let highest = of_round.filter_map(|trial| trial.bounds.score()).max_by(f64::total_cmp);
            prop_assert_eq!(highest, Some(round.score));
            prop_assert_eq!(round.layers.len(), round.round as usize);
        }
    }

    #[test]
    fn dropping_what_cannot_enter_the_beam_changes_nothing_that_is_found(
        answers in answers(5),
        drop in 0.0..0.6f64,
        width in 1..5usize,
        first in Just(LAYERS.to_vec()).prop_shuffle(),
        manner in manner(true),
    ) {
        let search = |first: &[u32], manner: BatchPolicy| {
            let mut num_asked = 0;
            let found = beam(width, first, &StopCriterion::MaxRelativeDrop(drop), manner, each(|question| {
                Ok(ask(answers[index(question.mask)], question.bar, &mut num_asked))
            }));
            (sorted(found.unwrap()), num_asked)
        };
        let (plain, all) = search(&LAYERS, BatchPolicy::PLAIN);
        let (pruned, some) = search(&first, manner);
        prop_assert!(some <= all);
        prop_assert_eq!((&plain.best, &plain.opt, &plain.rounds), (&pruned.best, &pruned.opt, &pruned.rounds));
        let masks = |found: &Found| found.trials.iter().map(|trial: &Trial| trial.layers.clone()).collect::<Vec<_>>();
        prop_assert_eq!(masks(&plain), masks(&pruned));
    }
}

#[test]
fn a_mask_kept_beside_the_winner_can_win_later() {
    // Layer 0 alone is best, and leads nowhere; 1 and 2 together lose nothing.
    let score = |mask: &Mask| match mask.layers().as_slice() {
        [] | [1, 2] => 1.0,
        [0] => 0.9,
        [1] | [2] => 0.8,
        _ => 0.1,
    };
    let found = beam(
        2,
        &[0, 1, 2],
        &StopCriterion::MaxRelativeDrop(0.15),
        BatchPolicy::PLAIN,
        each(|question| known(score(question.mask))),
    );
    let found = found.unwrap();
    let winners: Vec<_> = found.rounds.iter().map(|round| (round.layer, round.layers.as_slice())).collect();
    assert_eq!(winners, [(Some(0), &[0][..]), (None, &[1, 2]), (Some(0), &[0, 1, 2])]);
    assert_eq!(found.opt.0.layers(), [1, 2], "1 alone was below the threshold, and yet led here");
    let plain = greedy(
        &[0, 1, 2],
        &StopCriterion::MaxRelativeDrop(0.15),
        BatchPolicy::PLAIN,
        each(|question| known(score(question.mask))),
    );
    assert_eq!(plain.unwrap().opt.0.layers(), [0]);
}

#[test]
fn the_lexicographically_lowest_mask_wins_a_tie() {
    let found =
        beam(3, &[2, 0, 3, 1], &StopCriterion::Never {}, BatchPolicy::PLAIN, each(|_| known(0.5))).unwrap();
    let winners: Vec<_> = found.rounds.iter().map(|round| round.layers.clone()).collect();
    assert_eq!(winners, [vec![0], vec![0, 1], vec![0, 1, 2], vec![0, 1, 2, 3]]);
}

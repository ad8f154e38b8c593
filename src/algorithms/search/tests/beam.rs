//! Tests that compare beam search with greedy search and with exhaustive search.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    NEVER, UNPRUNED, answer_tables, batch_policies, by_table, exact_result, one_by_one, score_items,
    score_tables, table_index,
};
use crate::algorithms::search::beam::beam_search;
use crate::algorithms::search::{BatchPolicy, SearchOutcome, StopCriterion, greedy_search};
use dtr_model::Mask;

const LAYERS: [u32; 5] = [0, 1, 2, 3, 4];

fn sorted(mut found: SearchOutcome) -> SearchOutcome {
    found.trials.sort_by_key(|trial| (trial.round, trial.layers.clone()));
    found
}

/// Returns the best of all masks with `num_replaced` layers. If scores are equal, the lexicographically
/// lowest mask is the best.
fn best_of_all(num_replaced: u32, scores: &[f64]) -> Mask {
    let all =
        (0..scores.len()).map(|bits| LAYERS.into_iter().filter(|layer| bits >> layer & 1 == 1).collect());
    let of_size: Vec<Mask> = all.filter(|mask: &Mask| mask.num_replaced() == num_replaced).collect();
    let better = |one: &&Mask, other: &&Mask| {
        scores[table_index(one)].total_cmp(&scores[table_index(other)]).then_with(|| other.cmp(one))
    };
    of_size.iter().max_by(better).unwrap().clone()
}

proptest! {
    #[test]
    fn a_beam_of_width_1_finds_what_greedy_search_finds(
        scores in score_tables(5),
        drop in 0.0..0.6f64,
        first in Just(LAYERS.to_vec()).prop_shuffle(),
    ) {
        let stop = StopCriterion::MaxRelativeDrop(drop);
        let narrow = beam_search(1, &first, &stop, UNPRUNED, &mut by_table(&scores)).unwrap();
        let plain = greedy_search(&first, &stop, UNPRUNED, &mut by_table(&scores)).unwrap();
        prop_assert_eq!(sorted(narrow), sorted(plain));
    }

    #[test]
    fn a_beam_as_wide_as_all_masks_finds_the_best_mask_of_every_size(scores in score_tables(5)) {
        let found = beam_search(10, &LAYERS, &NEVER, UNPRUNED, &mut by_table(&scores)).unwrap();
        let winners: Vec<Vec<u32>> = found.rounds.iter().map(|round| round.layers.clone()).collect();
        let best: Vec<Vec<u32>> = (1..=5).map(|size| best_of_all(size, &scores).layers()).collect();
        prop_assert_eq!(winners, best);
        prop_assert_eq!(found.trials.len(), 31, "not every mask was tried exactly once");
    }

    #[test]
    fn a_mask_is_scored_once_and_extends_a_mask_of_the_beam(scores in score_tables(5), width in 1..5usize) {
        let mut scored = BTreeMap::new();
        let found = beam_search(width, &LAYERS, &NEVER, UNPRUNED, &mut one_by_one(|candidate| {
            *scored.entry(candidate.mask.clone()).or_insert(0) += 1;
            let (mask, incumbent) = (candidate.mask, candidate.incumbent);
            assert!(mask.num_replaced() == 0 || mask.single_layer_added_to(incumbent).is_some());
            exact_result(scores[table_index(candidate.mask)])
        })).unwrap();
        prop_assert!(scored.values().all(|&count| count == 1));
        prop_assert_eq!(found.trials.len() + 1, scored.len());
        for round in &found.rounds {
            let of_round = found.trials.iter().filter(|trial| trial.round == round.round);
            let highest = of_round.filter_map(|trial| trial.bounds.score()).max_by(f64::total_cmp);
            prop_assert_eq!(highest, Some(round.score));
            prop_assert_eq!(round.layers.len(), round.round as usize);
        }
    }

    #[test]
    fn pruning_candidates_that_cannot_enter_the_beam_does_not_change_the_outcome(
        answers in answer_tables(5),
        drop in 0.0..0.6f64,
        width in 1..5usize,
        first in Just(LAYERS.to_vec()).prop_shuffle(),
        policy in batch_policies(true),
    ) {
        let search = |first: &[u32], policy: BatchPolicy| {
            let mut num_scored = 0;
            let stop = StopCriterion::MaxRelativeDrop(drop);
            let found = beam_search(width, first, &stop, policy, &mut one_by_one(|candidate| {
                Ok(score_items(answers[table_index(candidate.mask)], candidate.prune_below, &mut num_scored))
            }));
            (sorted(found.unwrap()), num_scored)
        };
        let (plain, all) = search(&LAYERS, UNPRUNED);
        let (pruned, some) = search(&first, policy);
        prop_assert!(some <= all);
        prop_assert_eq!(&plain.best, &pruned.best);
        prop_assert_eq!(&plain.opt, &pruned.opt);
        prop_assert_eq!(&plain.rounds, &pruned.rounds);
        let masks = |found: &SearchOutcome| -> Vec<Vec<u32>> {
            found.trials.iter().map(|trial| trial.layers.clone()).collect()
        };
        prop_assert_eq!(masks(&plain), masks(&pruned));
    }
}

#[test]
fn a_mask_that_loses_its_round_can_lead_to_a_later_winner() {
    // The hybrid that replaces only layer 0 wins the first round, but all extensions of this hybrid score
    // low. The hybrid that replaces layers 1 and 2 scores as high as the base.
    let score = |mask: &Mask| match mask.layers().as_slice() {
        [] | [1, 2] => 1.0,
        [0] => 0.9,
        [1] | [2] => 0.8,
        _ => 0.1,
    };
    let found = beam_search(
        2,
        &[0, 1, 2],
        &StopCriterion::MaxRelativeDrop(0.15),
        UNPRUNED,
        &mut one_by_one(|candidate| exact_result(score(candidate.mask))),
    );
    let found = found.unwrap();
    let winners: Vec<_> = found.rounds.iter().map(|round| (round.layer, round.layers.as_slice())).collect();
    assert_eq!(winners, [(Some(0), &[0][..]), (None, &[1, 2]), (Some(0), &[0, 1, 2])]);
    assert_eq!(found.opt.0.layers(), [1, 2], "the beam must extend layer 1, below the threshold");
    let plain = greedy_search(
        &[0, 1, 2],
        &StopCriterion::MaxRelativeDrop(0.15),
        UNPRUNED,
        &mut one_by_one(|candidate| exact_result(score(candidate.mask))),
    );
    assert_eq!(plain.unwrap().opt.0.layers(), [0]);
}

#[test]
fn the_lexicographically_lowest_mask_wins_a_tie() {
    let found =
        beam_search(3, &[2, 0, 3, 1], &NEVER, UNPRUNED, &mut one_by_one(|_| exact_result(0.5))).unwrap();
    let winners: Vec<_> = found.rounds.iter().map(|round| round.layers.clone()).collect();
    assert_eq!(winners, [vec![0], vec![0, 1], vec![0, 1, 2], vec![0, 1, 2, 3]]);
}

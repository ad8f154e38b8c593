//! Tests of the strategies that choose masks without scores, or only by the scores of the first round.

use proptest::prelude::*;

use super::{NEVER, UNPRUNED, by_table, score_tables, table_index};
use crate::algorithms::search::{BatchPolicy, SearchOutcome, SearchStrategy, StopCriterion, search};
use dtr_core::seed::Seed;

const LAYERS: [u32; 5] = [0, 1, 2, 3, 4];

fn run(strategy: &SearchStrategy, stop: &StopCriterion, scores: &[f64]) -> SearchOutcome {
    search(
        strategy,
        &LAYERS,
        stop,
        BatchPolicy { prune: false, candidates_per_batch: 3 },
        &mut by_table(scores),
    )
    .unwrap()
}

fn fixed() -> impl Strategy<Value = SearchStrategy> {
    prop_oneof![
        Just(SearchStrategy::Uniform {}),
        any::<u32>().prop_map(|seed| SearchStrategy::Random { seed: Seed(seed) }),
        Just(SearchStrategy::LocalImportance {}),
        Just(SearchStrategy::Impact {}),
    ]
}

fn is_nested(found: &SearchOutcome) -> bool {
    found.rounds.iter().all(|round| round.layer.is_some())
}

proptest! {
    #[test]
    fn every_number_of_replaced_layers_has_a_round(strategy in fixed(), scores in score_tables(5)) {
        let found = run(&strategy, &NEVER, &scores);
        for (round, num_replaced) in found.rounds.iter().zip(1..) {
            prop_assert_eq!((round.round, round.num_replaced), (num_replaced, num_replaced));
            prop_assert_eq!(round.layers.len() as u32, num_replaced);
            prop_assert!(round.layers.is_sorted());
            let mask = round.layers.iter().copied().collect();
            prop_assert_eq!(round.score, scores[table_index(&mask)]);
        }
        prop_assert_eq!(found.opt.0.layers(), LAYERS);
        let nested = !matches!(strategy, SearchStrategy::Uniform {});
        prop_assert!(is_nested(&found) || !nested);
    }

    #[test]
    fn the_threshold_ends_the_search_of_every_strategy(
        strategy in fixed(),
        scores in score_tables(5),
        drop in 0.0..0.6f64,
    ) {
        let whole = run(&strategy, &NEVER, &scores);
        let found = run(&strategy, &StopCriterion::MaxRelativeDrop(drop), &scores);
        let least = scores[0] * (1.0 - drop);
        let num_accepted = whole.rounds.iter().take_while(|round| round.score >= least).count();
        prop_assert_eq!(found.rounds.len(), (num_accepted + 1).min(5));
        prop_assert_eq!(found.opt.0.num_replaced() as usize, num_accepted);
        let seen = found.rounds.iter().map(|round| round.score).chain([scores[0]]);
        prop_assert_eq!(Some(found.best.1), seen.max_by(f64::total_cmp));
    }

    #[test]
    fn local_importance_orders_layers_by_their_scores_alone(scores in score_tables(5)) {
        let found = run(&SearchStrategy::LocalImportance {}, &NEVER, &scores);
        let order: Vec<u32> = found.rounds.iter().filter_map(|round| round.layer).collect();
        let mut ranked = LAYERS.to_vec();
        ranked.sort_by(|one, other| scores[1 << other].total_cmp(&scores[1 << one]).then(one.cmp(other)));
        prop_assert_eq!(order, ranked);
        prop_assert_eq!(found.trials.len(), 5 + 4);
    }

    #[test]
    fn impact_replaces_layers_in_the_given_order(
        order in Just(LAYERS.to_vec()).prop_shuffle(),
        scores in score_tables(5),
    ) {
        let strategy = SearchStrategy::Impact {};
        let found = search(&strategy, &order, &NEVER, UNPRUNED, &mut by_table(&scores)).unwrap();
        prop_assert_eq!(found.rounds.iter().filter_map(|round| round.layer).collect::<Vec<_>>(), order);
        prop_assert_eq!(found.trials.len(), 5);
    }

    #[test]
    fn a_random_order_depends_on_its_seed_and_not_on_scores(
        seed in any::<u32>(),
        one in score_tables(5),
        other in score_tables(5),
    ) {
        let order = |scores: &[f64]| {
            let found = run(&SearchStrategy::Random { seed: Seed(seed) }, &NEVER, scores);
            found.rounds.iter().map(|round| round.layer).collect::<Vec<_>>()
        };
        prop_assert_eq!(order(&one), order(&other));
    }
}

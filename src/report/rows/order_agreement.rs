//! Computes the rows of the table `agreement`: the similarity of the orders in which two searches replace
//! layers.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::sorted_searches;
use crate::algorithms::search::SearchStrategy;
use crate::report::columns::AgreementRow;
use crate::report::derived_values::format_axes;
use crate::report::experiment_records::{ExperimentRecords, SearchCell};
use crate::stats::{benjamini_hochberg, kendall_tau_b, overlap_p_value, spearman_rho};
use dtr_core::seed::Seed;

/// Returns the rows of the table `agreement`: one row for each pair of searches that differ in exactly one
/// setting. The rows are sorted by model, differing setting, shared settings and the values of the differing
/// setting.
pub(in crate::report) fn agreement_rows(records: &ExperimentRecords) -> Vec<AgreementRow> {
    let searches = sorted_searches(records);
    let pairs: Vec<SearchPair> = searches
        .iter()
        .enumerate()
        .flat_map(|(index, first)| {
            searches[index + 1..].iter().filter_map(|second| SearchPair::new(first, second))
        })
        .collect();
    // Each pair resamples with its own seed, so the result does not depend on the order in which threads run.
    let mut rows: Vec<AgreementRow> = pairs.par_iter().map(SearchPair::row).collect();
    rows.sort_by(|a, b| {
        let name = |row: &AgreementRow| {
            let shared = (row.variant.clone(), row.task.clone(), row.shared_axes.clone());
            (row.model.clone(), row.differing_setting.clone(), shared, row.first.clone(), row.second.clone())
        };
        name(a).cmp(&name(b))
    });
    correct_p_values(&mut rows, |row| row.kendall_p, |row, q| row.kendall_q = Some(q));
    correct_p_values(&mut rows, |row| row.spearman_p, |row, q| row.spearman_q = Some(q));
    correct_p_values(&mut rows, |row| row.overlap_p, |row, q| row.overlap_q = Some(q));
    rows
}

/// Corrects the p-values of one statistic for multiple comparisons. All rows with the same differing setting
/// are corrected together. `p_value` returns the p-value of a row, and `set` stores the corrected value.
fn correct_p_values(
    rows: &mut [AgreementRow],
    p_value: impl Fn(&AgreementRow) -> Option<f64>,
    set: impl Fn(&mut AgreementRow, f64),
) {
    let families: BTreeSet<String> = rows.iter().map(|row| row.differing_setting.clone()).collect();
    for family in families {
        let mut members: Vec<&mut AgreementRow> =
            rows.iter_mut().filter(|row| row.differing_setting == family && p_value(row).is_some()).collect();
        let p_values: Vec<f64> = members.iter().filter_map(|row| p_value(row)).collect();
        let adjusted = benjamini_hochberg(&p_values);
        members.iter_mut().zip(adjusted).for_each(|(row, q)| set(row, q));
    }
}

/// Two searches that differ in exactly one setting.
struct SearchPair<'a> {
    first: &'a SearchCell,
    second: &'a SearchCell,
    differing_setting: String,
    /// The values of the differing setting in the two searches.
    values: [String; 2],
}

impl<'a> SearchPair<'a> {
    /// Returns the pair if the searches differ in exactly one setting. For any other searches, returns
    /// `None`.
    ///
    /// Some strategies ignore scores. If both searches use such a strategy, returns the pair only if the
    /// strategy is the differing setting.
    fn new(first: &'a SearchCell, second: &'a SearchCell) -> Option<Self> {
        if first.labels.model != second.labels.model || first.num_layers != second.num_layers {
            return None;
        }
        let of_variant = ("variant".to_owned(), [first.variant().to_owned(), second.variant().to_owned()]);
        let of_task = ("task".to_owned(), [first.task().to_owned(), second.task().to_owned()]);
        let of_axes = first.labels.axes.iter().filter_map(|(key, value)| {
            Some((key.clone(), [value.clone(), second.labels.axes.get(key)?.clone()]))
        });
        let is_different = |(_, values): &(String, [String; 2])| values[0] != values[1];
        let mut differences = [of_variant, of_task].into_iter().chain(of_axes).filter(is_different);
        let (Some((differing_setting, values)), None) = (differences.next(), differences.next()) else {
            return None;
        };
        let ignores_scores = |search: &SearchCell| {
            matches!(search.job.strategy, SearchStrategy::Uniform {} | SearchStrategy::Random { .. })
        };
        let is_trivial =
            differing_setting != STRATEGY_AXIS && ignores_scores(first) && ignores_scores(second);
        (!is_trivial).then_some(Self { first, second, differing_setting, values })
    }

    fn row(&self) -> AgreementRow {
        let [first, second] = [self.first, self.second];
        let [first_ranks, second_ranks] = [first, second].map(ranks);
        let seed = Seed(0).child(&first.key()).child(&second.key());
        let kendall = kendall_tau_b(&first_ranks, &second_ranks, seed.child("kendall"));
        let spearman = spearman_rho(&first_ranks, &second_ranks, seed.child("spearman"));
        let overlaps = overlaps(first, second);
        let k = (overlaps.len() as u32).min(first.num_layers / 2);
        let overlap = overlaps[..k as usize].last().copied().unwrap_or(0);
        let total = u64::from(first.num_layers);
        let share = |(index, overlap): (usize, &u32)| f64::from(*overlap) / (index + 1) as f64;
        let mut shared_axes = first.labels.axes.clone();
        shared_axes.remove(&self.differing_setting);
        AgreementRow {
            model: first.labels.model.clone(),
            differing_setting: self.differing_setting.clone(),
            variant: (self.differing_setting != "variant").then(|| first.variant().to_owned()),
            task: (self.differing_setting != "task").then(|| first.task().to_owned()),
            shared_axes: format_axes(&shared_axes),
            first: self.values[0].clone(),
            second: self.values[1].clone(),
            num_layers: first.num_layers,
            num_replaced_first: first.rounds_by_layer().len() as u32,
            num_replaced_second: second.rounds_by_layer().len() as u32,
            num_tied_first: first.num_tied_rounds(),
            num_tied_second: second.num_tied_rounds(),
            kendall_tau: kendall.map(|agreement| agreement.coefficient),
            kendall_p: kendall.map(|agreement| agreement.p_value),
            kendall_q: None,
            spearman_rho: spearman.map(|agreement| agreement.coefficient),
            spearman_p: spearman.map(|agreement| agreement.p_value),
            spearman_q: None,
            overlap_k: k,
            overlap,
            overlap_by_chance: f64::from(k * k) / f64::from(first.num_layers),
            overlap_p: overlap_p_value(overlap.into(), k.into(), k.into(), total).filter(|_| k > 0),
            overlap_q: None,
            overlap_shares: overlaps.iter().enumerate().map(share).collect(),
            cell_key_first: first.key(),
            cell_key_second: second.key(),
        }
    }
}

/// The key of the sweep axis that sets the search strategy.
const STRATEGY_AXIS: &str = "search.strategy";

/// Returns the rank of each layer: its round in [`SearchCell::rounds_by_layer`]. All layers without a round
/// have the same rank, which is 1 more than the last round.
fn ranks(search: &SearchCell) -> Vec<f64> {
    let rounds = search.rounds_by_layer();
    let last_rank = rounds.values().max().map_or(1, |last| last + 1);
    let rank = |layer| f64::from(rounds.get(&layer).copied().unwrap_or(last_rank));
    (0..search.num_layers).map(rank).collect()
}

/// Returns the number of layers that the n-th accepted hybrids of two searches share, for n = 1, 2, … The
/// last number is for the last accepted hybrid of the shorter search.
fn overlaps(first: &SearchCell, second: &SearchCell) -> Vec<u32> {
    let [first, second] = [first, second].map(accepted_layers);
    let shared = |(one, other): (&Vec<u32>, &Vec<u32>)| {
        one.iter().filter(|layer| other.contains(layer)).count() as u32
    };
    first.iter().zip(&second).map(shared).collect()
}

/// Returns the replaced layers of each hybrid that a search accepted, in the order of the rounds.
fn accepted_layers(search: &SearchCell) -> Vec<Vec<u32>> {
    let accepted = search.sorted_rounds().into_iter().filter(|round| round.accepted);
    accepted.map(|round| round.layers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::stages::{SearchJob, Stage};

    /// Returns the row for two searches with different variants, on a base of six layers. The searches
    /// replace layers in the orders `first` and `second`.
    fn compare_orders(first: &[u32], second: &[u32]) -> AgreementRow {
        let mut records = fixture::records_of_size(2, 1, 6);
        records.searches[1].rounds = fixture::rounds(first);
        records.searches[0].rounds = fixture::rounds(second);
        let mut rows = agreement_rows(&records);
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    #[test]
    fn orders_that_end_early_are_compared_up_to_the_end_of_the_shorter_order() {
        let row = compare_orders(&[5, 3, 4], &[5, 4]);
        assert_eq!((row.first.as_str(), row.second.as_str(), row.variant), ("gdn", "gla", None));
        assert_eq!((row.num_replaced_first, row.num_replaced_second), (3, 2));
        // scipy.stats.kendalltau and spearmanr give these values for the ranks (4, 4, 4, 2, 3, 1)
        // and (3, 3, 3, 3, 2, 1).
        assert!((row.kendall_tau.unwrap() - 0.6735753140545634).abs() < 1e-12);
        assert!((row.spearman_rho.unwrap() - 0.7184212081070996).abs() < 1e-12);
        // {5, 3} and {5, 4} share one layer. Two random sets of two layers share at least one layer with the
        // probability 1 - (4 choose 2) / (6 choose 2).
        assert_eq!((row.overlap_k, row.overlap, row.overlap_shares), (2, 1, vec![1.0, 0.5]));
        assert!((row.overlap_by_chance - 4.0 / 6.0).abs() < 1e-12);
        assert!((row.overlap_p.unwrap() - 0.6).abs() < 1e-12);
    }

    #[test]
    fn complete_orders_are_compared_at_half_of_the_layers() {
        let row = compare_orders(&[0, 1, 2, 3, 4, 5], &[5, 4, 1, 3, 2, 0]);
        // {0, 1, 2} and {5, 4, 1} share one layer. On average, two random sets of three layers share 9 / 6
        // layers. They share at least one layer with the probability 1 - (3 choose 3) / (6 choose 3).
        assert_eq!((row.overlap_k, row.overlap, row.overlap_by_chance), (3, 1, 1.5));
        assert!((row.overlap_p.unwrap() - 0.95).abs() < 1e-12);
        assert_eq!((row.overlap_shares.len(), row.overlap_shares[5]), (6, 1.0));
    }

    #[test]
    fn an_empty_order_has_no_agreement() {
        let row = compare_orders(&[], &[1, 2]);
        assert_eq!((row.kendall_tau, row.kendall_q, row.spearman_p), (None, None, None));
        assert_eq!((row.overlap_k, row.overlap_p, row.overlap_q), (0, None, None));
    }

    #[test]
    fn pairs_differ_in_one_setting() {
        let rows = agreement_rows(&fixture::records_of_size(3, 4, 8));
        let num_between = |setting: &str| rows.iter().filter(|row| row.differing_setting == setting).count();
        assert_eq!((num_between("variant"), num_between("task")), (3 * 4, 6 * 3));
        assert_eq!(rows.len(), 30);
        assert!(rows.iter().all(|row| row.variant.is_none() == (row.differing_setting == "variant")));
    }

    #[test]
    fn strategies_are_compared_and_two_orders_without_scores_are_not() {
        let mut records = fixture::records_of_size(1, 2, 8);
        let strategies = [("greedy", SearchStrategy::Greedy {}), ("uniform", SearchStrategy::Uniform {})];
        let of = |(name, strategy): (&str, SearchStrategy)| {
            let named = |mut search: SearchCell| {
                search.cell.labels.axes.insert(STRATEGY_AXIS.to_owned(), name.to_owned());
                search.cell.job.strategy = strategy.clone();
                search.cell.record.spec.id.key =
                    fixture::cell_id(&SearchJob::NAME, &format!("{}-{name}", search.key())).key;
                search
            };
            records.searches.clone().into_iter().map(named).collect::<Vec<_>>()
        };
        records.searches = strategies.into_iter().flat_map(of).collect();
        let rows = agreement_rows(&records);
        let names: Vec<[&str; 3]> = rows
            .iter()
            .map(|row| [row.differing_setting.as_str(), row.first.as_str(), row.second.as_str()])
            .collect();
        assert_eq!(
            names,
            [
                ["search.strategy", "greedy", "uniform"],
                ["search.strategy", "greedy", "uniform"],
                ["task", "arc-easy", "boolq"],
            ]
        );
        // The orders are equal, so the agreement is the highest possible.
        assert!(rows[..2].iter().all(|row| row.kendall_tau == Some(1.0) && row.shared_axes.is_empty()));
    }
}

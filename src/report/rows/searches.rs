//! Computes the rows of the table `searches`.

use rayon::prelude::*;

use super::{format_layers, sorted_searches};
use crate::data::{SplitPolicy, Task};
use crate::report::columns::SearchRow;
use crate::report::derived_values::format_axes;
use crate::report::experiment_records::{ExperimentRecords, SearchCell, TestAnswers};
use crate::report::paired::PairedScores;
use crate::report::paper_match;
use crate::report::score_interval::score_interval;
use crate::stats::benjamini_hochberg;
use dtr_core::seed::Seed;

/// Returns the rows of the table `searches`.
pub(in crate::report) fn search_rows(records: &ExperimentRecords) -> Vec<SearchRow> {
    let row = |search| row(search, records.confidence);
    // Each row resamples with its own seed, so the result does not depend on the order in which threads run.
    let mut rows: Vec<SearchRow> = sorted_searches(records).into_par_iter().map(row).collect();
    let adjusted =
        |p_value: fn(&SearchRow) -> f64| benjamini_hochberg(&rows.iter().map(p_value).collect::<Vec<_>>());
    let q_values = adjusted(|row| row.p_value_best).into_iter().zip(adjusted(|row| row.p_value_opt));
    for (row, (best, opt)) in rows.iter_mut().zip(q_values.collect::<Vec<_>>()) {
        (row.q_value_best, row.q_value_opt) = (best, opt);
    }
    rows
}

/// A test score and its confidence interval.
struct ScoreInterval {
    score: f64,
    low: f64,
    high: f64,
}

impl ScoreInterval {
    fn new(task: &Task, test: &TestAnswers, confidence: f64) -> Self {
        let (low, high) = score_interval(task, test, confidence);
        Self { score: test.score, low, high }
    }

    /// Returns this score minus a published score of `percent` %, in percentage points.
    fn minus_percent(&self, percent: f64) -> f64 {
        100.0 * self.score - percent
    }

    /// Returns whether the interval contains a published score of `percent` %.
    fn contains_percent(&self, percent: f64) -> bool {
        (self.low..=self.high).contains(&(percent / 100.0))
    }
}

/// Returns the row of one search. Its q-values are uncorrected p-values. The caller must replace them by
/// p-values that are corrected over all rows.
fn row(search: &SearchCell, confidence: f64) -> SearchRow {
    let (best, opt) = (&search.best, &search.opt);
    let [p_base, p_best, p_opt] = [&search.base_answers, &search.best_answers, &search.opt_answers]
        .map(|test| ScoreInterval::new(&search.job.task, test, confidence));
    let [best_pairs, opt_pairs] = [&search.best_answers, &search.opt_answers]
        .map(|hybrid| PairedScores::new(&search.base_answers, hybrid));
    let seed = Seed(0).child(&search.key());
    let best_interval = best_pairs.interval(confidence, seed.child("best"));
    let opt_interval = opt_pairs.interval(confidence, seed.child("opt"));
    let gap_base = 100.0 * (search.base - p_base.score);
    let gap_best = 100.0 * (best.validation - p_best.score);
    let (cell, optimal) = (paper_match::matching_score(search), paper_match::matching_speedup(search));
    SearchRow {
        model: search.labels.model.clone(),
        variant: search.variant().to_owned(),
        task: search.task().to_owned(),
        axes: format_axes(&search.labels.axes),
        p_base: p_base.score,
        p_base_low: p_base.low,
        p_base_high: p_base.high,
        p_best: p_best.score,
        p_best_low: p_best.low,
        p_best_high: p_best.high,
        num_replaced: best.layers.len() as u32,
        layers: format_layers(&best.layers),
        p_opt: p_opt.score,
        p_opt_low: p_opt.low,
        p_opt_high: p_opt.high,
        num_replaced_opt: opt.layers.len() as u32,
        layers_opt: format_layers(&opt.layers),
        num_layers: search.num_layers,
        items: search.base_answers.num_items,
        truncated_items: search.base_answers.num_truncated,
        difference_best: best_pairs.difference(),
        difference_best_low: best_interval.0,
        difference_best_high: best_interval.1,
        p_value_best: best_pairs.p_value(),
        q_value_best: best_pairs.p_value(),
        difference_opt: opt_pairs.difference(),
        difference_opt_low: opt_interval.0,
        difference_opt_high: opt_interval.1,
        p_value_opt: opt_pairs.p_value(),
        q_value_opt: opt_pairs.p_value(),
        matches_base: p_best.score >= p_base.score,
        validation_base: search.base,
        validation_best: best.validation,
        validation_opt: opt.validation,
        validation_minus_test_base: gap_base,
        validation_minus_test_best: gap_best,
        validation_minus_test_opt: 100.0 * (opt.validation - p_opt.score),
        selection_effect: gap_best - gap_base,
        validation_items: search.validation_items,
        splits: splits(search).to_owned(),
        evaluations: search.evaluations,
        cell_paper: cell.map(|cell| cell.entry_name()),
        p_base_paper: cell.map(|cell| cell.p_base / 100.0),
        base_minus_paper: cell.map(|cell| p_base.minus_percent(cell.p_base)),
        p_base_paper_inside: cell.map(|cell| p_base.contains_percent(cell.p_base)),
        p_best_paper: cell.map(|cell| cell.p_best / 100.0),
        best_minus_paper: cell.map(|cell| p_best.minus_percent(cell.p_best)),
        p_best_paper_inside: cell.map(|cell| p_best.contains_percent(cell.p_best)),
        num_replaced_paper: cell.map(|cell| cell.num_replaced),
        p_opt_paper: optimal.map(|cell| cell.p_opt / 100.0),
        opt_minus_paper: optimal.map(|cell| p_opt.minus_percent(cell.p_opt)),
        p_opt_paper_inside: optimal.map(|cell| p_opt.contains_percent(cell.p_opt)),
        num_replaced_opt_paper: optimal.map(|cell| cell.num_replaced),
        cell_key: search.key(),
    }
}

/// Returns the value of the column `splits`.
fn splits(search: &SearchCell) -> &'static str {
    match search.job.task.split_policy() {
        None => "own",
        Some(SplitPolicy::HeldOut) => "held-out",
        Some(SplitPolicy::AsPublished) => "as-published",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn jet_on_arc_easy(change: impl FnOnce(&mut SearchCell)) -> SearchRow {
        let records = fixture::records_of_hub_base("Qwen2.5-1.5B");
        let is_match = |search: &SearchCell| search.block_kind() == "jet" && search.task() == "arc-easy";
        let mut search = records.searches.into_iter().find(is_match).unwrap();
        change(&mut search);
        row(&search, 0.95)
    }

    #[track_caller]
    fn assert_close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    }

    #[test]
    fn scores_are_compared_with_the_scores_of_the_paper() {
        // The paper's scores are 72.0 for the base and 74.7 for the hybrid with 2 replaced layers.
        let row = jet_on_arc_easy(|search| {
            search.base_answers = fixture::answers(144, 200);
            search.best_answers = fixture::answers(124, 200);
        });
        assert_eq!(row.cell_paper.as_deref(), Some("Qwen2.5-1.5B/jet/arc_easy"));
        assert_eq!((row.p_base_paper, row.num_replaced_paper), (Some(0.72), Some(2)));
        assert_close(row.base_minus_paper.unwrap(), 0.0);
        assert_close(row.best_minus_paper.unwrap(), -12.7);
        // scipy gives the intervals (0.6542, 0.7776) for 144 of 200 and (0.5511, 0.6844) for 124 of 200.
        assert_eq!((row.p_base_paper_inside, row.p_best_paper_inside), (Some(true), Some(false)));
        assert_eq!((row.p_opt_paper, row.opt_minus_paper, row.p_opt_paper_inside), (None, None, None));
    }

    #[test]
    fn columns_about_the_paper_are_null_without_an_entry() {
        let row = jet_on_arc_easy(|search| search.cell.labels.task = Some("facts".to_owned()));
        assert_eq!((row.cell_paper, row.p_base_paper, row.p_best_paper_inside), (None, None, None));
    }

    #[test]
    fn the_selection_effect_excludes_the_difference_between_the_splits() {
        let row = jet_on_arc_easy(|search| {
            search.base_answers = fixture::answers(140, 200);
            search.base = 0.72;
            search.best_answers = fixture::answers(136, 200);
            search.best.validation = 0.75;
        });
        assert_close(row.validation_minus_test_base, 2.0);
        assert_close(row.validation_minus_test_best, 7.0);
        assert_close(row.selection_effect, 5.0);
        assert_close(row.difference_best, -2.0);
        // The base answers four items correctly that the hybrid answers incorrectly, so p = 2 / 2^4.
        assert_close(row.p_value_best, 0.125);
        assert!(row.difference_best_low < -2.0 && row.difference_best_high <= 0.0, "{row:?}");
    }

    #[test]
    fn p_values_are_corrected_over_all_rows() {
        let mut records = fixture::records_of_hub_base("Qwen2.5-1.5B");
        records.searches.truncate(4);
        // The exact McNemar p-values are 2^-6, 2^-5, 2^-3 and 1. The Benjamini-Hochberg correction multiplies
        // them by 4/1, 4/2, 4/3 and 1.
        for (search, num_lost) in records.searches.iter_mut().zip([7, 6, 4, 0]) {
            search.base_answers = fixture::answers(100, 200);
            search.best_answers = fixture::answers(100 - num_lost, 200);
        }
        let mut rows = search_rows(&records);
        rows.sort_by(|a, b| a.p_value_best.total_cmp(&b.p_value_best));
        for (row, expected) in rows.iter().zip([0.0625, 0.0625, 1.0 / 6.0, 1.0]) {
            assert_close(row.q_value_best, expected);
        }
    }
}

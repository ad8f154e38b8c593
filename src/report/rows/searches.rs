//! The rows of `table1`.

use rayon::prelude::*;

use super::{layers_text, sorted_searches};
use crate::data::SplitPolicy;
use crate::report::columns::SearchRow;
use crate::report::derived::format_axes;
use crate::report::experiment_records::{ExperimentRecords, SearchCell, TestAnswers};
use crate::report::paired::Pairing;
use crate::report::paper_match;
use crate::stats::{benjamini_hochberg, wilson_interval};
use dtr_core::seed::Seed;

/// The rows of `table1`.
pub(in crate::report) fn search_rows(records: &ExperimentRecords) -> Vec<SearchRow> {
    let row = |search| row(search, records.confidence);
    // Each row draws its resamples from a seed of its own.
    let mut rows: Vec<SearchRow> = sorted_searches(records).into_par_iter().map(row).collect();
    let adjusted =
        |p_value: fn(&SearchRow) -> f64| benjamini_hochberg(&rows.iter().map(p_value).collect::<Vec<_>>());
    let q_values = adjusted(|row| row.p_value_best).into_iter().zip(adjusted(|row| row.p_value_opt));
    for (row, (best, opt)) in rows.iter_mut().zip(q_values.collect::<Vec<_>>()) {
        (row.q_value_best, row.q_value_opt) = (best, opt);
    }
    rows
}

/// A score with its interval.
struct Scored {
    score: f64,
    low: f64,
    high: f64,
}

impl Scored {
    fn new(test: &TestAnswers, confidence: f64) -> Self {
        let (low, high) = wilson_interval(test.num_correct, test.num_items, confidence);
        Self { score: test.score, low, high }
    }

    /// By how many points the score is over a published one, in percent.
    fn minus(&self, percent: f64) -> f64 {
        100.0 * self.score - percent
    }

    /// Whether a published score, in percent, lies in the interval.
    fn holds(&self, percent: f64) -> bool {
        (self.low..=self.high).contains(&(percent / 100.0))
    }
}

/// The row of one search; its p-values are not adjusted yet.
fn row(search: &SearchCell, confidence: f64) -> SearchRow {
    let (best, opt) = (&search.best, &search.opt);
    let [p_base, p_best, p_opt] = [&search.base_answers, &search.best_answers, &search.opt_answers]
        .map(|test| Scored::new(test, confidence));
    let [to_best, to_opt] =
        [&search.best_answers, &search.opt_answers].map(|hybrid| Pairing::of(&search.base_answers, hybrid));
    let seed = Seed(0).child(&search.key());
    let best_interval = to_best.interval(confidence, seed.child("best"));
    let opt_interval = to_opt.interval(confidence, seed.child("opt"));
    let fall_base = 100.0 * (search.base - p_base.score);
    let fall_best = 100.0 * (best.validation - p_best.score);
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
        layers: layers_text(&best.layers),
        p_opt: p_opt.score,
        p_opt_low: p_opt.low,
        p_opt_high: p_opt.high,
        num_replaced_opt: opt.layers.len() as u32,
        layers_opt: layers_text(&opt.layers),
        num_layers: search.num_layers,
        items: search.base_answers.num_items,
        truncated_items: search.base_answers.num_truncated,
        difference_best: to_best.difference(),
        difference_best_low: best_interval.0,
        difference_best_high: best_interval.1,
        p_value_best: to_best.p_value(),
        q_value_best: to_best.p_value(),
        difference_opt: to_opt.difference(),
        difference_opt_low: opt_interval.0,
        difference_opt_high: opt_interval.1,
        p_value_opt: to_opt.p_value(),
        q_value_opt: to_opt.p_value(),
        matches_base: p_best.score >= p_base.score,
        validation_base: search.base,
        validation_best: best.validation,
        validation_opt: opt.validation,
        validation_minus_test_base: fall_base,
        validation_minus_test_best: fall_best,
        validation_minus_test_opt: 100.0 * (opt.validation - p_opt.score),
        selection_effect: fall_best - fall_base,
        validation_items: search.validation_items,
        splits: splits(search).to_owned(),
        evaluations: search.evaluations,
        cell_paper: cell.map(|cell| cell.cell_name()),
        p_base_paper: cell.map(|cell| cell.p_base / 100.0),
        base_minus_paper: cell.map(|cell| p_base.minus(cell.p_base)),
        p_base_paper_inside: cell.map(|cell| p_base.holds(cell.p_base)),
        p_best_paper: cell.map(|cell| cell.p_best / 100.0),
        best_minus_paper: cell.map(|cell| p_best.minus(cell.p_best)),
        p_best_paper_inside: cell.map(|cell| p_best.holds(cell.p_best)),
        num_replaced_paper: cell.map(|cell| cell.num_replaced),
        p_opt_paper: optimal.map(|cell| cell.p_opt / 100.0),
        opt_minus_paper: optimal.map(|cell| p_opt.minus(cell.p_opt)),
        p_opt_paper_inside: optimal.map(|cell| p_opt.holds(cell.p_opt)),
        num_replaced_opt_paper: optimal.map(|cell| cell.num_replaced),
        cell_key: search.key(),
    }
}

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
        let records = fixture::of_paper("Qwen2.5-1.5B");
        let is_it = |search: &SearchCell| search.block() == "jet" && search.task() == "arc-easy";
        let mut search = records.searches.into_iter().find(is_it).unwrap();
        change(&mut search);
        row(&search, 0.95)
    }

    #[track_caller]
    fn close(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() < 1e-9, "{ours} against {theirs}");
    }

    #[test]
    fn the_papers_scores_stand_beside_ours() {
        // The paper: 72.0 for the base, 74.7 with 2 layers replaced.
        let row = jet_on_arc_easy(|search| {
            search.base_answers = fixture::answers(144, 200);
            search.best_answers = fixture::answers(124, 200);
        });
        assert_eq!(row.cell_paper.as_deref(), Some("Qwen2.5-1.5B/jet/arc_easy"));
        assert_eq!((row.p_base_paper, row.num_replaced_paper), (Some(0.72), Some(2)));
        close(row.base_minus_paper.unwrap(), 0.0);
        close(row.best_minus_paper.unwrap(), -12.7);
        // Intervals by scipy: (0.6542, 0.7776) of 144 of 200, (0.5511, 0.6844) of 124.
        assert_eq!((row.p_base_paper_inside, row.p_best_paper_inside), (Some(true), Some(false)));
        assert_eq!((row.p_opt_paper, row.opt_minus_paper, row.p_opt_paper_inside), (None, None, None));
    }

    #[test]
    fn what_the_paper_lacks_is_null() {
        let row = jet_on_arc_easy(|search| search.cell.labels.task = Some("facts".to_owned()));
        assert_eq!((row.cell_paper, row.p_base_paper, row.p_best_paper_inside), (None, None, None));
    }

    #[test]
    fn what_choice_flatters_is_told_from_how_easy_the_split_is() {
        let row = jet_on_arc_easy(|search| {
            search.base_answers = fixture::answers(140, 200);
            search.base = 0.72;
            search.best_answers = fixture::answers(136, 200);
            search.best.validation = 0.75;
        });
        close(row.validation_minus_test_base, 2.0);
        close(row.validation_minus_test_best, 7.0);
        close(row.selection_effect, 5.0);
        close(row.difference_best, -2.0);
        // Four items that the base alone answers right: twice the chance that four coins fall alike.
        close(row.p_value_best, 0.125);
        assert!(row.difference_best_low < -2.0 && row.difference_best_high <= 0.0, "{row:?}");
    }

    #[test]
    fn p_values_are_adjusted_over_all_rows() {
        let mut records = fixture::of_paper("Qwen2.5-1.5B");
        records.searches.truncate(4);
        // Exact McNemar p-values 2^-6, 2^-5, 2^-3 and 1, which Benjamini and Hochberg multiply by 4/1, 4/2,
        // 4/3 and 1.
        for (search, num_lost) in records.searches.iter_mut().zip([7, 6, 4, 0]) {
            search.base_answers = fixture::answers(100, 200);
            search.best_answers = fixture::answers(100 - num_lost, 200);
        }
        let mut rows = search_rows(&records);
        rows.sort_by(|a, b| a.p_value_best.total_cmp(&b.p_value_best));
        for (row, expected) in rows.iter().zip([0.0625, 0.0625, 1.0 / 6.0, 1.0]) {
            close(row.q_value_best, expected);
        }
    }
}

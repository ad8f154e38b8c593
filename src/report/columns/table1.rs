//! The columns of `table1`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, Row, TableSpec, Value, tables};

tables! {
    /// One row per search: the base against the two hybrids that the search chose, on the held-out test split.
    table1 of Table1Row {
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant.
        variant: String => "",
        /// Name of the task.
        task: String => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// Test score of the base.
        p_base: f64 => "fraction",
        /// Lower end of the Wilson interval of `p_base`.
        p_base_low: f64 => "fraction",
        /// Upper end of the Wilson interval of `p_base`.
        p_base_high: f64 => "fraction",
        /// Test score of M_best, the hybrid with the highest validation score.
        p_best: f64 => "fraction",
        /// Lower end of the Wilson interval of `p_best`.
        p_best_low: f64 => "fraction",
        /// Upper end of the Wilson interval of `p_best`.
        p_best_high: f64 => "fraction",
        /// Number of layers that M_best has replaced.
        num_replaced: u32 => "layers",
        /// The layers that M_best has replaced, ascending from 0 and joined by commas.
        layers: String => "",
        /// Test score of M_opt, the hybrid with most layers replaced that the threshold allows.
        p_opt: f64 => "fraction",
        /// Lower end of the Wilson interval of `p_opt`.
        p_opt_low: f64 => "fraction",
        /// Upper end of the Wilson interval of `p_opt`.
        p_opt_high: f64 => "fraction",
        /// Number of layers that M_opt has replaced.
        num_replaced_opt: u32 => "layers",
        /// The layers that M_opt has replaced, ascending from 0 and joined by commas.
        layers_opt: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Number of test items.
        items: u64 => "items",
        /// Number of test items whose beginning was cut to fit the base's context.
        truncated_items: u64 => "items",
        /// `p_best` minus `p_base`, on the same items.
        difference_best: f64 => "points",
        /// Lower end of the paired bootstrap interval of `difference_best`: 9,999 resamples of the items, percentiles.
        difference_best_low: f64 => "points",
        /// Upper end of the paired bootstrap interval of `difference_best`.
        difference_best_high: f64 => "points",
        /// Two-sided exact McNemar p-value that M_best and the base are equally good, on the same items and
        /// not corrected for the number of comparisons.
        p_value_best: f64 => "probability",
        /// `p_value_best` adjusted by Benjamini and Hochberg over all rows of this table: of the rows called different up
        /// to a value, that share is expected to be called so wrongly.
        q_value_best: f64 => "probability",
        /// `p_opt` minus `p_base`, on the same items.
        difference_opt: f64 => "points",
        /// Lower end of the paired bootstrap interval of `difference_opt`: 9,999 resamples of the items, percentiles.
        difference_opt_low: f64 => "points",
        /// Upper end of the paired bootstrap interval of `difference_opt`.
        difference_opt_high: f64 => "points",
        /// Two-sided exact McNemar p-value that M_opt and the base are equally good, on the same items and
        /// not corrected for the number of comparisons.
        p_value_opt: f64 => "probability",
        /// `p_value_opt` adjusted by Benjamini and Hochberg over all rows of this table.
        q_value_opt: f64 => "probability",
        /// Whether `p_best` matches or exceeds `p_base`.
        matches_base: bool => "",
        /// Validation score of the base.
        validation_base: f64 => "fraction",
        /// Validation score of M_best, the maximum of all that were tried and so flattered by selection.
        validation_best: f64 => "fraction",
        /// Validation score of M_opt.
        validation_opt: f64 => "fraction",
        /// `validation_base` minus `p_base`: by how much the validation split is easier than the test split.
        validation_minus_test_base: f64 => "points",
        /// `validation_best` minus `p_best`: how easy the split is, and what choosing the maximum flatters.
        validation_minus_test_best: f64 => "points",
        /// `validation_opt` minus `p_opt`.
        validation_minus_test_opt: f64 => "points",
        /// `validation_minus_test_best` minus `validation_minus_test_base`: what is left of it for the choice.
        selection_effect: f64 => "points",
        /// Number of validation items.
        validation_items: u32 => "items",
        /// Where the validation items come from: `own` where the task has a split for them; `held-out` where its one
        /// labelled split was cut in two; `as-published` where that split served both, so that selection saw what is
        /// reported.
        splits: String => "",
        /// Number of times the search scored a hybrid.
        evaluations: u64 => "scorings",
        /// Name of the cell of the paper's Table 1 (arXiv 2601.11667 v2) that this greedy search is the counterpart of:
        /// base, kind of linear block and task, joined by slashes; null where the paper has none, and then so are the
        /// columns after it.
        cell_paper: Option<String> => "",
        /// Test score of the base in the paper's Table 1, as printed.
        p_base_paper: Option<f64> => "fraction",
        /// `p_base` minus `p_base_paper`.
        base_minus_paper: Option<f64> => "points",
        /// Whether `p_base_paper` lies in the interval from `p_base_low` to `p_base_high`.
        p_base_paper_inside: Option<bool> => "",
        /// Test score of M_best in the paper's Table 1, as printed.
        p_best_paper: Option<f64> => "fraction",
        /// `p_best` minus `p_best_paper`.
        best_minus_paper: Option<f64> => "points",
        /// Whether `p_best_paper` lies in the interval from `p_best_low` to `p_best_high`.
        p_best_paper_inside: Option<bool> => "",
        /// Number of layers that the paper's M_best has replaced.
        num_replaced_paper: Option<u32> => "layers",
        /// Test score of M_opt in the paper's Table 2, as printed; null unless this search stopped at a relative drop
        /// of 5 % as there.
        p_opt_paper: Option<f64> => "fraction",
        /// `p_opt` minus `p_opt_paper`.
        opt_minus_paper: Option<f64> => "points",
        /// Whether `p_opt_paper` lies in the interval from `p_opt_low` to `p_opt_high`.
        p_opt_paper_inside: Option<bool> => "",
        /// Number of layers that the paper's M_opt has replaced.
        num_replaced_opt_paper: Option<u32> => "layers",
        /// Key of the search's cell.
        key: String => "",
    }
}

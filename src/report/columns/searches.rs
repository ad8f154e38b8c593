//! The columns of the table `searches`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};

tables! {
    /// One row per search: scores of the base and of the two hybrids that the search selected, M_best and
    /// M_opt. Scores are on the test split, except in columns whose names begin with `validation`.
    searches: SearchRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Test score of the base: the fraction of test items that it answers correctly, from 0 to 1.
        p_base: f64 => "fraction",
        /// Lower end of the confidence interval of `p_base`, from 0 to 1.
        p_base_low: f64 => "fraction",
        /// Upper end of the confidence interval of `p_base`, from 0 to 1.
        p_base_high: f64 => "fraction",
        /// Test score of M_best, the hybrid with the highest validation score, from 0 to 1.
        p_best: f64 => "fraction",
        /// Lower end of the confidence interval of `p_best`, from 0 to 1.
        p_best_low: f64 => "fraction",
        /// Upper end of the confidence interval of `p_best`, from 0 to 1.
        p_best_high: f64 => "fraction",
        /// Number of layers that M_best replaces with linear twins, from 0 to `num_layers`.
        num_replaced: u32 => "layers",
        /// Layers that M_best replaces, counted from 0, in ascending order, joined by commas; empty if M_best
        /// replaces no layer.
        layers: String => "",
        /// Test score of M_opt, the last hybrid that the search accepted, from 0 to 1; M_opt has the most
        /// replaced layers of all accepted hybrids.
        p_opt: f64 => "fraction",
        /// Lower end of the confidence interval of `p_opt`, from 0 to 1.
        p_opt_low: f64 => "fraction",
        /// Upper end of the confidence interval of `p_opt`, from 0 to 1.
        p_opt_high: f64 => "fraction",
        /// Number of layers that M_opt replaces with linear twins, from 0 to `num_layers`.
        num_replaced_opt: u32 => "layers",
        /// Layers that M_opt replaces, counted from 0, in ascending order, joined by commas; empty if M_opt
        /// replaces no layer.
        layers_opt: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Number of test items.
        items: u64 => "items",
        /// Number of test items whose beginning was cut off to fit the context of the base.
        truncated_items: u64 => "items",
        /// `p_best` minus `p_base` on the same items, from -100 to 100.
        difference_best: f64 => "points",
        /// Lower end of the confidence interval of `difference_best`, by a paired bootstrap of 9,999
        /// resamples.
        difference_best_low: f64 => "points",
        /// Upper end of the confidence interval of `difference_best`, by a paired bootstrap of 9,999
        /// resamples.
        difference_best_high: f64 => "points",
        /// Two-sided p-value of a paired test of M_best against the base on the same items (McNemar's exact
        /// test, or a permutation test if some answers are neither right nor wrong), not corrected for multiple
        /// comparisons.
        p_value_best: f64 => "probability",
        /// `p_value_best` corrected over all rows of this table by the Benjamini-Hochberg procedure: the
        /// lowest false discovery rate at which the row is significant.
        q_value_best: f64 => "probability",
        /// `p_opt` minus `p_base` on the same items, from -100 to 100.
        difference_opt: f64 => "points",
        /// Lower end of the confidence interval of `difference_opt`, by a paired bootstrap of 9,999
        /// resamples.
        difference_opt_low: f64 => "points",
        /// Upper end of the confidence interval of `difference_opt`, by a paired bootstrap of 9,999
        /// resamples.
        difference_opt_high: f64 => "points",
        /// Two-sided p-value of a paired test of M_opt against the base on the same items (McNemar's exact
        /// test, or a permutation test if some answers are neither right nor wrong), not corrected for multiple
        /// comparisons.
        p_value_opt: f64 => "probability",
        /// `p_value_opt` corrected over all rows of this table by the Benjamini-Hochberg procedure.
        q_value_opt: f64 => "probability",
        /// Whether `p_best` is at least `p_base`.
        matches_base: bool => "",
        /// Validation score of the base, from 0 to 1.
        validation_base: f64 => "fraction",
        /// Validation score of M_best, from 0 to 1, biased upwards as the maximum over all candidates.
        validation_best: f64 => "fraction",
        /// Validation score of M_opt, from 0 to 1.
        validation_opt: f64 => "fraction",
        /// `validation_base` minus `p_base`, positive if the validation split is easier for the base than the
        /// test split.
        validation_minus_test_base: f64 => "points",
        /// `validation_best` minus `p_best`: the difference between the splits plus the bias of selecting a
        /// maximum.
        validation_minus_test_best: f64 => "points",
        /// `validation_opt` minus `p_opt`.
        validation_minus_test_opt: f64 => "points",
        /// `validation_minus_test_best` minus `validation_minus_test_base`: an estimate of the bias of
        /// selecting a maximum.
        selection_effect: f64 => "points",
        /// Number of validation items.
        validation_items: u32 => "items",
        /// Source of the validation items: `own` if the task has a validation split, `held-out` if one
        /// labelled split was cut into a validation half and a test half, `as-published` if the validation
        /// items are also the test items.
        splits: String => "",
        /// Number of hybrids that the search scored, including scores that were read from the cache.
        evaluations: u64 => "scorings",
        /// Entry of the paper's Table 1 (arXiv 2601.11667 v2) that corresponds to this search, as
        /// `base/block/task`; null if the search is not greedy or the paper has no such entry.
        cell_paper: Option<String> => "",
        /// Test score of the base in the paper's Table 1, from 0 to 1; null if `cell_paper` is null.
        p_base_paper: Option<f64> => "fraction",
        /// `p_base` minus `p_base_paper`; null if `cell_paper` is null.
        base_minus_paper: Option<f64> => "points",
        /// Whether `p_base_paper` lies between `p_base_low` and `p_base_high`; null if `cell_paper` is null.
        p_base_paper_inside: Option<bool> => "",
        /// Test score of M_best in the paper's Table 1, from 0 to 1; null if `cell_paper` is null.
        p_best_paper: Option<f64> => "fraction",
        /// `p_best` minus `p_best_paper`; null if `cell_paper` is null.
        best_minus_paper: Option<f64> => "points",
        /// Whether `p_best_paper` lies between `p_best_low` and `p_best_high`; null if `cell_paper` is null.
        p_best_paper_inside: Option<bool> => "",
        /// Number of layers that M_best of the paper's Table 1 replaces; null if `cell_paper` is null.
        num_replaced_paper: Option<u32> => "layers",
        /// Test score of M_opt in the paper's Table 2, from 0 to 1; null if Table 2 has no such entry, or if
        /// this search does not stop at a relative drop of 5 % as in the paper.
        p_opt_paper: Option<f64> => "fraction",
        /// `p_opt` minus `p_opt_paper`; null if `p_opt_paper` is null.
        opt_minus_paper: Option<f64> => "points",
        /// Whether `p_opt_paper` lies between `p_opt_low` and `p_opt_high`; null if `p_opt_paper` is null.
        p_opt_paper_inside: Option<bool> => "",
        /// Number of layers that M_opt of the paper's Table 2 replaces; null if `p_opt_paper` is null.
        num_replaced_opt_paper: Option<u32> => "layers",
        /// Key of the search's cell.
        cell_key: String => "",
    }
}

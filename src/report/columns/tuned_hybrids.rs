//! The columns of the table `tuned_hybrids`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};

tables! {
    /// One row per hybrid that was trained after its search by logit distillation: its test score beside
    /// those of two controls, the same hybrid before this training and the base. All scores are on the same
    /// items of the test split of the search's task.
    tuned_hybrids: TunedHybridRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Entry of `logit-distil.hybrids` that names the hybrid: `hybrid=opt`, `hybrid=best`, or `replaced=`
        /// and a number of layers.
        hybrid: String => "",
        /// Trained parts of the hybrid: `mixers` or `all`.
        train: String => "",
        /// Number of layers that the hybrid replaces with linear twins, from 1 to `num_layers`.
        num_replaced: u32 => "layers",
        /// Layers that the hybrid replaces, counted from 0, in ascending order, joined by commas.
        layers: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Number of tokens that the hybrid was trained on after the search.
        tokens: u64 => "tokens",
        /// Number of trained parameters.
        num_parameters: u64 => "parameters",
        /// Kullback-Leibler divergence of the hybrid from the base before this training, on the first batch.
        divergence_before: f64 => "nats per token",
        /// Mean of the same divergence in the last steps of this training (at most 8).
        divergence_after: f64 => "nats per token",
        /// Test score of the base: the fraction of test items that it answers correctly, from 0 to 1.
        p_base: f64 => "fraction",
        /// Test score of the hybrid before this training, from 0 to 1.
        p_hybrid: f64 => "fraction",
        /// Test score of the hybrid after this training, from 0 to 1.
        p_tuned: f64 => "fraction",
        /// Lower end of the confidence interval of `p_tuned`, from 0 to 1.
        p_tuned_low: f64 => "fraction",
        /// Upper end of the confidence interval of `p_tuned`, from 0 to 1.
        p_tuned_high: f64 => "fraction",
        /// Fraction of the gap between base and hybrid that this training closed: `p_tuned` minus `p_hybrid`,
        /// divided by `p_base` minus `p_hybrid`; null if the hybrid is not below the base.
        gap_closed: Option<f64> => "fraction",
        /// `p_tuned` minus `p_hybrid` on the same items, from -100 to 100.
        gain: f64 => "points",
        /// Lower end of the confidence interval of `gain`, by a paired bootstrap of 9,999 resamples.
        gain_low: f64 => "points",
        /// Upper end of the confidence interval of `gain`, by a paired bootstrap of 9,999 resamples.
        gain_high: f64 => "points",
        /// Two-sided p-value of a paired test of the hybrid after this training against the hybrid before it,
        /// on the same items (McNemar's exact test, or a permutation test if some answers are neither right
        /// nor wrong), not corrected for multiple comparisons.
        p_value_gain: f64 => "probability",
        /// `p_tuned` minus `p_base` on the same items, from -100 to 100.
        difference: f64 => "points",
        /// Lower end of the confidence interval of `difference`, by a paired bootstrap of 9,999 resamples.
        difference_low: f64 => "points",
        /// Upper end of the confidence interval of `difference`, by a paired bootstrap of 9,999 resamples.
        difference_high: f64 => "points",
        /// Two-sided p-value of a paired test of the hybrid after this training against the base on the same
        /// items, by the same test as `p_value_gain`, not corrected for multiple comparisons.
        p_value: f64 => "probability",
        /// Number of test items.
        items: u64 => "items",
        /// Key of the cell that trained the hybrid.
        training_key: String => "",
        /// Key of the cell that scored the hybrid and its controls.
        cell_key: String => "",
    }
}

//! The columns of the table `earlier_stops`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};

tables! {
    /// One row per search and stop criterion of `search.earlier-stops`: the hybrid that the search would have
    /// accepted last under this criterion. A criterion under which the search would have continued beyond its
    /// last round has no row.
    earlier_stops: EarlierStopRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Stop criterion: `max-relative-drop` or `replaced-layers`.
        criterion: String => "",
        /// Value of the criterion: the fraction of the base's validation score that may be lost, or the number
        /// of replaced layers.
        value: f64 => "",
        /// Number of layers that the hybrid replaces with linear twins, from 0 to `num_layers`.
        num_replaced: u32 => "layers",
        /// Layers that the hybrid replaces, counted from 0, in ascending order, joined by commas; empty if
        /// there are none.
        layers: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Test score of the base: the fraction of test items that it answers correctly, from 0 to 1.
        p_base: f64 => "fraction",
        /// Test score of the hybrid, from 0 to 1.
        p_hybrid: f64 => "fraction",
        /// Lower end of the confidence interval of `p_hybrid`, from 0 to 1.
        p_hybrid_low: f64 => "fraction",
        /// Upper end of the confidence interval of `p_hybrid`, from 0 to 1.
        p_hybrid_high: f64 => "fraction",
        /// `p_hybrid` minus `p_base` on the same items, from -100 to 100.
        difference: f64 => "points",
        /// Lower end of the confidence interval of `difference`, by a paired bootstrap of 9,999 resamples.
        difference_low: f64 => "points",
        /// Upper end of the confidence interval of `difference`, by a paired bootstrap of 9,999 resamples.
        difference_high: f64 => "points",
        /// Two-sided p-value of a paired test of the hybrid against the base on the same items (McNemar's exact
        /// test, or a permutation test if some answers are neither right nor wrong), not corrected for multiple
        /// comparisons.
        p_value: f64 => "probability",
        /// Validation score of the base, from 0 to 1.
        validation_base: f64 => "fraction",
        /// Validation score of the hybrid, from 0 to 1.
        validation: f64 => "fraction",
        /// Number of test items.
        items: u64 => "items",
        /// Key of the cell of the search.
        cell_key: String => "",
    }
}

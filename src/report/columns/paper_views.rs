//! The columns of the tables that have the layout of the paper's tables: `table1`, `compute_hours` and
//! `speedup`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};

const TASK: ColumnSpec = ColumnSpec {
    name: "task",
    dtype: "String",
    nullable: false,
    unit: "",
    about: "Name of the task in the manifest.",
};

const AXES: ColumnSpec = ColumnSpec {
    name: "axes",
    dtype: "String",
    nullable: false,
    unit: "",
    about: "Values of the sweep axes other than model, variant and task as `key=value`, joined by commas; \
            empty if the sweep has no such axis.",
};

/// Template of a column of `table1`: the score of a base. The table has one such column per base.
pub(in crate::report) const BASE_SCORE: ColumnSpec = ColumnSpec {
    name: "base[{model}]",
    dtype: "Float64",
    nullable: true,
    unit: "percent",
    about: "Test score of the base `{model}`, from 0 to 100; null if no search of this base on this task is done.",
};

/// Template of a column of `table1`: the score of M_best. The table has one such column per base and variant.
pub(in crate::report) const HYBRID_SCORE: ColumnSpec = ColumnSpec {
    name: "score[{model}/{variant}]",
    dtype: "Float64",
    nullable: true,
    unit: "percent",
    about: "Test score of M_best of the base `{model}` with twins of the variant `{variant}`, from 0 to 100; \
            null if the search is not done.",
};

/// Template of a column of `table1`: the number of layers that M_best replaces. The table has one such column
/// per base and variant.
pub(in crate::report) const HYBRID_LAYERS: ColumnSpec = ColumnSpec {
    name: "layers[{model}/{variant}]",
    dtype: "UInt32",
    nullable: true,
    unit: "layers",
    about: "Number of layers that M_best of this base and variant replaces with linear twins; null if the \
            search is not done.",
};

/// The table `table1`. A column with braces in its name is a template. The file has one column in its place
/// for each base, or for each base and variant.
pub(in crate::report) const TABLE1: TableSpec = TableSpec {
    name: "table1",
    about: "One row per task, in the layout of the paper's Table 1: the test score of each base, and for \
            each of its variants the test score of M_best and its number of replaced layers. M_best is the \
            hybrid with the highest validation score of a search. The table `searches` has the same numbers \
            with confidence intervals, one row per search.",
    columns: &[TASK, AXES, BASE_SCORE, HYBRID_SCORE, HYBRID_LAYERS],
};

tables! {
    /// One row per base and device, in the layout of the paper's Table 3: the average device time of one
    /// search and of its distillation. The table `cost` has one row per search. Times differ from run to run.
    compute_hours: ComputeHoursRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Name of the device of the distillation and the search; if they used different devices, the names
        /// of the two devices joined by ` + `.
        device: String => "",
        /// Average of `distil_hours` over the rows of `cost` with this base, axes and device.
        distil_hours: f64 => "hours",
        /// Average of `search_hours` over the rows of `cost` with this base, axes and device.
        search_hours: f64 => "hours",
        /// Sum of `distil_hours` and `search_hours`.
        total_hours: f64 => "hours",
        /// Number of rows of `cost` in the averages.
        searches: u32 => "searches",
    }

    /// One row per search and matching timing, in the layout of the paper's Table 2: the score that M_opt
    /// loses and the speed that it gains. A timing matches if its hybrid has the same variant and as many
    /// replaced layers as M_opt. A search without a matching timing has one row. Speeds differ from run to
    /// run.
    speedup: SpeedupRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Test score of the base, from 0 to 100.
        base_score: f64 => "percent",
        /// Test score of M_opt, the last hybrid that the search accepted, from 0 to 100; M_opt has the most
        /// replaced layers of all accepted hybrids.
        opt_score: f64 => "percent",
        /// `base_score` minus `opt_score`, in percent of `base_score`; negative if M_opt scores higher than
        /// the base; null if `base_score` is 0.
        drop_percent: Option<f64> => "percent",
        /// Number of layers that M_opt replaces with linear twins.
        num_replaced: u32 => "layers",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Name of the device of the timing; null if the search has no matching timing.
        device: Option<String> => "",
        /// Length of each prompt of the timing; null if `device` is null.
        context: Option<u64> => "tokens",
        /// Number of prompts in the batch of the timing; null if `device` is null.
        batch_size: Option<u64> => "prompts",
        /// Decoding throughput of the hybrid divided by the decoding throughput of the base; null if the
        /// hybrid or the base was not timed.
        speedup: Option<f64> => "ratio",
        /// Key of the search's cell.
        cell_key: String => "",
    }
}

//! The columns of `published`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, Row, TableSpec, Value, tables};

tables! {
    /// One row per cell of the paper's Table 1 (arXiv 2601.11667 v2) in an experiment that searched one of its bases, also of cells
    /// that the experiment lacks; no row otherwise.
    published of PublishedRow {
        /// Name of the cell: base, kind of linear block and task, joined by slashes; `table1` has it beside its own
        /// scores.
        cell_paper: String => "",
        /// Name of the base on the hub, without its owner.
        base_paper: String => "",
        /// Kind of linear block.
        block_paper: String => "",
        /// Name of the task.
        task_paper: String => "",
        /// What the paper calls the task.
        label_paper: String => "",
        /// Test score of the base in Table 1, as printed.
        p_base_paper: f64 => "fraction",
        /// Test score of M_best in Table 1, as printed.
        p_best_paper: f64 => "fraction",
        /// Number of layers that M_best has replaced.
        num_replaced_paper: u32 => "layers",
        /// Test score of M_opt in Table 2, which allows a relative drop of 5 % on validation; null in cells that Table 2
        /// lacks.
        p_opt_paper: Option<f64> => "fraction",
        /// Number of layers that M_opt of Table 2 has replaced.
        num_replaced_opt_paper: Option<u32> => "layers",
        /// Throughput of M_opt over the base's at a context of 2,048 tokens, by Table 2.
        speedup_paper: Option<f64> => "ratio",
        /// Number of rows of `table1` with this cell; 0 where the experiment has none, or none that is done.
        searches: u32 => "searches",
    }
}

//! The columns of the table `published`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};

tables! {
    /// One row per entry of the paper's Table 1 (arXiv 2601.11667 v2): a base, a kind of linear block and a
    /// task. The rows include entries that this experiment does not reproduce. The table is empty if the
    /// experiment searches none of the paper's bases.
    published: PublishedRow {
        /// Name of the entry as `base/block/task`, as in the column `cell_paper` of the table `searches`.
        cell_paper: String => "",
        /// Name of the base on the Hugging Face hub, without its owner.
        base_paper: String => "",
        /// Kind of linear block: `gla`, `gdn` or `jet`.
        block_paper: String => "",
        /// Name of the task in lm-evaluation-harness or in the task's own suite.
        task_paper: String => "",
        /// Abbreviation of the task in the paper.
        label_paper: String => "",
        /// Test score of the base in Table 1, from 0 to 1.
        p_base_paper: f64 => "fraction",
        /// Test score of M_best in Table 1, from 0 to 1.
        p_best_paper: f64 => "fraction",
        /// Number of layers that M_best of Table 1 replaces.
        num_replaced_paper: u32 => "layers",
        /// Test score of M_opt in Table 2, whose searches stop at a relative drop of 5 %, from 0 to 1; null
        /// if Table 2 has no such entry.
        p_opt_paper: Option<f64> => "fraction",
        /// Number of layers that M_opt of Table 2 replaces; null if Table 2 has no such entry.
        num_replaced_opt_paper: Option<u32> => "layers",
        /// Throughput of M_opt divided by the throughput of the base at a context of 2,048 tokens, from Table
        /// 2; null if Table 2 has no such entry.
        speedup_paper: Option<f64> => "ratio",
        /// Number of rows of the table `searches` with this `cell_paper`; 0 if the experiment has no finished
        /// search for this entry.
        searches: u32 => "searches",
    }
}

//! Every table and column of a report, each with its type, its unit and a sentence: the one place.
//!
//! From here come the order of a DataFrame's columns, the metadata of its file, `schemas/columns.json`
//! and `schemas/columns.md`.

mod agreement;
mod published;
mod table1;

use polars::prelude::Column;

use super::schema::{ColumnSpec, Row, TableSpec, Value, tables};
pub use agreement::AgreementRow;
pub use published::PublishedRow;
pub use table1::Table1Row;

/// Every table, in the order in which they are documented.
pub const TABLES: &[TableSpec] = &[
    Table1Row::TABLE,
    PublishedRow::TABLE,
    BaseRow::TABLE,
    Table2Row::TABLE,
    CostRow::TABLE,
    TrajectoryRow::TABLE,
    AgreementRow::TABLE,
    TrialRow::TABLE,
    ItemRow::TABLE,
    DistillationRow::TABLE,
    ThroughputRow::TABLE,
];

tables! {
    /// One row per base and task of a sweep without variants: the base on the test split.
    bases of BaseRow {
        /// Name of the base model.
        model: String => "",
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
        /// Number of test items.
        items: u64 => "items",
        /// Key of the cell that scored it.
        cell: String => "",
    }

    /// One row per cell: what each stage cost; `seconds` and `peak_memory_bytes` vary from run to run.
    table2 of Table2Row {
        /// Name of the stage.
        stage: String => "",
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant; missing for stages without one.
        variant: Option<String> => "",
        /// Name of the task; missing for stages without one.
        task: Option<String> => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// Wall-clock time.
        seconds: f64 => "seconds",
        /// Energy that the device took meanwhile, with whatever else ran on it; missing where it does not tell.
        energy: Option<f64> => "joules",
        /// Number of tokens that went through the model.
        tokens: u64 => "tokens",
        /// Number of times a hybrid was scored.
        evaluations: u64 => "scorings",
        /// The device that ran the stage.
        device: String => "",
        /// Most memory held at once; missing where the device does not tell.
        peak_memory_bytes: Option<u64> => "bytes",
        /// Key of the cell.
        key: String => "",
    }

    /// One row per search: what its hybrids cost, from the base to the choice of layers, like the paper's Table 3; searches
    /// share distillations, so that rows cannot be added up, and hours and energy vary from run to run.
    cost of CostRow {
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant.
        variant: String => "",
        /// Name of the task.
        task: String => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// The device that distilled and searched; both, joined by ` + `, where they differ.
        device: String => "",
        /// Time to train the base; missing where it was not trained here.
        pretrain_hours: Option<f64> => "hours",
        /// Time to distil the twins, a share of it where several variants learnt from one pass.
        distil_hours: f64 => "hours",
        /// Time of the search and of scoring what it chose, in the process that ended it; scores that were known before
        /// took none.
        search_hours: f64 => "hours",
        /// `distil_hours` and `search_hours` together.
        total_hours: f64 => "hours",
        /// Number of tokens that the twins learnt from.
        distil_tokens: u64 => "tokens",
        /// `distil_tokens` by the time to distil.
        distil_rate: f64 => "tokens per second",
        /// Number of tokens that went through the model in the search, those of scores that were known before included.
        search_tokens: u64 => "tokens",
        /// Number of times the search scored a hybrid, scores that were known before included.
        evaluations: u64 => "scorings",
        /// Energy that the device took to distil, with whatever else ran on it; missing where it does not tell, or where
        /// the work was interrupted.
        distil_energy: Option<f64> => "joules",
        /// Energy that the device took to search, in the process that ended it; missing where it does not tell.
        search_energy: Option<f64> => "joules",
        /// Time to distil in the paper (arXiv 2601.11667 v2, Table 3): this base, 100M tokens, one A800; missing where
        /// the paper does not time the base, and beside searches that are not greedy.
        distil_hours_paper: Option<f64> => "hours",
        /// Time of the paper's greedy search there: PubMedQA, 500 validation items, until every layer was replaced.
        search_hours_paper: Option<f64> => "hours",
        /// Key of the search's cell.
        key: String => "",
    }

    /// One row per round of each search: the hybrid that scored highest.
    trajectories of TrajectoryRow {
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant.
        variant: String => "",
        /// Name of the task.
        task: String => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// Round of the search, from 1.
        round: u32 => "",
        /// The layer that won the round, from 0; null where the winner does not replace all layers of the round before,
        /// as by the strategies `uniform` and `beam`.
        layer: Option<u32> => "",
        /// All layers that the winner replaces, ascending from 0 and joined by commas.
        layers: String => "",
        /// Validation score of the winner.
        score: f64 => "fraction",
        /// Number of replaced layers of the hybrid with that score.
        num_replaced: u32 => "layers",
        /// Whether the winner was accepted; if not, the search ended here.
        accepted: bool => "",
        /// The 10 layers that the paper replaced by the same strategy (its Table 4), ascending from 0 and joined by
        /// commas; null in rows of another number of layers, and where the paper has no such set.
        layers_paper: Option<String> => "",
        /// Number of layers that `layers` and `layers_paper` share.
        overlap_paper: Option<u32> => "layers",
        /// Number of layers that two random sets of that size would share on average.
        overlap_by_chance: Option<f64> => "layers",
        /// Score that the paper prints for its set; it does not say on which split.
        score_paper: Option<f64> => "fraction",
        /// Key of the search's cell.
        key: String => "",
    }

    /// One row per candidate of each round of each search.
    trials of TrialRow {
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant.
        variant: String => "",
        /// Name of the task.
        task: String => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// Round of the search, from 1.
        round: u32 => "",
        /// The layer that this candidate replaces beside those of the round before, from 0; null where it does not
        /// replace all of these.
        layer: Option<u32> => "",
        /// All layers that this candidate replaces, ascending from 0 and joined by commas.
        layers: String => "",
        /// Validation score of the candidate; null where it was dropped once it could not win its round.
        score: Option<f64> => "fraction",
        /// The least that the validation score can be.
        at_least: f64 => "fraction",
        /// The most that the validation score can be.
        at_most: f64 => "fraction",
        /// Key of the search's cell.
        key: String => "",
    }

    /// One row per test item and system of each search, for tests that pair systems by item.
    items of ItemRow {
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant.
        variant: String => "",
        /// Name of the task.
        task: String => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// Which system answered: `base`, `best` (M_best) or `opt` (M_opt).
        system: String => "",
        /// Name of the item within its task.
        item: String => "",
        /// Index of the right option, from 0.
        label: u32 => "",
        /// Index of the option that the system chose, from 0.
        choice: u32 => "",
        /// Whether the choice is right.
        correct: bool => "",
        /// Log-likelihood of each option, as the choice compared them.
        log_likelihoods: Vec<f64> => "nats",
        /// Key of the cell that scored the system.
        cell: String => "",
    }

    /// One row per layer of each distillation: how well its linear twin answers for the attention block.
    distillation of DistillationRow {
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant.
        variant: String => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// Layer, from 0.
        layer: u32 => "",
        /// Mean squared error before training.
        initial_loss: f64 => "squared activation",
        /// Mean squared error after training.
        final_loss: f64 => "squared activation",
        /// Variance of the attention block's output.
        output_variance: f64 => "squared activation",
        /// `initial_loss` as a share of `output_variance`; missing if that is 0.
        initial_normalised: Option<f64> => "ratio",
        /// `final_loss` as a share of `output_variance`; missing if that is 0.
        final_normalised: Option<f64> => "ratio",
        /// Key of the distillation's cell.
        key: String => "",
    }

    /// One row per base or hybrid, context, batch size and machine: how fast it reads and decodes; like `table2` it speaks
    /// of time, and varies from run to run but for its bytes.
    throughput of ThroughputRow {
        /// Name of the base model.
        model: String => "",
        /// Name of the linear variant; missing for the base.
        variant: Option<String> => "",
        /// Name of the task whose search chose the layers; missing where they are spread evenly.
        task: Option<String> => "",
        /// Values of the further sweep axes, as `key=value` joined by commas; empty when there are none.
        axes: String => "",
        /// The device that computed.
        device: String => "",
        /// Number of threads of the processor at work.
        threads: u64 => "threads",
        /// Length of each prompt.
        context: u64 => "tokens",
        /// Number of prompts side by side.
        batch_size: u64 => "prompts",
        /// Number of replaced layers.
        num_replaced: u32 => "layers",
        /// The replaced layers, ascending from 0 and joined by commas.
        layers: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Tokens decoded in a second, over all prompts; the median of the runs.
        decode: f64 => "tokens per second",
        /// The least of the runs.
        decode_low: f64 => "tokens per second",
        /// The most of the runs.
        decode_high: f64 => "tokens per second",
        /// `decode` as a multiple of the base's at the same context and batch size on the same machine; missing where the
        /// base was not timed.
        decode_speedup: Option<f64> => "ratio",
        /// Tokens of the prompts read in a second; the median of the runs.
        prefill: f64 => "tokens per second",
        /// The least of the runs.
        prefill_low: f64 => "tokens per second",
        /// The most of the runs.
        prefill_high: f64 => "tokens per second",
        /// `prefill` as a multiple of the base's, like `decode_speedup`.
        prefill_speedup: Option<f64> => "ratio",
        /// Bytes of keys and values after the prompt, over all prompts.
        cache_bytes: u64 => "bytes",
        /// Bytes of recurrent states and of the last inputs of convolutions, over all prompts.
        state_bytes: u64 => "bytes",
        /// Number of processors that other processes kept at work meanwhile, on average; much more than 0 says that the
        /// machine was not quiet, missing where the system does not tell.
        others: Option<f64> => "processors",
        /// Number of tokens decoded after each prompt in a run.
        new_tokens: u64 => "tokens",
        /// Number of runs that count.
        runs: u32 => "runs",
        /// Key of the cell.
        key: String => "",
    }
}

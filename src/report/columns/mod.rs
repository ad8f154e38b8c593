//! Declarations of all tables of a report. Every column has a type, a unit and a sentence that describes it.
//!
//! The Parquet files and their metadata, `schemas/columns.json` and the column reference are generated from
//! these declarations.

mod agreement;
mod earlier_stops;
mod finetuned_hybrids;
mod paper_views;
mod published;
mod searches;
mod tuned_hybrids;

use polars::prelude::Column;

use super::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};
pub use agreement::AgreementRow;
pub use earlier_stops::EarlierStopRow;
pub use finetuned_hybrids::FinetunedHybridRow;
pub(super) use paper_views::{BASE_SCORE, HYBRID_LAYERS, HYBRID_SCORE, TABLE1};
pub use paper_views::{ComputeHoursRow, SpeedupRow};
pub use published::PublishedRow;
pub use searches::SearchRow;
pub use tuned_hybrids::TunedHybridRow;

/// Every table, in the order of the documentation.
pub const TABLES: &[TableSpec] = &[
    SearchRow::TABLE,
    EarlierStopRow::TABLE,
    TunedHybridRow::TABLE,
    FinetunedHybridRow::TABLE,
    TABLE1,
    ComputeHoursRow::TABLE,
    SpeedupRow::TABLE,
    PublishedRow::TABLE,
    BaseScoreRow::TABLE,
    CellWorkRow::TABLE,
    CostRow::TABLE,
    TrajectoryRow::TABLE,
    AgreementRow::TABLE,
    TrialRow::TABLE,
    ItemRow::TABLE,
    DistilledLayerRow::TABLE,
    ThroughputRow::TABLE,
];

tables! {
    /// One row per base and task of a sweep without variants: the score of the base on the test split.
    bases: BaseScoreRow {
        /// Name of the base model in the manifest.
        model: String => "",
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
        /// Number of test items.
        items: u64 => "items",
        /// Key of the cell that scored the base.
        cell_key: String => "",
    }

    /// One row per cell (one computation of a stage): the resources that the cell used. Time and energy are
    /// summed over all processes that worked on the cell. If a process was killed, its time and energy count
    /// up to its last checkpoint or score. Variants that were distilled together get equal shares of time and
    /// energy. The row of a search counts only scores that the search computed, and no scores from the cache.
    /// Times, energy and memory differ from run to run.
    stages: CellWorkRow {
        /// Name of the stage: `pretrain`, `distil`, `score`, `search`, `logit-distil`, `tuned-score`,
        /// `finetune`, `finetune-score` or `throughput`.
        stage: String => "",
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest; null for stages without a variant.
        variant: Option<String> => "",
        /// Name of the task in the manifest; null for stages without a task.
        task: Option<String> => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Device time of the stage: wall-clock time multiplied by the number of devices, summed over every
        /// process that worked on the cell.
        seconds: f64 => "seconds",
        /// Energy that the devices consumed during `seconds`, including the energy of other processes on
        /// these devices; null if a device does not report energy.
        energy: Option<f64> => "joules",
        /// Number of tokens that the stage passed through a model.
        tokens: u64 => "tokens",
        /// Number of times that the stage scored a base or a hybrid.
        evaluations: u64 => "scorings",
        /// Name of the device that ran the stage.
        device: String => "",
        /// Peak memory during the stage; null if the device does not report memory.
        peak_memory_bytes: Option<u64> => "bytes",
        /// Key of the cell.
        cell_key: String => "",
    }

    /// One row per search: the cost of distilling the twins and of searching, as in the paper's Table 3.
    /// Several searches can share one distillation, so the costs of rows must not be added. Times and energy
    /// differ from run to run.
    cost: CostRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Name of the device of the distillation and the search; if they used different devices, the names
        /// of the two devices joined by ` + `.
        device: String => "",
        /// Device time of training the base (`seconds` in `stages`); null if the experiment does not train
        /// the base.
        pretrain_hours: Option<f64> => "hours",
        /// Device time of distilling the twins (`seconds` in `stages`).
        distil_hours: f64 => "hours",
        /// Device time of the search and of the test scores of its hybrids (`seconds` in `stages`); scores
        /// that were read from the cache count as 0.
        search_hours: f64 => "hours",
        /// Sum of `distil_hours` and `search_hours`.
        total_hours: f64 => "hours",
        /// Number of tokens that the twins were trained on.
        distil_tokens: u64 => "tokens",
        /// `distil_tokens` divided by the time of the distillation.
        distil_rate: f64 => "tokens per second",
        /// Number of tokens that the search passed through hybrids; the tokens of cached scores count too.
        search_tokens: u64 => "tokens",
        /// Number of hybrids that the search scored, including scores that were read from the cache.
        evaluations: u64 => "scorings",
        /// Energy that the devices consumed during the distillation, including the energy of other processes
        /// on these devices; null if a device does not report energy.
        distil_energy: Option<f64> => "joules",
        /// Energy that the devices consumed during the search, including the energy of other processes on
        /// these devices; null if a device does not report energy.
        search_energy: Option<f64> => "joules",
        /// Time of distillation in the paper (arXiv 2601.11667 v2, Table 3) for this base, on 100M tokens and
        /// one A800; null if the paper does not time this base or if the search is not greedy.
        distil_hours_paper: Option<f64> => "hours",
        /// Time of a greedy search of all layers in the paper's Table 3 for this base, on 500 validation
        /// items of PubMedQA; null if `distil_hours_paper` is null.
        search_hours_paper: Option<f64> => "hours",
        /// Key of the search's cell.
        cell_key: String => "",
    }

    /// One row per round of each search: the winner, which is the hybrid with the highest validation score of
    /// the round.
    trajectories: TrajectoryRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Round of the search, counted from 1.
        round: u32 => "",
        /// Layer that the winner replaces in addition to the layers of the previous winner, counted from 0;
        /// null if the winner does not extend the previous winner, as happens with `uniform` and `beam`.
        layer: Option<u32> => "",
        /// Layers that the winner replaces, counted from 0, in ascending order, joined by commas.
        layers: String => "",
        /// Validation score of the winner, from 0 to 1.
        score: f64 => "fraction",
        /// Number of layers that the winner replaces.
        num_replaced: u32 => "layers",
        /// Whether the search accepted the winner; a search ends with the first winner that it does not
        /// accept.
        accepted: bool => "",
        /// The 10 layers that the paper's search by the same strategy replaces (Table 4), counted from 0, in
        /// ascending order, joined by commas; null if the winner replaces another number of layers or if the
        /// paper has no such set.
        layers_paper: Option<String> => "",
        /// Number of layers that `layers` and `layers_paper` share; null if `layers_paper` is null.
        overlap_paper: Option<u32> => "layers",
        /// Expected number of common layers of two random sets of these sizes; null if `layers_paper` is
        /// null.
        overlap_by_chance: Option<f64> => "layers",
        /// Score of `layers_paper` in the paper, from 0 to 1, on a split that the paper does not state; null
        /// if `layers_paper` is null.
        score_paper: Option<f64> => "fraction",
        /// Key of the search's cell.
        cell_key: String => "",
    }

    /// One row per candidate of each round of each search: its replaced layers and its validation score.
    trials: TrialRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Round of the search, counted from 1.
        round: u32 => "",
        /// Layer that the candidate replaces in addition to the layers of the previous winner, counted from
        /// 0; null if the candidate does not extend the previous winner.
        layer: Option<u32> => "",
        /// Layers that the candidate replaces, counted from 0, in ascending order, joined by commas.
        layers: String => "",
        /// Validation score of the candidate, from 0 to 1; null if the search pruned the candidate before all
        /// items were scored.
        score: Option<f64> => "fraction",
        /// Lower bound of the validation score, from 0 to 1; equal to `score` if `score` is not null.
        score_lower: f64 => "fraction",
        /// Upper bound of the validation score, from 0 to 1; equal to `score` if `score` is not null.
        score_upper: f64 => "fraction",
        /// Key of the search's cell.
        cell_key: String => "",
    }

    /// One row per test item and model of each search, for statistical tests that compare two models item by
    /// item. A sweep without variants has one row per test item and base.
    items: ItemRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest; null in a sweep without variants.
        variant: Option<String> => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Model that answers the item: `base`, `best` (M_best) or `opt` (M_opt).
        system: String => "",
        /// Identifier of the item within its task.
        item: String => "",
        /// Index of the correct choice, counted from 0; null if the model answers by generating text.
        label: Option<u32> => "",
        /// Index of the choice that the model selects, counted from 0; null if the model answers by generating
        /// text.
        choice: Option<u32> => "",
        /// Text that the model generates, up to the first stop string; null for a multiple-choice item.
        text: Option<String> => "",
        /// Answer that the task's filters extract from the text; null for a multiple-choice item.
        answer: Option<String> => "",
        /// Score of the answer, from 0 to 1; 0 or 1 for a multiple-choice item.
        score: f64 => "fraction",
        /// Whether the answer has the full score.
        correct: bool => "",
        /// Log-likelihood of each choice, summed over its tokens, in the order of the item's choices.
        log_likelihoods: Vec<f64> => "nats",
        /// Key of the cell that scored the model.
        cell_key: String => "",
    }

    /// One row per layer of each distillation: the error of the linear twin's output, relative to the output
    /// of the attention block.
    distillation: DistilledLayerRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Layer, counted from 0.
        layer: u32 => "",
        /// Mean squared error of the twin before training.
        initial_loss: f64 => "squared activation",
        /// Mean squared error of the twin after training.
        final_loss: f64 => "squared activation",
        /// Variance of the output of the attention block.
        output_variance: f64 => "squared activation",
        /// `initial_loss` divided by `output_variance`; null if the variance is 0.
        initial_normalised: Option<f64> => "ratio",
        /// Ratio of `final_loss` to `output_variance`: 0 for a perfect twin, and 1 for a twin that always
        /// outputs the mean; null if the variance is 0.
        final_normalised: Option<f64> => "ratio",
        /// Key of the distillation's cell.
        cell_key: String => "",
    }

    /// One row per base or hybrid, context length, batch size and machine: the speed of prefill and decoding,
    /// and the size of caches and recurrent states. Speeds and CPU load differ from run to run.
    throughput: ThroughputRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest; null for the base.
        variant: Option<String> => "",
        /// Name of the task whose search selected the replaced layers; null if the replaced layers are evenly
        /// spaced.
        task: Option<String> => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Name of the device that ran the model.
        device: String => "",
        /// Number of CPU threads in use.
        threads: u64 => "threads",
        /// Length of each prompt.
        context: u64 => "tokens",
        /// Number of prompts in the batch.
        batch_size: u64 => "prompts",
        /// Number of replaced layers; 0 for the base.
        num_replaced: u32 => "layers",
        /// Replaced layers, counted from 0, in ascending order, joined by commas; empty for the base.
        layers: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Decoding throughput over the whole batch: the median of the runs.
        decode: f64 => "tokens per second",
        /// Decoding throughput of the slowest run.
        decode_low: f64 => "tokens per second",
        /// Decoding throughput of the fastest run.
        decode_high: f64 => "tokens per second",
        /// `decode` divided by the `decode` of the base at the same context and batch size on the same
        /// machine; null if the base was not timed.
        decode_speedup: Option<f64> => "ratio",
        /// Prefill throughput over the whole batch: the median of the runs.
        prefill: f64 => "tokens per second",
        /// Prefill throughput of the slowest run.
        prefill_low: f64 => "tokens per second",
        /// Prefill throughput of the fastest run.
        prefill_high: f64 => "tokens per second",
        /// `prefill` divided by the `prefill` of the base at the same context and batch size on the same
        /// machine; null if the base was not timed.
        prefill_speedup: Option<f64> => "ratio",
        /// Size of the key-value caches of the whole batch after the prompt.
        cache_bytes: u64 => "bytes",
        /// Size of the recurrent states and convolution states of the whole batch.
        state_bytes: u64 => "bytes",
        /// Average number of CPUs that other processes kept busy during the timing (at most about 0.1 on an
        /// idle machine); null if the system does not report CPU load.
        other_cpus: Option<f64> => "CPUs",
        /// Number of tokens decoded after each prompt in a run.
        new_tokens: u64 => "tokens",
        /// Number of timed runs, without warm-up runs.
        runs: u32 => "runs",
        /// Key of the cell.
        cell_key: String => "",
    }
}

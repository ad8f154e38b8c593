//! The columns of the table `finetuned_hybrids`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};

tables! {
    /// One row per model of each fine-tuned hybrid: the base, the base after fine-tuning, the hybrid, the hybrid
    /// after fine-tuning, and its other states. All models of a hybrid answer the same items. The base is
    /// fine-tuned on the same items by the same recipe.
    finetuned_hybrids: FinetunedHybridRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Name of the linear variant in the manifest.
        variant: String => "",
        /// Name of the task in the manifest.
        task: String => "",
        /// Values of the sweep axes other than model, variant and task as `key=value`, joined by commas;
        /// empty if the sweep has no such axis.
        axes: String => "",
        /// Entry of `finetune.hybrids` that names the hybrid: `hybrid=opt`, `hybrid=best`, or `replaced=` and a
        /// number of layers.
        hybrid: String => "",
        /// Model of this row: `base`, `base-finetuned`, `hybrid`, `hybrid-distilled` (after logit
        /// distillation), `hybrid-finetuned`, or `hybrid-restored` (fine-tuned, with the queries and keys of the
        /// base in the layers that are not replaced).
        state: String => "",
        /// What the fine-tuning trains: `full` or `lora`.
        train: String => "",
        /// Number of layers that the hybrid replaces with linear twins, from 1 to `num_layers`.
        num_replaced: u32 => "layers",
        /// Layers that the hybrid replaces, counted from 0, in ascending order, joined by commas.
        layers: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Number of items that the model was fine-tuned on; null if it was not fine-tuned.
        train_items: Option<u64> => "items",
        /// Number of tokens of prompts and completions in all epochs; null if it was not fine-tuned.
        tokens: Option<u64> => "tokens",
        /// How many numbers the optimizer updated; null if the model was not fine-tuned.
        num_parameters: Option<u64> => "parameters",
        /// Loss on held-out train items before the fine-tuning, per token of the completions; null if the model
        /// was not fine-tuned.
        loss_before: Option<f64> => "nats per token",
        /// Lowest loss on the same items, which decided whose epoch's parameters were kept; null if the model
        /// was not fine-tuned.
        loss_after: Option<f64> => "nats per token",
        /// Epoch whose parameters were kept, counted from 1; 0 if no epoch lowered the loss; null if the model
        /// was not fine-tuned.
        best_epoch: Option<u32> => "",
        /// Score on the validation split, which guided the search, from 0 to 1.
        p_validation: f64 => "fraction",
        /// Score on the test split, from 0 to 1.
        p_test: f64 => "fraction",
        /// Lower end of the confidence interval of `p_test`, from 0 to 1.
        p_test_low: f64 => "fraction",
        /// Upper end of the confidence interval of `p_test`, from 0 to 1.
        p_test_high: f64 => "fraction",
        /// State of the same model before its last change; null if it was not changed.
        before: Option<String> => "",
        /// `p_test` minus that of the model `before`, on the same items, from -100 to 100.
        gain: Option<f64> => "points",
        /// Lower end of the confidence interval of `gain`, by a paired bootstrap of 9,999 resamples.
        gain_low: Option<f64> => "points",
        /// Upper end of the confidence interval of `gain`, by a paired bootstrap of 9,999 resamples.
        gain_high: Option<f64> => "points",
        /// Two-sided p-value of a paired test of the model against the model `before`, on the same items
        /// (McNemar's exact test, or a permutation test if some answers are neither right nor wrong), not
        /// corrected for multiple comparisons.
        p_value_gain: Option<f64> => "probability",
        /// Base with which the hybrid is compared: `base-finetuned` for a fine-tuned hybrid, and `base` for
        /// other hybrids; null for a base.
        control: Option<String> => "",
        /// `p_test` minus that of `control`, on the same items, from -100 to 100.
        difference: Option<f64> => "points",
        /// Lower end of the confidence interval of `difference`, by a paired bootstrap of 9,999 resamples.
        difference_low: Option<f64> => "points",
        /// Upper end of the confidence interval of `difference`, by a paired bootstrap of 9,999 resamples.
        difference_high: Option<f64> => "points",
        /// Two-sided p-value of a paired test of the hybrid against `control` on the same items, by the same test
        /// as `p_value_gain`, not corrected for multiple comparisons.
        p_value: Option<f64> => "probability",
        /// Number of test items.
        items: u64 => "items",
        /// Key of the cell that fine-tuned the model; null if it was not fine-tuned.
        training_key: Option<String> => "",
        /// Key of the cell that scored the hybrid and its controls.
        cell_key: String => "",
    }
}

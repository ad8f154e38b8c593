//! `[tasks.NAME]`: multiple-choice tasks with train, validation and test splits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::seed::Seed;

/// A task that guides a search and judges its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// Where its items come from.
    pub source: TaskSource,
}

/// Where a task's items come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskSource {
    /// Items of the bundled synthetic language.
    Synthetic(SyntheticTask),
    /// Rows of files, made into items by templates.
    File(FileTask),
}

/// A task whose items are rows of files: JSON Lines (`.jsonl`), a JSON list (`.json`) or Parquet (`.parquet`).
///
/// Templates and expressions are Jinja's, with Python's methods of strings, lists and tables, and the filters
/// `regex_replace(PATTERN, TEXT)` and `regex_findall(PATTERN)`; the columns of a row are their variables. What is scored is the prompt, a blank, and a choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileTask {
    /// The rows that guide the search (path relative to the manifest, or `hf://datasets/…`); without it `splits`
    /// says which do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub validation: Option<String>,
    /// The rows that are reported (path relative to the manifest, or
    /// `hf://datasets/OWNER/NAME@REVISION/FILE` for a file of the Hugging Face hub).
    #[schemars(extend("format" = "path"))]
    pub test: String,
    /// Which rows guide the search where only those of `test` have labels.
    #[serde(default)]
    pub splits: Splits,
    /// The most validation items to take, the first ones; all where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_items: Option<usize>,
    /// The most test items to take, the first ones; all where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_items: Option<usize>,
    /// Template of the prompt, such as `"Question: {{ question }}\nAnswer:"`. Where it speaks of `choice`, each
    /// choice has a prompt of its own.
    pub prompt: String,
    /// Template of what is scored after the prompt, where that is not the choice itself: for tasks whose choices
    /// differ in the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continuation: Option<String>,
    /// What can follow the prompt.
    pub choices: Choices,
    /// Expression of the right choice: its index from 0, or its text.
    pub label: String,
    /// How a choice is made.
    #[serde(default)]
    pub metric: Metric,
}

/// Which rows guide a search where only one split has labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Splits {
    /// The split is cut in two by the digests of its rows: the search never sees what is reported.
    #[default]
    HeldOut,
    /// The whole split serves both, as published results seem to have it: what is reported was selected on.
    AsPublished,
}

/// What can follow a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Choices {
    /// The same texts for every row.
    Fixed(Vec<String>),
    /// An expression that gives a row's list of texts, such as `"choices.text"`.
    Each(String),
}

/// How a choice is made of log-likelihoods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The likeliest choice.
    #[default]
    Acc,
    /// The likeliest choice by character: each log-likelihood is divided by its choice's length.
    AccNorm,
}

impl Task {
    /// How one labelled split serves as both; none where each has its own.
    pub fn shared_split(&self) -> Option<Splits> {
        match &self.source {
            TaskSource::File(file) if file.validation.is_none() => Some(file.splits),
            _ => None,
        }
    }

    /// How a choice is made.
    pub fn metric(&self) -> Metric {
        match &self.source {
            TaskSource::Synthetic(_) => Metric::Acc,
            TaskSource::File(file) => file.metric,
        }
    }
}

/// A task of the bundled synthetic language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SyntheticTask {
    /// What the task asks.
    pub kind: SyntheticTaskKind,
    /// The seed of the language's facts. It must be the seed of the corpus that the base was trained on.
    #[serde(default = "default_language_seed")]
    pub language_seed: Seed,
    /// Items in the validation split, which guides the search.
    #[serde(default = "default_validation_items")]
    pub validation_items: usize,
    /// Items in the test split, which is reported.
    #[serde(default = "default_test_items")]
    pub test_items: usize,
}

fn default_language_seed() -> Seed {
    Seed(1)
}

fn default_validation_items() -> usize {
    128
}

fn default_test_items() -> usize {
    256
}

/// The kinds of tasks of the bundled synthetic language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SyntheticTaskKind {
    /// Recall of a pair stated earlier among distractors.
    Recall,
    /// Facts learnt in training and asked without context.
    Facts,
    /// Topic of a passage.
    Topic,
    /// Where an object is after several moves.
    Moves,
}

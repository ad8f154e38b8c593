//! Configuration of tasks: the manifest's `[tasks.NAME]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Split;
use super::few_shot::Shots;
use super::generative_task::GenerativeTask;
use super::opendrive::OpendriveTask;
use super::split_rows::TaskFiles;
use dtr_core::error::Result;
use dtr_core::seed::Seed;

/// A task. Scores on its validation split guide searches, and scores on its test split are
/// reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// The source of the items.
    pub source: TaskSource,
}

/// The source of a task's items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskSource {
    /// Generated items of the bundled synthetic language.
    Synthetic(SyntheticTask),
    /// Rows of files, which templates turn into multiple-choice items.
    File(FileTask),
    /// Rows of files, which templates turn into prompts. The model answers by generating text.
    Generative(Box<GenerativeTask>),
    /// Hidden roads of OpenDRIVE maps. The model writes the text of a road.
    Opendrive(Box<OpendriveTask>),
}

/// A task whose items are rows of files: JSON Lines or a JSON list (`.jsonl`, `.ndjson`, `.json`), Parquet
/// (`.parquet`), or text (`.txt`). Each line of a text file is a row with the column `line`. A line that is not
/// UTF-8 is read as Latin-1. Each file may be compressed (`.gz`, `.bz2`, `.xz`, `.zst`).
///
/// Templates and expressions use Jinja with Python's methods of strings, lists and dictionaries, and with the
/// filters `regex_replace(PATTERN, REPLACEMENT)` and `regex_findall(PATTERN)`. A replacement may name groups as
/// in Python, as `\1` or `\g<NAME>`. The variables are the columns
/// of a row. Values are printed as in Python. Scoring compares the likelihoods of the choices after the
/// prompt and a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileTask {
    /// The file of train rows, as a path relative to the manifest or as `hf://datasets/…`. Only `[finetune]`
    /// reads this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub train: Option<String>,
    /// The file of validation rows, as a path relative to the manifest or as `hf://datasets/…`. Without this
    /// file, `splits` decides which rows of `test` are validation rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub validation: Option<String>,
    /// The file of test rows, as a path relative to the manifest or, for a file on the Hugging Face hub, as
    /// `hf://datasets/OWNER/NAME@REVISION/FILE`.
    #[schemars(extend("format" = "path"))]
    pub test: String,
    /// Which rows of `test` each split gets, if `validation` is absent.
    #[serde(default)]
    pub splits: SplitPolicy,
    /// The maximum number of train items, taken from the first rows. The default is all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub train_items: Option<usize>,
    /// The maximum number of validation items, taken from the first rows. The default is all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub validation_items: Option<usize>,
    /// The maximum number of test items, taken from the first rows. The default is all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub test_items: Option<usize>,
    /// The template of the prompt, such as `"Question: {{ question }}\nAnswer:"`. If it uses the variable
    /// `choice`, each choice gets its own prompt.
    pub prompt: String,
    /// The template of the scored text, for tasks in which each choice has its own prompt. By default, the
    /// choice itself is scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continuation: Option<String>,
    /// The answer choices.
    pub choices: Choices,
    /// The expression that gives the correct choice, as an index from 0 or as the text of the choice.
    pub label: String,
    /// How log-likelihoods select an answer.
    #[serde(default)]
    pub metric: Metric,
    /// The few-shot examples in front of each question. The default is no examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Shots")]
    pub shots: Option<Box<Shots>>,
}

impl FileTask {
    /// Returns the task's files, and the settings that divide the rows into splits.
    pub fn files(&self) -> TaskFiles<'_> {
        TaskFiles {
            train: self.train.as_deref(),
            validation: self.validation.as_deref(),
            test: &self.test,
            splits: self.splits,
            train_items: self.train_items,
            validation_items: self.validation_items,
            test_items: self.test_items,
            shots: self.shots.as_deref(),
            tests: None,
        }
    }
}

/// Which rows of a single file the validation split and the test split get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitPolicy {
    /// A hash of each row assigns the row to one of the two splits. A search never sees the reported items.
    #[default]
    HeldOut,
    /// Both splits hold all rows, as seems to be the case in published results. A search then selects hybrids
    /// by their scores on the reported items.
    AsPublished,
}

/// The answer choices of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Choices {
    /// The same texts for every row.
    Fixed(Vec<String>),
    /// An expression that gives the list of choices for each row, such as `"choices.text"`.
    Each(String),
}

/// How log-likelihoods select an answer, as in lm-evaluation-harness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The answer is the choice with the highest log-likelihood.
    #[default]
    Acc,
    /// Each choice's log-likelihood is divided by its number of characters. The answer is the choice with the
    /// highest quotient.
    AccNorm,
}

impl Task {
    /// Returns the task's files of rows, and the settings that divide the rows into splits. Returns `None` for a
    /// task without rows.
    fn files(&self) -> Option<TaskFiles<'_>> {
        match &self.source {
            TaskSource::Synthetic(_) | TaskSource::Opendrive(_) => None,
            TaskSource::File(file) => Some(file.files()),
            TaskSource::Generative(task) => Some(task.files()),
        }
    }

    /// Returns the policy that divides the rows of a single file into splits. Returns `None` if each split
    /// has its own file, or if the task is synthetic.
    pub fn split_policy(&self) -> Option<SplitPolicy> {
        self.files().filter(|files| files.validation.is_none()).map(|files| files.splits)
    }

    /// Returns the paths of the files from which the items of `split` are built.
    ///
    /// # Errors
    /// Fails if a pattern of the paths of maps matches no file.
    pub fn paths_of_split(&self, split: Split) -> Result<Vec<String>> {
        match &self.source {
            TaskSource::Opendrive(task) => task.files(split),
            _ => {
                let paths =
                    self.files().map(|files| files.paths_of_split(split).map(str::to_owned).collect());
                Ok(paths.unwrap_or_default())
            }
        }
    }

    /// Returns the paths of all files that the task reads for the validation split and the test split.
    ///
    /// # Errors
    /// Fails if a pattern of the paths of maps matches no file.
    pub fn paths(&self) -> Result<Vec<String>> {
        let mut paths = self.paths_of_split(Split::Validation)?;
        paths.extend(self.paths_of_split(Split::Test)?);
        Ok(paths)
    }

    /// Returns whether the task has a train split.
    pub fn has_train_split(&self) -> bool {
        match &self.source {
            TaskSource::Synthetic(_) => true,
            TaskSource::File(task) => task.train.is_some(),
            TaskSource::Generative(task) => task.train.is_some(),
            TaskSource::Opendrive(task) => task.train.is_some(),
        }
    }

    /// Returns whether the model answers the task by generating text.
    pub fn is_generative(&self) -> bool {
        matches!(self.source, TaskSource::Generative(_) | TaskSource::Opendrive(_))
    }

    /// Returns the configuration of a task whose rows templates turn into prompts, or `None` for another task.
    pub fn generative(&self) -> Option<&GenerativeTask> {
        match &self.source {
            TaskSource::Generative(task) => Some(task),
            _ => None,
        }
    }

    /// Returns the metric by which log-likelihoods select an answer. Tasks that the model answers by
    /// generating text do not use this metric.
    pub fn metric(&self) -> Metric {
        match &self.source {
            TaskSource::Synthetic(_) | TaskSource::Generative(_) | TaskSource::Opendrive(_) => Metric::Acc,
            TaskSource::File(file) => file.metric,
        }
    }
}

/// A task of the bundled synthetic language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SyntheticTask {
    /// The kind of question.
    pub kind: SyntheticTaskKind,
    /// The seed of the language's facts. It must equal the `language-seed` of the corpus on which the base
    /// was trained.
    #[serde(default = "default_language_seed")]
    pub language_seed: Seed,
    /// The number of train items, which `[finetune]` reads. The default is 1,000, or all train items of the
    /// kind `facts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub train_items: Option<usize>,
    /// The number of validation items, whose scores guide searches.
    #[serde(default = "default_validation_items")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub validation_items: usize,
    /// The number of test items, whose scores are reported.
    #[serde(default = "default_test_items")]
    #[schemars(range(min = 1, max = 10_000_000))]
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

/// The kinds of questions of the bundled synthetic language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SyntheticTaskKind {
    /// Who holds which object of which colour, as stated in a passage.
    Recall,
    /// A fact of the training corpus, without any passage.
    Facts,
    /// The topic of a passage.
    Topic,
    /// The location of an object after several moves.
    Moves,
}

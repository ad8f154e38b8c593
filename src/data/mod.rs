//! The data of an experiment. Items of tasks become scoring requests or prompts. Documents of corpora become
//! token sequences for training.

mod base_tokenizer;
mod chat_prompt;
mod code_test;
mod corpus;
pub mod documents;
mod few_shot;
mod file_task;
pub mod generation_requests;
mod generation_settings;
mod generative_task;
mod jinja;
pub mod opendrive;
mod program_scorer;
mod python_time;
mod regex_replacement;
mod rows;
pub mod scoring_requests;
mod script_scorer;
mod split_rows;
pub mod synthetic;
mod task;
mod task_requests;
pub mod token_sequences;
mod training_examples;
mod verdict_cache;

use std::fmt;

use dtr_core::error::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use base_tokenizer::{read_base_tokenizer, synthetic_tokenizer};
pub use chat_prompt::{ChatMessages, ChatPrompt, encode_prompt};
pub use code_test::{CodeTest, EvalPlusInputs, EvalPlusTest, ItemTest};
pub use corpus::{Corpus, CorpusSource, DocumentUnit, FileCorpus, SyntheticCorpus, WeightedSource};
pub use few_shot::Shots;
pub use generation_settings::{AnswerScoring, GenerationSettings};
pub use generative_task::{GenerativeItem, GenerativeTask, load_generative_items};
pub use opendrive::{OpendriveTask, RoadFormat, load_road_items};
pub use program_scorer::SandboxRecord;
pub use script_scorer::{AnswerScript, ScriptItem};
pub use split_rows::{SplitFile, TaskFiles};
use synthetic::SyntheticLanguage;
pub use task::{Choices, FileTask, Metric, SplitPolicy, SyntheticTask, SyntheticTaskKind, Task, TaskSource};
pub use task_requests::{TaskItems, TaskRequests};
pub use training_examples::{ExampleSettings, QuestionDigests, TrainingExample, TrainingExamples};

/// A multiple-choice question. Scoring compares the likelihoods of the choices after the prompt and a space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Item {
    /// The item's stable identifier, for example `recall/test/00017`.
    pub id: String,
    /// The text before the choice, without trailing space.
    pub prompt: String,
    /// The prompt of each choice, if the choices have different prompts. Empty if all choices share `prompt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// The answer choices, without leading space.
    pub choices: Vec<String>,
    /// The index of the correct choice.
    pub label: usize,
}

impl Item {
    /// Returns the text before a choice.
    pub fn prompt_for_choice(&self, choice: usize) -> &str {
        self.prompts.get(choice).unwrap_or(&self.prompt)
    }
}

/// The splits of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Items for training on the task.
    Train,
    /// Items that guide a search.
    Validation,
    /// Items on which reported scores are computed.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// Loads or generates the multiple-choice items of one split of `task`, always in the same order. Returns no
/// items for a task that the model answers by generating text; see [`TaskItems::load`].
///
/// If the number of items of a task is increased, the new items come after the existing items.
///
/// # Errors
/// Fails with a manifest error if a synthetic task asks for more items than exist, or if a row cannot be
/// turned into an item. Fails with an environment error if a file cannot be read.
pub fn load_items(task: &Task, split: Split) -> Result<Vec<Item>> {
    match &task.source {
        TaskSource::Synthetic(source) => {
            SyntheticLanguage::new(source.language_seed).task_items(source, split)
        }
        TaskSource::File(source) => file_task::load_items(source, split),
        TaskSource::Generative(_) | TaskSource::Opendrive(_) => Ok(Vec::new()),
    }
}

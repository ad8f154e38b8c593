//! What models read: items of tasks, documents of corpora, and the closed language they come from.
//!
//! Text only: which tokens it becomes, and what a score is, are for the storeys above.

mod file_task;
pub mod files;
mod jinja;

pub mod requests;
mod rows;
pub mod sequences;
pub mod synthetic;
mod tokenizer;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::manifest::{Task, TaskSource};
use dtr_core::error::Result;
use synthetic::SyntheticLanguage;

pub use file_task::file_of_split;
pub use tokenizer::{base_tokenizer, synthetic_tokenizer};

/// A multiple-choice question; what is scored is the prompt, a blank, and a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Item {
    /// Unique and stable, for example `recall/test/00017`.
    pub id: String,
    /// The text before the choice, without a trailing blank.
    pub prompt: String,
    /// The text before each choice, where choices differ in what they follow; empty where `prompt` serves all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// The possible continuations, without a leading blank.
    pub choices: Vec<String>,
    /// Index of the right choice.
    pub label: usize,
}

impl Item {
    /// The text before a choice.
    pub fn prompt_of(&self, choice: usize) -> &str {
        self.prompts.get(choice).unwrap_or(&self.prompt)
    }
}

/// The parts of a task, which share no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// For fitting anything to the task.
    Train,
    /// Guides a search.
    Validation,
    /// Judges its outcome.
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

/// The items of one split of `task`, always the same ones in the same order.
///
/// A longer split begins with the items of a shorter one.
///
/// # Errors
/// A manifest error when the task asks for more items than its source has, or a row makes no item; an
/// environment error when a file cannot be read.
pub fn items(task: &Task, split: Split) -> Result<Vec<Item>> {
    match &task.source {
        TaskSource::Synthetic(source) => {
            SyntheticLanguage::new(source.language_seed).task_items(source, split)
        }
        TaskSource::File(source) => file_task::items(source, split),
    }
}

//! The items of a task's split, before and after tokenization.

use std::path::Path;
use std::sync::Arc;

use dtr_sandbox::Sandbox;

use super::generation_requests::GenerationRequests;
use super::scoring_requests::ScoringRequests;
use super::{ChatMessages, GenerativeItem, Item, Split, Task, TaskSource};
use super::{load_generative_items, load_items, load_road_items};
use dtr_core::error::Result;
use dtr_model::Tokenizer;

/// The items of a split of a task.
pub enum TaskItems {
    /// Multiple-choice items.
    Choices(Vec<Item>),
    /// Items whose answers the model generates.
    Generative(Vec<GenerativeItem>),
}

impl TaskItems {
    /// Loads or generates the items of a split of `task`, always in the same order.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if a row cannot be turned into an item.
    pub fn load(task: &Task, split: Split) -> Result<Self> {
        Ok(match &task.source {
            TaskSource::Synthetic(_) | TaskSource::File(_) => Self::Choices(load_items(task, split)?),
            TaskSource::Generative(task) => Self::Generative(load_generative_items(task, split)?),
            TaskSource::Opendrive(task) => Self::Generative(load_road_items(task, split)?),
        })
    }

    /// Renders the items' chat messages to prompts, with the chat template of the base at `path`. Keeps the
    /// prompts of items without chat messages. `path` is `None` if the sweep trains the base, which then has
    /// no chat template.
    ///
    /// # Errors
    /// Fails if the base has no chat template, or if the template refuses the messages.
    pub fn render_chats(mut self, path: Option<&Path>) -> Result<Self> {
        if let Self::Generative(items) = &mut self
            && items.iter().any(|item| item.chat.is_some())
        {
            let chats = items.iter().filter_map(|item| item.chat.as_ref());
            let prompts = ChatMessages::render_all(path, chats)?;
            items.iter_mut().zip(prompts).for_each(|(item, prompt)| item.prompt = prompt);
        }
        Ok(self)
    }
}

/// The tokenized items of a split of a task.
pub enum TaskRequests {
    /// Requests for the log-likelihoods of choices.
    Choices(ScoringRequests),
    /// Prompts whose answers the model generates.
    Generation(GenerationRequests),
}

impl TaskRequests {
    /// Tokenizes the items of `task`, for a model with a context of `max_positions` tokens.
    ///
    /// # Errors
    /// Fails if the model cannot be scored on an item.
    pub fn new(tokenizer: &Tokenizer, task: &Task, items: TaskItems, max_positions: usize) -> Result<Self> {
        Ok(match items {
            TaskItems::Choices(items) => {
                Self::Choices(ScoringRequests::new(tokenizer, items, task.metric(), max_positions)?)
            }
            TaskItems::Generative(items) => {
                let settings = task.generation_settings().expect("the items are of this task");
                Self::Generation(GenerationRequests::new(tokenizer, &settings, items, max_positions)?)
            }
        })
    }

    /// Returns the same requests with `eos_token_ids` as the tokens that end a generated text.
    pub fn with_eos_token_ids(self, eos_token_ids: Vec<u32>) -> Self {
        match self {
            Self::Choices(requests) => Self::Choices(requests),
            Self::Generation(requests) => Self::Generation(requests.with_eos_token_ids(eos_token_ids)),
        }
    }

    /// Returns the score of an answer without a model, or `None` if the task has no such baseline.
    ///
    /// # Errors
    /// Fails if an item cannot be scored.
    pub fn baseline_score(&self) -> Result<Option<f64>> {
        match self {
            Self::Choices(_) => Ok(None),
            Self::Generation(requests) => requests.baseline_score(),
        }
    }

    /// Returns the same requests with the sandbox in which programs and scripts run.
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        match self {
            Self::Choices(requests) => Self::Choices(requests),
            Self::Generation(requests) => Self::Generation(requests.with_sandbox(sandbox)),
        }
    }

    /// Returns whether the answers are programs, or a script scores them. Both need a sandbox.
    pub fn needs_sandbox(&self) -> bool {
        matches!(self, Self::Generation(requests) if requests.needs_sandbox())
    }

    /// Returns the number of items.
    pub fn num_items(&self) -> usize {
        match self {
            Self::Choices(requests) => requests.items().len(),
            Self::Generation(requests) => requests.items().len(),
        }
    }

    /// Returns the requests of multiple-choice items, or `None` if the model generates the answers.
    pub fn choices(&self) -> Option<&ScoringRequests> {
        match self {
            Self::Choices(requests) => Some(requests),
            Self::Generation(_) => None,
        }
    }

    /// Returns the number of tokens that a model processes. A shared prefix counts once, and a generated text
    /// counts as if it had its maximum length.
    pub fn num_tokens(&self) -> usize {
        match self {
            Self::Choices(requests) => requests.num_tokens(),
            Self::Generation(requests) => {
                let prompts: usize = requests.prompts().iter().map(Vec::len).sum();
                prompts + requests.prompts().len() * requests.max_new_tokens()
            }
        }
    }

    /// Returns the number of predicted tokens that decide the score: the tokens of choices or of generated
    /// texts. A generated text counts as if it had its maximum length.
    pub fn num_targets(&self) -> usize {
        match self {
            Self::Choices(requests) => requests.num_targets_by_item().iter().sum(),
            Self::Generation(requests) => requests.prompts().len() * requests.max_new_tokens(),
        }
    }

    /// Returns the tokens of all prompts and choices.
    pub fn tokens(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::Choices(requests) => {
                let targets = (0..requests.rows().len()).flat_map(|row| requests.targets(row));
                let targets = targets.map(|target| target.token);
                Box::new(requests.rows().iter().flatten().copied().chain(targets))
            }
            Self::Generation(requests) => Box::new(requests.prompts().iter().flatten().copied()),
        }
    }
}

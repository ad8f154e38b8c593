//! Training examples: the items of a task's train split as prompts and completions in tokens.

use std::collections::BTreeMap;
use std::fmt;

use rayon::prelude::*;

use super::scoring_requests::encode_training_choice;
use super::{GenerationSettings, GenerativeItem, Item, Split, Task, TaskItems, TaskSource, encode_prompt};
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;
use dtr_core::seed::Seed;
use dtr_model::Tokenizer;

/// A prompt and its completion in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingExample {
    /// The tokens of the prompt and the completion.
    pub tokens: Vec<u32>,
    /// The number of tokens of the prompt. It is at least 1.
    pub num_prompt_tokens: usize,
    /// Whether the prompt lost its first tokens.
    pub is_truncated: bool,
}

impl TrainingExample {
    /// Returns the tokens that a model reads: all tokens except the last one.
    pub fn inputs(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// Returns the tokens that a model learns. Each is a pair: the index of the preceding token, and the token.
    pub fn targets(&self) -> impl Iterator<Item = (usize, u32)> {
        (self.num_prompt_tokens..self.tokens.len()).map(|at| (at - 1, self.tokens[at]))
    }

    /// Returns the number of tokens of the completion.
    pub fn num_targets(&self) -> usize {
        self.tokens.len() - self.num_prompt_tokens
    }

    /// Cuts the first tokens of the prompt, so that at most `max_tokens` tokens remain. `id` names the item.
    ///
    /// # Errors
    /// Fails if the completion leaves no room for a token of the prompt.
    fn truncate(mut self, max_tokens: usize, id: &str) -> Result<Self> {
        let num_cut = self.tokens.len().saturating_sub(max_tokens);
        if num_cut >= self.num_prompt_tokens {
            return Err(Error::failed(format!(
                "the completion of item `{id}` has {} tokens, and an item has at most {max_tokens}",
                self.num_targets()
            ))
            .hint("set `finetune.sequence-length` to a larger number"));
        }
        self.tokens.drain(..num_cut);
        self.num_prompt_tokens -= num_cut;
        Ok(Self { is_truncated: num_cut > 0, ..self })
    }
}

/// The examples of a task, divided into examples for training and held-out examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingExamples {
    /// The examples for training.
    pub training: Vec<TrainingExample>,
    /// The held-out examples.
    pub held_out: Vec<TrainingExample>,
}

/// How the items of a train split become examples.
pub struct ExampleSettings<'a> {
    /// The maximum number of tokens of an example.
    pub max_tokens: usize,
    /// The tokens that end a generated text. An answer that the model generates ends with the first of them.
    pub eos_token_ids: &'a [u32],
    /// The fraction of the items that are held out.
    pub held_out_fraction: f64,
    /// The seed that decides which items are held out.
    pub seed: Seed,
}

impl TrainingExamples {
    /// Tokenizes `items`, the train split of `task` with rendered prompts. Divides the examples by the digests
    /// of their `questions`, so that equal questions stay together.
    ///
    /// # Errors
    /// Fails if a prompt has no tokens, if a completion is too long, or if the division leaves one of the two
    /// parts empty.
    pub fn new(
        tokenizer: &Tokenizer,
        task: &Task,
        items: &TaskItems,
        questions: &QuestionDigests,
        settings: &ExampleSettings<'_>,
    ) -> Result<Self> {
        let examples: Vec<TrainingExample> = match (items, task.generation_settings()) {
            (TaskItems::Choices(items), _) => {
                let encode = |item| encode_choice(tokenizer, item, settings.max_tokens);
                items.par_iter().map(encode).collect::<Result<_>>()?
            }
            (TaskItems::Generative(items), Some(task)) => {
                let encode = |item| encode_generative(tokenizer, &task, item, settings);
                items.par_iter().map(encode).collect::<Result<_>>()?
            }
            (TaskItems::Generative(_), None) => unreachable!("only generative tasks have such items"),
        };
        let is_held_out = held_out_items(&questions.digests, settings);
        let (mut training, mut held_out) = (Vec::new(), Vec::new());
        for (example, is_held_out) in examples.into_iter().zip(is_held_out) {
            if is_held_out { held_out.push(example) } else { training.push(example) }
        }
        match training.is_empty() || held_out.is_empty() {
            true => Err(Error::manifest(format!(
                "cannot hold out a part of the train split: it has {} items",
                questions.digests.len()
            ))
            .hint("give the task more train items")),
            false => Ok(Self { training, held_out }),
        }
    }

    /// Returns the number of examples whose prompt lost its first tokens.
    pub fn num_truncated(&self) -> u64 {
        self.training.iter().chain(&self.held_out).filter(|example| example.is_truncated).count() as u64
    }
}

/// Returns whether each item is held out. The held-out items are those with the lowest digests of seed and
/// question. There are as many as the fraction asks for, but at least one, and all items with an equal question.
fn held_out_items(digests: &[(String, Digest)], settings: &ExampleSettings<'_>) -> Vec<bool> {
    let seed = settings.seed.child("held-out").0.to_le_bytes();
    let sort_key = |digest: &Digest| Digest::hash(&[&seed[..], digest.to_string().as_bytes()].concat());
    let keys: Vec<Digest> = digests.iter().map(|(_, digest)| sort_key(digest)).collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    let count = ((settings.held_out_fraction * keys.len() as f64).round() as usize).max(1);
    let last = sorted.get(count - 1).copied();
    keys.into_iter().map(|key| last.is_some_and(|last| key <= last)).collect()
}

fn encode_choice(tokenizer: &Tokenizer, item: &Item, max_tokens: usize) -> Result<TrainingExample> {
    let (tokens, num_prompt_tokens) = encode_training_choice(tokenizer, item)?;
    TrainingExample { tokens, num_prompt_tokens, is_truncated: false }.truncate(max_tokens, &item.id)
}

/// Tokenizes the prompt and the correct answer of an item. If the model continues the prompt itself, a space
/// separates prompt and answer, as in few-shot examples. The text ends with the model's end token. If there is
/// none, the text ends with the task's first stop string.
fn encode_generative(
    tokenizer: &Tokenizer,
    task: &GenerationSettings<'_>,
    item: &GenerativeItem,
    settings: &ExampleSettings<'_>,
) -> Result<TrainingExample> {
    let end = match settings.eos_token_ids.is_empty() {
        true => task.stop.first().map_or("", String::as_str),
        false => "",
    };
    let target = format!("{}{end}", item.target);
    let (mut tokens, num_prompt_tokens) = match item.chat.is_some() {
        true => {
            let prompt = encode_prompt(tokenizer, &item.prompt, true)?;
            let num_prompt_tokens = prompt.len();
            ([prompt, tokenizer.encode(&target, false)?].concat(), num_prompt_tokens)
        }
        false => {
            let has_space = item.prompt.ends_with(char::is_whitespace);
            let delimiter = if has_space { "" } else { task.target_delimiter };
            let text = format!("{}{delimiter}{target}", item.prompt);
            let num_prompt_tokens = encode_prompt(tokenizer, item.prompt.trim_end(), false)?.len();
            (encode_prompt(tokenizer, &text, false)?, num_prompt_tokens)
        }
    };
    tokens.extend(settings.eos_token_ids.first());
    if num_prompt_tokens == 0 || tokens.len() <= num_prompt_tokens {
        return Err(Error::failed(format!("the prompt or the answer of item `{}` has no tokens", item.id)));
    }
    TrainingExample { tokens, num_prompt_tokens, is_truncated: false }.truncate(settings.max_tokens, &item.id)
}

/// The digests of the questions of a split. A question is an item's prompt with its choices in any order, without
/// few-shot examples and without a chat template.
pub struct QuestionDigests {
    split: Split,
    /// The identifier of each item, and the digest of its question.
    digests: Vec<(String, Digest)>,
}

impl QuestionDigests {
    /// Computes the digests of the questions of a split.
    fn load(task: &Task, split: Split) -> Result<Self> {
        let digests = match TaskItems::load(&without_context(task), split)? {
            TaskItems::Choices(items) => items.iter().map(|item| (item.id.clone(), digest(item))).collect(),
            TaskItems::Generative(items) => {
                items.iter().map(|item| (item.id.clone(), digest_of_texts([&item.prompt]))).collect()
            }
        };
        Ok(Self { split, digests })
    }

    /// Computes the digests of the questions of the train split. Refuses questions that are also in the
    /// validation split, which guides searches, or in the test split.
    ///
    /// # Errors
    /// Fails if a question is in two splits, if a file cannot be read, or if a row cannot be turned into an
    /// item.
    pub fn load_disjoint(task: &Task) -> Result<Self> {
        let training = Self::load(task, Split::Train)?;
        let reserved = [Self::load(task, Split::Validation)?, Self::load(task, Split::Test)?];
        Self::ensure_disjoint(&training, &reserved)?;
        Ok(training)
    }

    /// Checks that no question of `training` is also in one of `reserved`. The error tells how many items of the
    /// train split are affected, and shows the first of them.
    fn ensure_disjoint(training: &Self, reserved: &[Self]) -> Result<()> {
        let mut known: BTreeMap<Digest, (&str, Split)> = BTreeMap::new();
        for questions in reserved {
            known.extend(
                questions.digests.iter().map(|(id, digest)| (*digest, (id.as_str(), questions.split))),
            );
        }
        let shared: Vec<_> =
            training.digests.iter().filter_map(|(id, digest)| Some((id, known.get(digest)?))).collect();
        let Some((id, (other, split))) = shared.first() else { return Ok(()) };
        Err(Error::manifest(format!(
            "cannot train on {} of {} train items: their questions are also in the validation or the test \
             split; `{id}` has the question of the {split} item `{other}`",
            shared.len(),
            training.digests.len()
        ))
        .hint("remove these rows from the file of train rows"))
    }
}

impl fmt::Debug for QuestionDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} questions", self.digests.len(), self.split)
    }
}

/// Returns a copy of `task` whose prompts have neither few-shot examples nor a chat template.
fn without_context(task: &Task) -> Task {
    let mut task = task.clone();
    match &mut task.source {
        TaskSource::Synthetic(_) | TaskSource::Opendrive(_) => {}
        TaskSource::File(file) => file.shots = None,
        TaskSource::Generative(generative) => (generative.shots, generative.chat) = (None, None),
    }
    task
}

fn digest(item: &Item) -> Digest {
    let mut choices: Vec<&String> = item.choices.iter().collect();
    choices.sort_unstable();
    let mut prompts: Vec<&String> = item.prompts.iter().collect();
    prompts.sort_unstable();
    digest_of_texts([&item.prompt].into_iter().chain(prompts).chain(choices))
}

/// Returns the digest of a list of texts. Space at the ends of a text does not count.
fn digest_of_texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Digest {
    let texts: Vec<&str> = texts.into_iter().map(|text| text.trim()).collect();
    Digest::hash(serde_json::to_string(&texts).expect("texts are plain JSON").as_bytes())
}

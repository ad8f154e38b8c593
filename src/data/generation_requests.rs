//! The prompts of a task that the model answers by generating text, and the scores of the answers.

use dtr_text::filter::FilterChain;
use dtr_text::metric::{AnswerScore, AnswerScorer, TextMetric};
use dtr_text::stop_strings::StopStrings;
use rayon::prelude::*;

use super::{GenerativeItem, GenerativeTask};
use dtr_core::error::{Error, Result};
use dtr_model::Tokenizer;

/// The prompts of a task's items as tokens, and what decides the scores of the answers.
pub struct GenerationRequests {
    items: Vec<GenerativeItem>,
    prompts: Vec<Vec<u32>>,
    num_truncated_items: u64,
    max_new_tokens: usize,
    eos_token_ids: Vec<u32>,
    stop_strings: StopStrings,
    filters: FilterChain,
    metric: TextMetric,
    scorer: AnswerScorer,
}

impl GenerationRequests {
    /// Tokenizes the prompts of `items` on all threads. A model with a context of `max_positions` tokens
    /// continues them.
    ///
    /// A prompt that leaves no room for `max-tokens` new tokens loses its first tokens, as in
    /// lm-evaluation-harness.
    ///
    /// # Errors
    /// Fails if a filter or the metric has an invalid pattern, if a prompt has no tokens, or if `max-tokens`
    /// leaves no room for a prompt.
    pub fn new(
        tokenizer: &Tokenizer,
        task: &GenerativeTask,
        items: Vec<GenerativeItem>,
        max_positions: usize,
    ) -> Result<Self> {
        let Some(max_prompt_tokens) = max_positions.checked_sub(task.max_tokens).filter(|tokens| *tokens > 0)
        else {
            return Err(Error::failed(format!(
                "`max-tokens` is {}, and the model's context ends at {max_positions}",
                task.max_tokens
            )));
        };
        let encode = |item: &GenerativeItem| encode_prompt(tokenizer, item);
        let mut prompts: Vec<Vec<u32>> = items.par_iter().map(encode).collect::<Result<_>>()?;
        let mut num_truncated_items = 0;
        for prompt in prompts.iter_mut().filter(|prompt| prompt.len() > max_prompt_tokens) {
            prompt.drain(..prompt.len() - max_prompt_tokens);
            num_truncated_items += 1;
        }
        Ok(Self {
            items,
            prompts,
            num_truncated_items,
            max_new_tokens: task.max_tokens,
            eos_token_ids: Vec::new(),
            stop_strings: StopStrings::new(task.stop.iter().cloned()),
            filters: FilterChain::new(&task.filters)?,
            metric: task.metric.clone(),
            scorer: task.metric.compile()?,
        })
    }

    /// Returns the same requests with `eos_token_ids` as the tokens that end a text.
    pub fn with_eos_token_ids(self, eos_token_ids: Vec<u32>) -> Self {
        Self { eos_token_ids, ..self }
    }

    /// Returns the tokens that end a text.
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.eos_token_ids
    }

    /// Returns the items.
    pub fn items(&self) -> &[GenerativeItem] {
        &self.items
    }

    /// Returns the tokens of each item's prompt.
    pub fn prompts(&self) -> &[Vec<u32>] {
        &self.prompts
    }

    /// Returns the number of items whose prompt was truncated.
    pub fn num_truncated_items(&self) -> u64 {
        self.num_truncated_items
    }

    /// Returns the maximum number of tokens of an answer's text.
    pub fn max_new_tokens(&self) -> usize {
        self.max_new_tokens
    }

    /// Returns the strings that end a text.
    pub fn stop_strings(&self) -> &StopStrings {
        &self.stop_strings
    }

    /// Returns the metric that scores the answers.
    pub fn metric(&self) -> &TextMetric {
        &self.metric
    }

    /// Extracts the answer to an item from the text that the model generated, and scores the answer. Returns
    /// the answer and its score.
    ///
    /// # Errors
    /// Fails if a regular expression needs too many steps.
    pub fn score_text(&self, item: usize, text: &str) -> Result<(String, AnswerScore)> {
        let GenerativeItem { id, references, classes, .. } = &self.items[item];
        let score = || {
            let answer = self.filters.apply(self.stop_strings.cut(text))?;
            let score = self.scorer.score(&answer, references, classes)?;
            Ok((answer, score))
        };
        score().map_err(|error: Error| {
            Error::failed(format!("cannot score the answer to item `{id}`")).with_source(error)
        })
    }
}

fn encode_prompt(tokenizer: &Tokenizer, item: &GenerativeItem) -> Result<Vec<u32>> {
    let tokens = tokenizer.encode_prompt(&item.prompt)?;
    match tokens.is_empty() {
        true => Err(Error::failed(format!("the prompt of item `{}` has no tokens", item.id))),
        false => Ok(tokens),
    }
}

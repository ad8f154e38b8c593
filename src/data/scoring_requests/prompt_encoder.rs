//! Tokenizes prompts and choices in the same way as lm-evaluation-harness.

use super::Item;
use dtr_core::error::{Error, Result};
use dtr_model::Tokenizer;
use dtr_text::python_text::is_space;

/// A prompt and the number of its tokens. The choices of an item usually share one prompt, whose tokens are
/// then counted only once.
#[derive(Default)]
pub(super) struct PromptEncoder<'a> {
    text: Option<&'a str>,
    /// The number of tokens before the tokens of a choice.
    pub num_tokens: usize,
}

impl<'a> PromptEncoder<'a> {
    /// Returns `self` if its text is `prompt`. Otherwise, counts the tokens of `prompt`.
    ///
    /// # Errors
    /// Fails if the tokenizer cannot encode the text.
    pub fn reuse_or_measure(self, tokenizer: &Tokenizer, prompt: &'a str) -> Result<Self> {
        if self.text == Some(prompt) {
            return Ok(self);
        }
        let num_tokens = match prompt.is_empty() {
            // After an empty prompt, only the prefix token comes before a choice.
            true => 1,
            // Trailing whitespace of a prompt belongs to the choice.
            false => tokenizer.encode_prompt(prompt.trim_end_matches(is_space))?.len(),
        };
        Ok(Self { text: Some(prompt), num_tokens })
    }

    /// Returns the tokens of the prompt and a choice. If the prompt is empty, the tokens start with the
    /// tokenizer's prefix token. If the choice itself begins with the prefix token, this token is not
    /// repeated.
    ///
    /// # Errors
    /// Fails if the tokenizer cannot encode the text, or if the prompt is empty and the tokenizer has no
    /// prefix token.
    pub fn encode_choice(&self, tokenizer: &Tokenizer, item: &Item, choice: usize) -> Result<Vec<u32>> {
        let text = &item.choices[choice];
        match self.text {
            None | Some("") => {}
            Some(prompt) => return tokenizer.encode_prompt(&format!("{prompt} {text}")),
        }
        let tokens = tokenizer.encode(&format!(" {text}"), false)?;
        let prefix = tokenizer.prefix_token().ok_or_else(|| {
            Error::failed(format!(
                "cannot score item `{}`: its prompt is empty, and the tokenizer's files name neither \
                 `bos_token` nor `eos_token`",
                item.id
            ))
        })?;
        match tokens.first() == Some(&prefix) {
            true => Ok(tokens),
            false => Ok([&[prefix], &tokens[..]].concat()),
        }
    }
}

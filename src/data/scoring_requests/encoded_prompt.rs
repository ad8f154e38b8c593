//! Tokenizing prompts and choices, as lm-evaluation-harness does.

use super::Item;
use dtr_core::error::{Error, Result};
use dtr_model::Tokenizer;

/// A prompt and the number of its tokens. The choices of an item mostly share one prompt.
#[derive(Default)]
pub(super) struct EncodedPrompt<'a> {
    text: Option<&'a str>,
    /// The number of tokens before a choice.
    pub num_tokens: usize,
}

impl<'a> EncodedPrompt<'a> {
    /// Returns the encoded form of `prompt`: this one, if it has the same text.
    ///
    /// # Errors
    /// Fails when the tokenizer refuses the text.
    pub fn or_encode(self, tokenizer: &Tokenizer, prompt: &'a str) -> Result<Self> {
        if self.text == Some(prompt) {
            return Ok(self);
        }
        let num_tokens = match prompt.is_empty() {
            true => 1,
            // Trailing space of a prompt belongs to the choice.
            false => tokenizer.encode_prompt(prompt.trim_end_matches(is_python_space))?.len(),
        };
        Ok(Self { text: Some(prompt), num_tokens })
    }

    /// Returns the tokens of the prompt and a choice. A choice without a prompt follows the prefix token,
    /// unless it begins with that token.
    ///
    /// # Errors
    /// Fails when the tokenizer refuses the text, or has no prefix token.
    pub fn encode_choice(&self, tokenizer: &Tokenizer, item: &Item, choice: usize) -> Result<Vec<u32>> {
        let text = &item.choices[choice];
        match self.text {
            None | Some("") => {}
            Some(prompt) => return tokenizer.encode_prompt(&format!("{prompt} {text}")),
        }
        let tokens = tokenizer.encode(&format!(" {text}"), false)?;
        let prefix = tokenizer.prefix_token().ok_or_else(|| {
            Error::failed(format!(
                "the prompt of item `{}` is empty, and the tokenizer's files name neither `bos_token` nor \
                 `eos_token` to score its choices after",
                item.id
            ))
        })?;
        match tokens.first() == Some(&prefix) {
            true => Ok(tokens),
            false => Ok([&[prefix], &tokens[..]].concat()),
        }
    }
}

/// Returns whether Python's `str.rstrip` removes a character. It also removes four separators of ASCII.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

//! The text of one prompt while it is generated.

use super::sampling::{Sampler, SamplingConfig};
use super::{GeneratedText, StopReason};
use crate::{Detokenizer, Tokenizer};
use dtr_core::error::Result;

/// A function that receives each piece of a text and returns whether the text ends in this piece. A piece
/// consists of complete characters.
pub type StopMatcher<'a> = Box<dyn FnMut(&str) -> bool + 'a>;

/// The tokens after which a text ends.
#[derive(Clone, Copy)]
pub struct EndOfRow<'a> {
    /// Tokens that end the text.
    pub eos_token_ids: &'a [u32],
    /// The maximum number of new tokens.
    pub max_new_tokens: usize,
    /// The number of tokens at which the model's context is full.
    pub max_positions: usize,
}

/// The text of one prompt, from its first new token on.
pub struct RowText<'a> {
    /// The index of the prompt.
    pub prompt: usize,
    /// The sampler of the tokens.
    pub sampler: Sampler,
    end: EndOfRow<'a>,
    detokenizer: Detokenizer<'a>,
    matcher: StopMatcher<'a>,
    generated: GeneratedText,
}

impl<'a> RowText<'a> {
    /// Creates the text after `prompt_ids`, the tokens of the prompt with the index `prompt`.
    ///
    /// # Errors
    /// Fails when the tokenizer cannot decode the prompt.
    pub fn new(
        tokenizer: &'a Tokenizer,
        (prompt, prompt_ids): (usize, &[u32]),
        sampling: SamplingConfig,
        end: EndOfRow<'a>,
        matcher: StopMatcher<'a>,
    ) -> Result<Self> {
        let generated = GeneratedText {
            prompt_tokens: prompt_ids.len(),
            tokens: Vec::new(),
            text: String::new(),
            stop_reason: StopReason::MaxTokens,
        };
        let detokenizer = Detokenizer::new(tokenizer, prompt_ids)?;
        Ok(Self { prompt, sampler: Sampler::new(sampling, prompt), end, detokenizer, matcher, generated })
    }

    /// Returns the number of tokens that may follow.
    pub fn remaining_tokens(&self) -> usize {
        let in_context = self.end.max_positions.saturating_sub(self.generated.prompt_tokens);
        self.end.max_new_tokens.min(in_context).saturating_sub(self.generated.tokens.len())
    }

    /// Adds a token. Returns whether the text has ended.
    ///
    /// # Errors
    /// Fails when the tokenizer cannot decode the tokens.
    pub fn push(&mut self, token: u32) -> Result<bool> {
        self.generated.tokens.push(token);
        if self.end.eos_token_ids.contains(&token) {
            return self.finish(StopReason::EndOfText);
        }
        let piece = self.detokenizer.push(token)?;
        if self.add(&piece) {
            self.generated.stop_reason = StopReason::StopString;
            return Ok(true);
        }
        let num_tokens = self.generated.tokens.len();
        if self.generated.prompt_tokens + num_tokens >= self.end.max_positions {
            return self.finish(StopReason::ContextFull);
        }
        match num_tokens >= self.end.max_new_tokens {
            true => self.finish(StopReason::MaxTokens),
            false => Ok(false),
        }
    }

    /// Adds the text of the bytes that did not form a complete character. Returns true.
    fn finish(&mut self, reason: StopReason) -> Result<bool> {
        let rest = self.detokenizer.finish()?;
        self.generated.stop_reason = if self.add(&rest) { StopReason::StopString } else { reason };
        Ok(true)
    }

    /// Adds a piece of text. Returns whether the text ends in this piece.
    fn add(&mut self, piece: &str) -> bool {
        self.generated.text += piece;
        !piece.is_empty() && (self.matcher)(piece)
    }

    /// Returns the finished text.
    pub fn into_generated(self) -> GeneratedText {
        self.generated
    }
}

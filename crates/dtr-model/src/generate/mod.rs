//! Going on from a prompt, token by token.
//!
//! The prompt goes through the model once; after that each token costs one step over the layers' states, caches
//! where attention is full and recurrent states where it is linear.

mod sampling;
mod stops;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::sampling::Sampler;
use self::stops::Stops;
use crate::{Hybrid, State, TextStream, Tokenizer};
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;

/// Tokens of the prompt that go through the model at a time, which bounds the memory it takes.
const PREFILL_TOKENS: usize = 1024;

/// How a prompt is continued.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most tokens.
    pub max_tokens: usize,
    /// What logits are divided by before a token is drawn; 0 takes the likeliest.
    pub temperature: f64,
    /// Tokens are drawn from the fewest whose probabilities add up to this.
    pub top_p: f64,
    /// The text ends before any of these.
    pub stops: Vec<String>,
    /// The text ends with any of these tokens.
    pub ends: Vec<u32>,
    /// What the draws descend from.
    pub seed: Seed,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The model ended it.
    EndOfText,
    /// A stop string came.
    StopString,
    /// It has as many tokens as were asked for.
    MaxTokens,
    /// Prompt and text fill the model's context.
    ContextFull,
}

/// What came of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were generated, one that ended the text included.
    pub tokens: usize,
    /// The text after the prompt.
    pub text: String,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// Continues `prompt`, token ids, as `settings` say; `tell` is given the text piece by piece as it comes.
///
/// # Errors
/// When the prompt is empty, unknown to the model or longer than its context, or what `tell` says.
pub fn generate(
    model: &Hybrid<'_>,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    settings: &Settings,
    tell: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Generated> {
    check(model, prompt)?;
    let mut answer = Answer {
        stream: TextStream::after(tokenizer, prompt)?,
        stops: Stops::new(&settings.stops),
        text: String::new(),
        tell,
    };
    let (tokens, stop_reason) = answer.run(model, prompt, settings)?;
    let Answer { text, .. } = answer;
    Ok(Generated { prompt_tokens: prompt.len(), tokens, text, stop_reason })
}

/// Refuses a prompt that the model cannot take.
fn check(model: &Hybrid<'_>, prompt: &[u32]) -> Result<()> {
    let (room, vocabulary) = (model.config().max_positions, model.config().vocab_size);
    if prompt.is_empty() {
        return Err(Error::manifest("the prompt has no tokens").hint("give some text to continue"));
    }
    if prompt.len() >= room {
        return Err(Error::manifest(format!(
            "the prompt has {} tokens, and the model's context ends at {room}",
            prompt.len()
        ))
        .hint("shorten the prompt"));
    }
    match prompt.iter().find(|&&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(token) => Err(Error::environment(format!(
            "the tokenizer gives token {token}, and the model's vocabulary ends at {vocabulary}"
        ))),
    }
}

/// A text in the making.
struct Answer<'a> {
    stream: TextStream<'a>,
    stops: Stops,
    text: String,
    tell: &'a mut dyn FnMut(&str) -> Result<()>,
}

impl Answer<'_> {
    /// Generates to the end; the number of tokens and the reason.
    fn run(
        &mut self,
        model: &Hybrid<'_>,
        prompt: &[u32],
        settings: &Settings,
    ) -> Result<(usize, StopReason)> {
        let room = (prompt.len() + settings.max_tokens).min(model.config().max_positions);
        let mut state = State::new(model.num_layers()).for_tokens(room);
        let mut sampler = Sampler::new(settings);
        let mut logits = prefill(model, prompt, &mut state);
        for count in 1..=settings.max_tokens {
            let token = sampler.next(&logits)?;
            if settings.ends.contains(&token) {
                return self.end(count, StopReason::EndOfText);
            }
            let piece = self.stream.push(token)?;
            if self.add(&piece)? {
                return Ok((count, StopReason::StopString));
            }
            if prompt.len() + count >= model.config().max_positions {
                return self.end(count, StopReason::ContextFull);
            }
            if count < settings.max_tokens {
                logits = forward(model, &[token], &mut state);
            }
        }
        self.end(settings.max_tokens, StopReason::MaxTokens)
    }

    /// Adds text; whether a stop string ended it.
    fn add(&mut self, piece: &str) -> Result<bool> {
        let (text, is_stopped) = self.stops.push(piece);
        self.say(&text)?;
        Ok(is_stopped)
    }

    /// Tells what was held back, when no more comes.
    fn end(&mut self, count: usize, reason: StopReason) -> Result<(usize, StopReason)> {
        let rest = self.stream.finish()?;
        if self.add(&rest)? {
            return Ok((count, StopReason::StopString));
        }
        let held = self.stops.finish();
        self.say(&held)?;
        Ok((count, reason))
    }

    fn say(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.text += text;
        (self.tell)(text)
    }
}

/// The logits after `prompt`, whose state is left in `state`.
fn prefill(model: &Hybrid<'_>, prompt: &[u32], state: &mut State) -> Vec<f32> {
    let mut logits = Vec::new();
    for part in prompt.chunks(PREFILL_TOKENS) {
        logits = forward(model, part, state);
    }
    logits
}

/// The logits of the token after `tokens`, which continue `state`.
fn forward(model: &Hybrid<'_>, tokens: &[u32], state: &mut State) -> Vec<f32> {
    let hidden = model.forward(&[tokens.to_vec()], None, Some(state));
    let last = hidden.narrow(1, tokens.len() - 1, 1).squeeze_dim::<2>(0);
    model.logits(last).into_data().try_to_vec().expect("logits are f32")
}

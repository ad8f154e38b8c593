//! Generates text from a prompt, token by token.
//!
//! The model first runs on the prompt. Each new token then takes one forward pass, which continues from the
//! state of the layers: KV caches for full attention, and recurrent states for linear attention.

mod sampling;
mod stop_string_detector;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::sampling::Sampler;
use self::stop_string_detector::StopStringDetector;
use crate::{DecoderState, Detokenizer, Hybrid, Tokenizer};
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;

/// The maximum number of prompt tokens in one forward pass. The limit bounds the memory for a long prompt.
const PREFILL_TOKENS: usize = 1024;

/// The settings of text generation.
#[derive(Clone, Debug)]
pub struct GenerationConfig {
    /// The maximum number of tokens to generate.
    pub max_tokens: usize,
    /// Divisor of the logits before sampling. If it is 0, the most likely token is always chosen.
    pub temperature: f64,
    /// Tokens are sampled from the fewest tokens whose probabilities add up to at least this number.
    pub top_p: f64,
    /// Strings that end the text. The text does not include them.
    pub stop_strings: Vec<String>,
    /// Tokens that end the text. The text does not include them.
    pub eos_token_ids: Vec<u32>,
    /// The seed of the samples.
    pub seed: Seed,
}

/// The reason why a generated text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The model generated an end token.
    EndOfText,
    /// The text reached a stop string.
    StopString,
    /// The text has the requested number of tokens.
    MaxTokens,
    /// Prompt and text fill the context of the model.
    ContextFull,
}

/// The text that was generated for a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GeneratedText {
    /// Number of tokens of the prompt.
    pub prompt_tokens: usize,
    /// Number of generated tokens, including the end token if there is one.
    pub tokens: usize,
    /// The text after the prompt.
    pub text: String,
    /// The reason why the text ended.
    pub stop_reason: StopReason,
}

/// Continues `prompt`, a list of token ids, and calls `callback` with each piece of text as soon as it is
/// known.
///
/// # Errors
/// Fails when the prompt is empty, has a token outside the vocabulary, or does not fit the context. Also
/// fails when the text may exceed the model's cache, or when `callback` fails.
///
/// ```no_run
/// # fn main() -> dtr_core::error::Result<()> {
/// use burn::tensor::Device;
/// use dtr_core::seed::Seed;
/// use dtr_model::LoadedModel;
/// use dtr_model::generate::{GenerationConfig, generate};
///
/// let model = LoadedModel::read("exported-hybrid".as_ref(), &Device::flex())?;
/// let prompt = model.tokenizer.encode("where is the lamp?", true)?;
/// let config = GenerationConfig {
///     max_tokens: 20,
///     temperature: 0.0,
///     top_p: 1.0,
///     stop_strings: Vec::new(),
///     eos_token_ids: Vec::new(),
///     seed: Seed(0),
/// };
/// let mut print = |text: &str| {
///     print!("{text}");
///     Ok(())
/// };
/// generate(&model.hybrid(), &model.tokenizer, &prompt, &config, &mut print)?;
/// # Ok(())
/// # }
/// ```
pub fn generate(
    model: &Hybrid<'_>,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
    callback: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<GeneratedText> {
    check_prompt(model, prompt)?;
    check_cache_window(model, prompt.len() + config.max_tokens)?;
    let mut generation = Generation {
        detokenizer: Detokenizer::new(tokenizer, prompt)?,
        stop_strings: StopStringDetector::new(&config.stop_strings),
        text: String::new(),
        callback,
    };
    let (tokens, stop_reason) = generation.run(model, prompt, config)?;
    let Generation { text, .. } = generation;
    Ok(GeneratedText { prompt_tokens: prompt.len(), tokens, text, stop_reason })
}

fn check_prompt(model: &Hybrid<'_>, prompt: &[u32]) -> Result<()> {
    let (context, vocabulary) = (model.config().max_positions, model.config().vocab_size);
    if prompt.is_empty() {
        return Err(Error::manifest("the prompt has no tokens").hint("give some text to continue"));
    }
    if prompt.len() >= context {
        return Err(Error::manifest(format!(
            "the prompt has {} tokens, and the model's context ends at {context}",
            prompt.len()
        ))
        .hint("shorten the prompt"));
    }
    match prompt.iter().find(|&&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(token) => Err(Error::environment(format!(
            "the tokenizer returned token {token}, and the model's vocabulary has {vocabulary} tokens"
        ))
        .hint("use the tokenizer of this model")),
    }
}

/// Checks that the model's cache can hold all tokens. dtr cannot drop tokens from a cache.
fn check_cache_window(model: &Hybrid<'_>, num_tokens: usize) -> Result<()> {
    let config = model.config();
    match config.cache_window {
        Some(window) if num_tokens.min(config.max_positions) > window => Err(Error::manifest(format!(
            "{num_tokens} tokens exceed the cache of {window} tokens that the model's `config.json` sets"
        ))
        .hint("shorten the prompt, or ask for fewer tokens")),
        _ => Ok(()),
    }
}

struct Generation<'a> {
    detokenizer: Detokenizer<'a>,
    stop_strings: StopStringDetector,
    text: String,
    callback: &'a mut dyn FnMut(&str) -> Result<()>,
}

impl Generation<'_> {
    /// Generates the text. Returns the number of tokens and the reason why the text ended.
    fn run(
        &mut self,
        model: &Hybrid<'_>,
        prompt: &[u32],
        config: &GenerationConfig,
    ) -> Result<(usize, StopReason)> {
        let capacity = (prompt.len() + config.max_tokens).min(model.config().max_positions);
        let mut state = DecoderState::new(model.num_layers()).with_capacity(capacity);
        let mut sampler = Sampler::new(config);
        let mut logits = prefill(model, prompt, &mut state);
        for count in 1..=config.max_tokens {
            let token = sampler.choose_token(&logits)?;
            if config.eos_token_ids.contains(&token) {
                return self.finish(count, StopReason::EndOfText);
            }
            let text = self.detokenizer.push(token)?;
            if self.push(&text)? {
                return Ok((count, StopReason::StopString));
            }
            if prompt.len() + count >= model.config().max_positions {
                return self.finish(count, StopReason::ContextFull);
            }
            if count < config.max_tokens {
                logits = forward(model, &[token], &mut state);
            }
        }
        self.finish(config.max_tokens, StopReason::MaxTokens)
    }

    /// Adds text that was decoded. Returns whether a stop string ends the text.
    fn push(&mut self, text: &str) -> Result<bool> {
        let (text, is_stopped) = self.stop_strings.push(text);
        self.emit(&text)?;
        Ok(is_stopped)
    }

    /// Emits the text that is still held back. Returns `count` and the reason why the text ended.
    fn finish(&mut self, count: usize, reason: StopReason) -> Result<(usize, StopReason)> {
        let rest = self.detokenizer.finish()?;
        if self.push(&rest)? {
            return Ok((count, StopReason::StopString));
        }
        let held_back = self.stop_strings.finish();
        self.emit(&held_back)?;
        Ok((count, reason))
    }

    fn emit(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.text += text;
        (self.callback)(text)
    }
}

/// Runs the model on `prompt`, updates `state` and returns the logits of the next token.
fn prefill(model: &Hybrid<'_>, prompt: &[u32], state: &mut DecoderState) -> Vec<f32> {
    let mut logits = Vec::new();
    for chunk in prompt.chunks(PREFILL_TOKENS) {
        logits = forward(model, chunk, state);
    }
    logits
}

/// Runs the model on `tokens`, updates `state` and returns the logits of the next token.
fn forward(model: &Hybrid<'_>, tokens: &[u32], state: &mut DecoderState) -> Vec<f32> {
    let hidden = model.forward_hidden(&[tokens.to_vec()], None, Some(state));
    let last = hidden.narrow(1, tokens.len() - 1, 1).squeeze_dim::<2>(0);
    model.logits(last).into_data().try_to_vec().expect("logits are f32")
}

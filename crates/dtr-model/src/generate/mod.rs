//! Generates text from prompts, token by token.
//!
//! The model first runs on the prompts. Each new token then takes one forward pass, which continues from the
//! state of the layers: KV caches for full attention, and recurrent states for linear attention.
//! [`BatchGenerator`] continues many prompts at once, and [`generate`] a single prompt.

mod batch_generator;
#[cfg(test)]
mod batch_tests;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
mod prefill;
mod prompt_pass;
mod row_text;
mod sampling;
mod stop_string_detector;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ops::ControlFlow;

use serde::Serialize;

pub use self::batch_generator::{BatchGenerator, GenerationLimits};
pub use self::prefill::{max_tokens_per_pass, rows_of_logits};
pub use self::prompt_pass::PromptPass;
pub use self::sampling::{Sampler, SamplingConfig, nan_logit};
pub use self::stop_string_detector::StopStringDetector;
use self::stop_string_detector::text_before_stop_strings;
use crate::{Hybrid, Tokenizer};
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedText {
    /// Number of tokens of the prompt that the model continued.
    pub prompt_tokens: usize,
    /// The generated tokens, including the end token if there is one.
    pub tokens: Vec<u32>,
    /// The text after the prompt, without the text of the end token.
    pub text: String,
    /// The reason why the text ended.
    pub stop_reason: StopReason,
}

impl GenerationConfig {
    fn sampling(&self) -> SamplingConfig {
        SamplingConfig { temperature: self.temperature, top_p: self.top_p, seed: self.seed }
    }
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
    let prompts = [prompt.to_vec()];
    let generator = generator_for(model, tokenizer, &prompts, config, 1)?;
    let stream = RefCell::new(TextStream {
        stop_strings: StopStringDetector::new(&config.stop_strings),
        text: String::new(),
        outcome: Ok(()),
        callback,
    });
    let stream_ref = &stream;
    let new_matcher = |_| move |piece: &str| stream_ref.borrow_mut().push(piece);
    let mut generated = None;
    generator.generate(prompts, new_matcher, |_, text| {
        generated = Some(text);
        Ok(ControlFlow::Break(()))
    })?;
    let generated = generated.expect("the generator returns a text for each prompt");
    let text = stream.into_inner().finish(generated.stop_reason)?;
    Ok(GeneratedText { text, ..generated })
}

/// Continues each of `prompts`, lists of token ids, and decodes `rows` of them at once. Calls `on_finished`
/// with the index of each prompt and its text as soon as the text has ended.
///
/// # Errors
/// Fails when a prompt is empty, has a token outside the vocabulary, or does not fit the context. Also fails
/// when a text may exceed the model's cache, or when `on_finished` fails.
pub fn generate_all(
    model: &Hybrid<'_>,
    tokenizer: &Tokenizer,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    rows: usize,
    on_finished: &mut dyn FnMut(usize, GeneratedText) -> Result<()>,
) -> Result<()> {
    if prompts.is_empty() {
        return Ok(());
    }
    let generator = generator_for(model, tokenizer, prompts, config, rows.min(prompts.len()))?;
    let new_matcher = |_| {
        let mut detector = StopStringDetector::new(&config.stop_strings);
        move |piece: &str| detector.push(piece).1
    };
    generator.generate(prompts.to_vec(), new_matcher, |prompt, mut generated| {
        generated.text.truncate(text_before_stop_strings(&generated.text, &config.stop_strings).len());
        on_finished(prompt, generated).map(ControlFlow::Continue)
    })
}

/// Returns a generator for `prompts`, none of which is truncated. Checks the prompts.
fn generator_for<'a>(
    model: &'a Hybrid<'a>,
    tokenizer: &'a Tokenizer,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    rows: usize,
) -> Result<BatchGenerator<'a>> {
    let context = model.config().max_positions;
    for prompt in prompts {
        check_tokens(model, prompt)?;
        if prompt.len() >= context {
            return Err(Error::manifest(format!(
                "the prompt has {} tokens, and the model's context ends at {context}",
                prompt.len()
            ))
            .hint("shorten the prompt"));
        }
    }
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let limits = GenerationLimits {
        rows,
        max_length: (longest + config.max_tokens).min(context),
        max_prompt_tokens: longest,
        max_new_tokens: config.max_tokens,
    };
    let generator = BatchGenerator::new(model, tokenizer, limits, &config.eos_token_ids)?;
    Ok(generator.with_sampling(config.sampling()))
}

/// Checks that a prompt has tokens, and that the model knows all of them.
///
/// # Errors
/// Fails when the prompt has no token, or a token outside the vocabulary.
pub fn check_tokens(model: &Hybrid<'_>, prompt: &[u32]) -> Result<()> {
    let vocabulary = model.config().vocab_size;
    if prompt.is_empty() {
        return Err(Error::manifest("the prompt has no tokens").hint("give some text to continue"));
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

/// A text that is passed on while it is generated.
struct TextStream<'a> {
    stop_strings: StopStringDetector,
    /// The text that was passed on.
    text: String,
    /// The first error of `callback`.
    outcome: Result<()>,
    callback: &'a mut dyn FnMut(&str) -> Result<()>,
}

impl TextStream<'_> {
    /// Adds a piece of the text. Returns whether the text ends.
    fn push(&mut self, piece: &str) -> bool {
        let (text, is_stopped) = self.stop_strings.push(piece);
        self.emit(&text);
        is_stopped || self.outcome.is_err()
    }

    /// Passes on the text that was held back, unless a stop string ended the text. Returns the whole text.
    fn finish(mut self, reason: StopReason) -> Result<String> {
        if reason != StopReason::StopString {
            let held_back = self.stop_strings.finish();
            self.emit(&held_back);
        }
        self.outcome.map(|()| self.text)
    }

    fn emit(&mut self, text: &str) {
        if !text.is_empty() && self.outcome.is_ok() {
            self.text += text;
            self.outcome = (self.callback)(text);
        }
    }
}

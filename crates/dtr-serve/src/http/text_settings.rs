//! The settings of requests for texts, and the requests to the engine.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::errors::ApiError;
use super::request_fields::{FieldResult, RequestFields, is_empty, is_zero};
use super::served_model::ServedModel;
use crate::engine::GenerationRequest;
use dtr_core::seed::Seed;
use dtr_model::generate::SamplingConfig;

/// The maximum number of texts for each prompt.
const MAX_TEXTS: u64 = 128;

/// How to continue each prompt of a request.
#[derive(Clone, Debug)]
pub struct TextSettings {
    /// The maximum number of new tokens. `None` if the client leaves it out.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampling: SamplingConfig,
    /// The number of texts for each prompt.
    pub num_texts: usize,
    /// The strings that end a text.
    pub stop_strings: Vec<String>,
    /// The number of most likely tokens whose log-probabilities are returned. `None` for no
    /// log-probabilities.
    pub log_probs: Option<usize>,
    /// Whether the reply begins with the prompt.
    pub echo: bool,
    /// How the texts are streamed. `None` for one reply with the whole texts.
    pub stream: Option<StreamSettings>,
}

/// The settings of a reply that is sent in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Whether the numbers of tokens follow the texts.
    pub include_usage: bool,
}

impl TextSettings {
    /// Takes the fields of the settings. The caller sets `log_probs` and `echo`.
    ///
    /// # Errors
    /// Fails when a field has a wrong type, is out of range, or asks for what this server does not do.
    pub fn take(fields: &mut RequestFields, model: &ServedModel) -> FieldResult<Self> {
        check_model_id(fields, model)?;
        fields.only("best_of", |value| value.as_u64() == Some(1))?;
        fields.only("frequency_penalty", is_zero)?;
        fields.only("presence_penalty", is_zero)?;
        fields.only("logit_bias", is_empty)?;
        let temperature = fields.number("temperature", "from 0 to 2", |number| (0.0..=2.0).contains(&number));
        let top_p = fields.number("top_p", "above 0 and at most 1", |number| number > 0.0 && number <= 1.0);
        let seed = fields.integer("seed", 0..=u64::from(u32::MAX))?;
        let sampling = SamplingConfig {
            temperature: temperature?.unwrap_or(1.0),
            top_p: top_p?.unwrap_or(1.0),
            seed: seed.and_then(|seed| u32::try_from(seed).ok()).map_or_else(random_seed, Seed),
        };
        Ok(Self {
            max_tokens: take_max_tokens(fields)?,
            sampling,
            num_texts: fields.integer("n", 1..=MAX_TEXTS)?.map_or(1, to_usize),
            stop_strings: fields.stop_strings()?,
            log_probs: None,
            echo: false,
            stream: take_stream(fields)?,
        })
    }

    /// Returns the requests to the engine: those of the first prompt's texts, then those of the second
    /// prompt's, and so on. A text has `default_max_tokens` tokens, or fewer if the context is full earlier,
    /// unless the client gives a number.
    ///
    /// # Errors
    /// Fails when a prompt is empty, has an unknown token, or does not fit the context. Errors name the field
    /// `param`.
    pub fn engine_requests(
        &self,
        model: &ServedModel,
        prompts: &[Vec<u32>],
        default_max_tokens: usize,
        param: &str,
    ) -> FieldResult<Vec<GenerationRequest>> {
        let mut requests = Vec::new();
        for prompt in prompts {
            let max_new_tokens = self.check_prompt(model, prompt, default_max_tokens, param)?;
            requests.extend((0..self.num_texts).map(|sample| GenerationRequest {
                prompt: prompt.clone(),
                max_new_tokens,
                sampling: self.sampling,
                sample,
                eos_token_ids: model.eos_token_ids.clone(),
                log_probs: self.log_probs,
                has_prompt_log_probs: self.echo && self.log_probs.is_some(),
            }));
        }
        Ok(requests)
    }

    /// Checks a prompt, and returns the maximum number of new tokens.
    fn check_prompt(
        &self,
        model: &ServedModel,
        prompt: &[u32],
        default_max_tokens: usize,
        param: &str,
    ) -> FieldResult<usize> {
        if prompt.is_empty() {
            return Err(ApiError::invalid(param, "the prompt has no tokens"));
        }
        if let Some(token) = prompt.iter().find(|&&token| token as usize >= model.vocab_size) {
            let message = format!("the model has {} tokens, so {token} is not a token", model.vocab_size);
            return Err(ApiError::invalid(param, message));
        }
        let space = model.context.checked_sub(prompt.len());
        match (space, self.max_tokens) {
            (Some(space), Some(max_tokens)) if max_tokens <= space => Ok(max_tokens),
            (Some(space), None) if space > 0 => Ok(default_max_tokens.min(space)),
            _ => Err(ApiError::context_length(
                param,
                format!(
                    "the model's context has {} tokens, but the prompt has {} and the text may have {}",
                    model.context,
                    prompt.len(),
                    self.max_tokens.unwrap_or(1),
                ),
            )),
        }
    }
}

/// Checks that the client asks for the model that this server has.
fn check_model_id(fields: &mut RequestFields, model: &ServedModel) -> FieldResult<()> {
    match fields.text("model")? {
        Some(id) if id == model.id => Ok(()),
        Some(id) => Err(model_not_found(&id)),
        None => Err(ApiError::invalid("model", "the field `model` is missing")),
    }
}

/// Returns the error for a model that this server does not have.
pub fn model_not_found(id: &str) -> ApiError {
    let status = axum::http::StatusCode::NOT_FOUND;
    ApiError::new(status, "model_not_found", format!("there is no model `{id}`")).with_param("model")
}

/// Takes the settings of a stream.
fn take_stream(fields: &mut RequestFields) -> FieldResult<Option<StreamSettings>> {
    let is_stream = fields.flag("stream")?;
    let options = fields.object("stream_options")?;
    match (is_stream, options) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(ApiError::invalid("stream_options", "`stream_options` needs `stream`")),
        (true, None) => Ok(Some(StreamSettings { include_usage: false })),
        (true, Some(mut options)) => {
            let include_usage = options.flag("include_usage")?;
            options.only("include_obfuscation", |value| value == false)?;
            options.finish()?;
            Ok(Some(StreamSettings { include_usage }))
        }
    }
}

/// Takes the maximum number of new tokens, which has two names.
fn take_max_tokens(fields: &mut RequestFields) -> FieldResult<Option<usize>> {
    let range = 0..=u64::from(u32::MAX);
    let old = fields.integer("max_tokens", range.clone())?;
    let new = fields.integer("max_completion_tokens", range)?;
    match (old, new) {
        (Some(old), Some(new)) if old != new => {
            Err(ApiError::invalid("max_tokens", "`max_tokens` and `max_completion_tokens` differ"))
        }
        (old, new) => Ok(old.or(new).map(to_usize)),
    }
}

/// Returns a number that was checked to be below 2^32.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("a checked number fits")
}

/// Returns a seed for a request without one. Requests without a seed get different texts.
fn random_seed() -> Seed {
    let number = RandomState::new().build_hasher().finish();
    Seed(u32::try_from(number >> 32).expect("the upper half of a number has 32 bits"))
}

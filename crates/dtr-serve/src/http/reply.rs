//! Replies with texts: the whole texts in one JSON object.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::errors::ApiError;
use super::log_probs_json::completion_log_probs;
use super::running_texts::{RunningTexts, TextEvent, TextToken};
use super::served_model::ServedModel;
use super::text_settings::TextSettings;

/// What a reply says beside its texts.
pub struct ReplyHeader {
    model: Arc<ServedModel>,
    id: String,
    /// The time in seconds since 1970.
    created: u64,
    has_log_probs: bool,
    /// The number of texts for each prompt.
    texts_per_prompt: usize,
}

/// The numbers of tokens of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct TokenUsage {
    /// The number of tokens of all prompts. The prompt of several texts counts once.
    prompt_tokens: usize,
    /// The number of these tokens that came from the prefix cache.
    cached_tokens: usize,
    /// The number of tokens that the model generated.
    new_tokens: usize,
}

impl ReplyHeader {
    /// Creates the header of the reply with the given number.
    pub fn new(model: &Arc<ServedModel>, number: u64, settings: &TextSettings) -> Self {
        let created = unix_seconds();
        Self {
            model: Arc::clone(model),
            id: format!("cmpl-{created:x}-{number}"),
            created,
            has_log_probs: settings.log_probs.is_some(),
            texts_per_prompt: settings.num_texts,
        }
    }

    /// Waits for all texts. Returns the reply.
    ///
    /// # Errors
    /// Fails when the model fails.
    pub async fn collect(&self, mut texts: RunningTexts) -> Result<Value, ApiError> {
        let mut found = vec![(String::new(), Vec::new(), None); texts.len()];
        let mut usage = TokenUsage::default();
        while let Some((index, event)) = texts.next().await {
            self.count(index, &event, &mut usage);
            match event {
                TextEvent::PromptRead { .. } => {}
                TextEvent::Piece(piece, tokens) => {
                    found[index].0 += &piece;
                    found[index].1.extend(tokens);
                }
                TextEvent::Ended { finish_reason, .. } => found[index].2 = Some(finish_reason),
                TextEvent::Failed(message) => return Err(ApiError::internal(message)),
            }
        }
        let choice = |(index, (text, tokens, reason)): (usize, (String, Vec<TextToken>, _))| {
            self.choice(index, &text, &tokens, reason)
        };
        let choices: Vec<Value> = found.into_iter().enumerate().map(choice).collect();
        Ok(json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model.id,
            "choices": choices,
            "usage": usage.to_json(),
        }))
    }

    /// Adds the tokens of an event.
    fn count(&self, index: usize, event: &TextEvent, usage: &mut TokenUsage) {
        match event {
            TextEvent::PromptRead { prompt_tokens, cached_tokens }
                if index.is_multiple_of(self.texts_per_prompt) =>
            {
                usage.prompt_tokens += prompt_tokens;
                usage.cached_tokens += cached_tokens;
            }
            TextEvent::Ended { new_tokens, .. } => usage.new_tokens += new_tokens,
            _ => {}
        }
    }

    fn log_probs(&self, tokens: &[TextToken]) -> Value {
        match self.has_log_probs {
            true => completion_log_probs(&self.model.tokenizer, tokens),
            false => Value::Null,
        }
    }

    /// Returns a whole text.
    fn choice(&self, index: usize, text: &str, tokens: &[TextToken], reason: Option<&str>) -> Value {
        json!({ "index": index, "text": text, "logprobs": self.log_probs(tokens), "finish_reason": reason })
    }
}

impl TokenUsage {
    /// Returns the object `usage`.
    fn to_json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.new_tokens,
            "total_tokens": self.prompt_tokens + self.new_tokens,
            "prompt_tokens_details": { "cached_tokens": self.cached_tokens },
        })
    }
}

/// Returns the time in seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

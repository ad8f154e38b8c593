//! Replies with whole texts, and what whole and streamed replies share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::errors::ApiError;
use super::reply_form::ReplyForm;
use super::running_texts::{RunningTexts, TextEvent, TextToken};
use super::served_model::ServedModel;
use super::text_settings::TextSettings;

/// What a reply says beside its texts.
pub struct ReplyHeader {
    model: Arc<ServedModel>,
    /// The form of the reply.
    pub form: ReplyForm,
    id: String,
    /// The time in seconds since 1970.
    created: u64,
    has_log_probs: bool,
    /// The number of texts for each prompt.
    texts_per_prompt: usize,
}

/// The numbers of tokens of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// The number of tokens of all prompts. The prompt of several texts counts once.
    prompt_tokens: usize,
    /// The number of these tokens that came from the prefix cache.
    cached_tokens: usize,
    /// The number of tokens that the model generated.
    new_tokens: usize,
}

impl ReplyHeader {
    /// Creates the header of the reply with the given number.
    pub fn new(model: &Arc<ServedModel>, form: ReplyForm, number: u64, settings: &TextSettings) -> Self {
        let created = unix_seconds();
        Self {
            model: Arc::clone(model),
            form,
            id: format!("{}-{created:x}-{number}", form.id_prefix()),
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
        let mut found = vec![(String::new(), Vec::new(), ""); texts.len()];
        let mut usage = TokenUsage::default();
        while let Some((index, event)) = texts.next().await {
            self.count(index, &event, &mut usage);
            match event {
                TextEvent::PromptRead { .. } => {}
                TextEvent::Piece(piece, tokens) => {
                    found[index].0 += &piece;
                    found[index].1.extend(tokens);
                }
                TextEvent::Ended { finish_reason, .. } => found[index].2 = finish_reason,
                TextEvent::Failed(message) => return Err(ApiError::internal(message)),
            }
        }
        let choice = |(index, (text, tokens, reason)): (usize, (String, Vec<TextToken>, &str))| {
            self.form.choice(index, &text, self.log_probs(&tokens), reason)
        };
        let choices = found.into_iter().enumerate().map(choice).collect();
        let mut reply = self.object(self.form.object(), choices);
        reply["usage"] = usage.to_json();
        Ok(reply)
    }

    /// Adds the tokens of an event.
    pub fn count(&self, index: usize, event: &TextEvent, usage: &mut TokenUsage) {
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

    /// Returns the log-probabilities of tokens, or null if the client does not ask for them.
    pub fn log_probs(&self, tokens: &[TextToken]) -> Value {
        match self.has_log_probs {
            true => self.form.log_probs(&self.model.tokenizer, tokens),
            false => Value::Null,
        }
    }

    /// Returns a reply or a chunk with `choices`.
    pub fn object(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model.id,
            "system_fingerprint": self.model.fingerprint,
            "choices": choices,
        })
    }
}

impl TokenUsage {
    /// Returns the object `usage`.
    pub fn to_json(self) -> Value {
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

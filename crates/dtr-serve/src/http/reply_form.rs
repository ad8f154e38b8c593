//! The JSON forms of replies: completions and chats, whole or in chunks.

use serde_json::{Value, json};

use super::log_probs_json::{chat_log_probs, completion_log_probs};
use super::running_texts::TextToken;
use dtr_model::Tokenizer;

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyForm {
    /// The reply of `/v1/completions`.
    Completion,
    /// The reply of `/v1/chat/completions`.
    Chat,
}

impl ReplyForm {
    /// Returns the first letters of the reply's id.
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Completion => "cmpl",
            Self::Chat => "chatcmpl",
        }
    }

    /// Returns the field `object` of a whole reply.
    pub fn object(self) -> &'static str {
        match self {
            Self::Completion => "text_completion",
            Self::Chat => "chat.completion",
        }
    }

    /// Returns the field `object` of a chunk.
    pub fn chunk_object(self) -> &'static str {
        match self {
            Self::Completion => "text_completion",
            Self::Chat => "chat.completion.chunk",
        }
    }

    /// Returns the log-probabilities of tokens.
    pub fn log_probs(self, tokenizer: &Tokenizer, tokens: &[TextToken]) -> Value {
        match self {
            Self::Completion => completion_log_probs(tokenizer, tokens),
            Self::Chat => chat_log_probs(tokenizer, tokens),
        }
    }

    /// Returns a whole text.
    pub fn choice(self, index: usize, text: &str, log_probs: Value, finish_reason: &str) -> Value {
        let mut choice = json!({ "index": index, "logprobs": log_probs, "finish_reason": finish_reason });
        match self {
            Self::Completion => choice["text"] = json!(text),
            Self::Chat => choice["message"] = json!({ "role": "assistant", "content": text }),
        }
        choice
    }

    /// Returns what a stream says before a text's first piece, if anything.
    pub fn first_choice(self, index: usize) -> Option<Value> {
        let delta = json!({ "role": "assistant", "content": "" });
        match self {
            Self::Completion => None,
            Self::Chat => {
                Some(json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": null }))
            }
        }
    }

    /// Returns a piece of a text.
    pub fn piece(self, index: usize, text: &str, log_probs: Value) -> Value {
        let mut piece = json!({ "index": index, "logprobs": log_probs, "finish_reason": null });
        match self {
            Self::Completion => piece["text"] = json!(text),
            Self::Chat => piece["delta"] = json!({ "content": text }),
        }
        piece
    }

    /// Returns the end of a text.
    pub fn last_choice(self, index: usize, finish_reason: &str) -> Value {
        let mut last = json!({ "index": index, "logprobs": null, "finish_reason": finish_reason });
        match self {
            Self::Completion => last["text"] = json!(""),
            Self::Chat => last["delta"] = json!({}),
        }
        last
    }
}

//! Log-probabilities in the forms of OpenAI's interface for completions and for chats.

use serde_json::{Map, Value, json};

use super::running_texts::TextToken;
use dtr_model::Tokenizer;

/// The number that stands for the logarithm of 0, which JSON cannot hold.
const LOG_OF_ZERO: f64 = -9999.0;

/// Returns the log-probabilities of a completion: a list for each kind of number.
///
/// The numbers in `top_logprobs` and in `token_logprobs` are equal for equal tokens. A client can find out so
/// whether a token is the most likely one.
pub fn completion_log_probs(tokenizer: &Tokenizer, tokens: &[TextToken]) -> Value {
    let texts: Vec<String> = tokens.iter().map(|token| tokenizer.token_text(token.token)).collect();
    let log_prob = |token: &TextToken| token.log_probs.as_ref().map(|found| finite(found.log_prob));
    let top = |(token, text): (&TextToken, &String)| {
        let found = token.log_probs.as_ref()?;
        let mut top = Map::new();
        // The list is ordered, so of two tokens with equal texts the more likely one stays.
        for (token, log_prob) in &found.top {
            top.entry(tokenizer.token_text(*token)).or_insert_with(|| finite(*log_prob).into());
        }
        top.entry(text.clone()).or_insert_with(|| finite(found.log_prob).into());
        Some(top)
    };
    json!({
        "tokens": texts,
        "token_logprobs": tokens.iter().map(log_prob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().zip(&texts).map(top).collect::<Vec<_>>(),
        "text_offset": tokens.iter().map(|token| token.offset).collect::<Vec<_>>(),
    })
}

/// Returns the log-probabilities of a chat: an object for each token.
pub fn chat_log_probs(tokenizer: &Tokenizer, tokens: &[TextToken]) -> Value {
    let entry = |token: u32, log_prob: f64| {
        let text = tokenizer.token_text(token);
        json!({ "token": text, "logprob": finite(log_prob), "bytes": text.as_bytes() })
    };
    let content = tokens.iter().filter_map(|token| {
        let found = token.log_probs.as_ref()?;
        let mut object = entry(token.token, found.log_prob);
        object["top_logprobs"] = found.top.iter().map(|&(token, log_prob)| entry(token, log_prob)).collect();
        Some(object)
    });
    json!({ "content": content.collect::<Vec<_>>() })
}

fn finite(log_prob: f64) -> f64 {
    if log_prob.is_finite() { log_prob } else { LOG_OF_ZERO }
}

//! `/tokenize`, `/detokenize` and `/tokenizer_info`, by which a client uses the model's tokenizer.

use serde_json::{Value, json};

use super::app::App;
use super::completions::parse_tokens;
use super::errors::ApiError;
use super::request_fields::RequestFields;
use super::served_model::ServedModel;

/// Replies to `POST /tokenize` with the tokens of the field `prompt`.
///
/// # Errors
/// Fails when a field is wrong.
pub async fn tokenize(app: App, mut fields: RequestFields) -> Result<Value, ApiError> {
    fields.text("model")?;
    let add_special_tokens = fields.optional_flag("add_special_tokens")?.unwrap_or(true);
    let prompt = fields.text("prompt")?;
    let prompt = prompt.ok_or_else(|| ApiError::invalid("prompt", "the field `prompt` is missing"))?;
    fields.finish()?;
    let encode = move |model: &ServedModel| {
        let tokens = model.tokenizer.encode(&prompt, add_special_tokens);
        tokens.map_err(|error| ApiError::invalid("prompt", error.to_string()))
    };
    let tokens = app.on_blocking_thread(encode).await?;
    Ok(json!({ "tokens": tokens, "count": tokens.len(), "max_model_len": app.model.context }))
}

/// Replies to `POST /detokenize` with the text of the field `tokens`, special tokens included.
///
/// # Errors
/// Fails when a field is wrong.
pub async fn detokenize(app: App, mut fields: RequestFields) -> Result<Value, ApiError> {
    fields.text("model")?;
    let list = fields.take_required("tokens")?;
    fields.finish()?;
    let tokens = list.as_array().and_then(|list| parse_tokens(list));
    let tokens = tokens.ok_or_else(|| ApiError::invalid("tokens", "`tokens` must be a list of tokens"))?;
    let decode = move |model: &ServedModel| {
        let text = model.tokenizer.decode_with_special_tokens(&tokens);
        text.map_err(|error| ApiError::invalid("tokens", error.to_string()))
    };
    Ok(json!({ "prompt": app.on_blocking_thread(decode).await? }))
}

/// Returns the texts of the special tokens and of the chat template.
pub fn tokenizer_info(model: &ServedModel) -> Value {
    let named = |name: &str| model.special_tokens.get(name).cloned();
    let text = |token: u32| model.tokenizer.token_text(token);
    json!({
        "bos_token": named("bos_token").or_else(|| model.tokenizer.prefix_token().map(text)),
        "eos_token": named("eos_token").or_else(|| model.eos_token_ids.first().copied().map(text)),
        "pad_token": named("pad_token"),
        "chat_template": model.chat_template.as_ref().map(|template| template.source()),
    })
}

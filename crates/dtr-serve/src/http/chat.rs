//! `POST /v1/chat/completions`: answers the last message of a chat.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::app::App;
use super::completions::MAX_TOP_LOG_PROBS;
use super::errors::ApiError;
use super::reply_form::ReplyForm;
use super::request_fields::{FieldResult, RequestFields, is_empty};
use super::served_model::ServedModel;
use super::text_settings::TextSettings;
use dtr_model::ChatTemplate;

/// Replies to a request.
///
/// # Errors
/// Fails when a field is wrong, the model has no chat template, the chat does not fit the context, or the
/// queue is full.
pub async fn reply(app: App, mut fields: RequestFields) -> Result<Response, ApiError> {
    let mut settings = TextSettings::take(&mut fields, &app.model)?;
    settings.log_probs = take_log_probs(&mut fields)?;
    fields.only("response_format", |format| *format == json!({ "type": "text" }))?;
    fields.only("modalities", |modalities| *modalities == json!(["text"]))?;
    fields.only("tools", is_empty)?;
    fields.only("tool_choice", |choice| choice == "none" || choice == "auto")?;
    let messages = parse_messages(fields.take_required("messages")?)?;
    fields.finish()?;
    let render = move |model: &ServedModel| encode_chat(model, &messages);
    let prompt = app.on_blocking_thread(render).await?;
    // Without a limit, an answer may fill the context.
    let requests = settings.engine_requests(&app.model, &[prompt], usize::MAX, "messages")?;
    app.reply_with_texts(ReplyForm::Chat, &settings, requests, &[None]).await
}

/// Takes the number of most likely tokens whose log-probabilities are returned.
fn take_log_probs(fields: &mut RequestFields) -> FieldResult<Option<usize>> {
    let has_log_probs = fields.flag("logprobs")?;
    let num_top = fields.integer("top_logprobs", 0..=MAX_TOP_LOG_PROBS)?;
    match num_top {
        Some(number) if !has_log_probs && number > 0 => {
            Err(ApiError::invalid("top_logprobs", "`top_logprobs` needs `logprobs`"))
        }
        number => {
            let number = usize::try_from(number.unwrap_or(0)).expect("a checked number fits");
            Ok(has_log_probs.then_some(number))
        }
    }
}

/// Parses the messages of a chat: a list of objects with the texts `role` and `content`.
fn parse_messages(value: Value) -> FieldResult<Vec<Value>> {
    match value {
        Value::Array(messages) if !messages.is_empty() => messages.into_iter().map(parse_message).collect(),
        _ => Err(refuse_messages("`messages` must be a list of messages")),
    }
}

fn parse_message(message: Value) -> FieldResult<Value> {
    let Value::Object(fields) = message else { return Err(refuse_messages("a message must be an object")) };
    let mut fields = RequestFields::new(fields);
    let role = fields.text("role")?.ok_or_else(|| refuse_messages("a message has no `role`"))?;
    let content = fields.take("content").and_then(parse_content);
    let content = content.ok_or_else(|| refuse_messages("the `content` of a message must be text"))?;
    let mut message =
        Map::from_iter([("role".to_owned(), json!(role)), ("content".to_owned(), json!(content))]);
    if let Some(name) = fields.text("name")? {
        message.insert("name".to_owned(), json!(name));
    }
    // lm-evaluation-harness says so of each message.
    fields.only("type", |kind| kind == "text")?;
    fields.finish()?;
    Ok(Value::Object(message))
}

/// Parses the content of a message: a text, or a list of parts that are texts. Returns `None` for others.
fn parse_content(content: Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text),
        Value::Array(parts) => {
            parts.iter().map(|part| part["text"].as_str().filter(|_| part["type"] == "text")).collect()
        }
        _ => None,
    }
}

fn refuse_messages(message: &str) -> ApiError {
    ApiError::invalid("messages", message)
}

/// Returns the tokens of a chat whose next message is the model's answer. The chat template writes the
/// special tokens itself.
fn encode_chat(model: &ServedModel, messages: &[Value]) -> FieldResult<Vec<u32>> {
    let refuse = |error: dtr_core::error::Error| ApiError::invalid("messages", error.to_string());
    let template = model.chat_template.as_ref().ok_or_else(|| {
        ApiError::invalid("messages", "the model has no chat template; use `/v1/completions` instead")
    })?;
    // The template may ask for the date of today.
    let now = jiff::ZonedDateTime::now().datetime();
    let template = ChatTemplate::new(template.source(), template.special_tokens().clone(), now);
    let rendered = template.and_then(|template| template.render(&json!(messages), true)).map_err(refuse)?;
    model.tokenizer.encode(&rendered, false).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_a_message_is_text() {
        let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
        let message = parse_message(json!({ "role": "user", "content": parts, "name": "n" })).unwrap();
        assert_eq!(message, json!({ "role": "user", "content": "ab", "name": "n" }));
        for wrong in [
            json!("text"),
            json!({ "content": "no role" }),
            json!({ "role": "user" }),
            json!({ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }),
            json!({ "role": "assistant", "content": "c", "tool_calls": [{}] }),
        ] {
            assert!(parse_message(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(parse_messages(json!([])).is_err());
    }
}

//! `POST /v1/completions`: continues one or several prompts.

use axum::response::Response;
use serde_json::Value;

use super::app::App;
use super::errors::ApiError;
use super::reply_form::ReplyForm;
use super::request_fields::{FieldResult, RequestFields};
use super::served_model::ServedModel;
use super::text_settings::TextSettings;

/// The maximum number of tokens of a text for which the client gives none, as in OpenAI's interface.
const DEFAULT_MAX_TOKENS: usize = 16;
/// The maximum number of most likely tokens whose log-probabilities are returned.
pub const MAX_TOP_LOG_PROBS: u64 = 20;

/// A prompt, as a text or as tokens.
#[derive(Clone, Debug, PartialEq)]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// Replies to a request.
///
/// # Errors
/// Fails when a field is wrong, the prompts do not fit the context, or the queue is full.
pub async fn reply(app: App, mut fields: RequestFields) -> Result<Response, ApiError> {
    let mut settings = TextSettings::take(&mut fields, &app.model)?;
    let log_probs = fields.integer("logprobs", 0..=MAX_TOP_LOG_PROBS)?;
    settings.log_probs = log_probs.and_then(|number| usize::try_from(number).ok());
    settings.echo = fields.flag("echo")?;
    fields.only("suffix", |suffix| suffix == "")?;
    let prompts = parse_prompts(fields.take_required("prompt")?)?;
    fields.finish()?;
    let echo = settings.echo;
    let encode = move |model: &ServedModel| encode_prompts(model, prompts, echo);
    let (prompts, echoes) = app.on_blocking_thread(encode).await?;
    let requests = settings.engine_requests(&app.model, &prompts, DEFAULT_MAX_TOKENS, "prompt")?;
    app.reply_with_texts(ReplyForm::Completion, &settings, requests, &echoes).await
}

/// Parses the field `prompt`: a text, a list of texts, a list of tokens, or a list of lists of tokens.
fn parse_prompts(value: Value) -> FieldResult<Vec<Prompt>> {
    let refuse = || {
        ApiError::invalid("prompt", "`prompt` must be a text, a list of tokens, or a list of one of these")
    };
    let prompts: Option<Vec<Prompt>> = match value {
        Value::String(text) => Some(vec![Prompt::Text(text)]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => {
            parse_tokens(&list).map(|tokens| vec![Prompt::Tokens(tokens)])
        }
        Value::Array(list) if !list.is_empty() => list
            .into_iter()
            .map(|prompt| match prompt {
                Value::String(text) => Some(Prompt::Text(text)),
                Value::Array(tokens) => parse_tokens(&tokens).map(Prompt::Tokens),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    prompts.ok_or_else(refuse)
}

/// Parses a list of tokens. Returns `None` if an entry is not a token's number.
pub fn parse_tokens(list: &[Value]) -> Option<Vec<u32>> {
    list.iter().map(|token| u32::try_from(token.as_u64()?).ok()).collect()
}

/// The tokens of each prompt, and their texts if the reply begins with them.
type EncodedPrompts = (Vec<Vec<u32>>, Vec<Option<String>>);

fn encode_prompts(model: &ServedModel, prompts: Vec<Prompt>, echo: bool) -> FieldResult<EncodedPrompts> {
    let internal = |error: dtr_core::error::Error| ApiError::internal(error.to_string());
    let mut encoded = (Vec::new(), Vec::new());
    for prompt in prompts {
        let (tokens, text) = match prompt {
            Prompt::Text(text) => (encode_text(model, &text)?, Some(text)),
            Prompt::Tokens(tokens) => {
                let text = echo.then(|| model.tokenizer.decode(&tokens)).transpose().map_err(internal)?;
                (tokens, text)
            }
        };
        encoded.0.push(tokens);
        encoded.1.push(text.filter(|_| echo));
    }
    Ok(encoded)
}

/// Returns the tokens of a text. An empty text is the prefix token, with which texts begin.
fn encode_text(model: &ServedModel, text: &str) -> FieldResult<Vec<u32>> {
    let tokens = model.tokenizer.encode_prompt(text);
    let tokens = tokens.map_err(|error| ApiError::invalid("prompt", error.to_string()))?;
    match tokens.is_empty() {
        true => Ok(model.tokenizer.prefix_token().into_iter().collect()),
        false => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prompt_has_four_forms() {
        let text = |text: &str| Prompt::Text(text.to_owned());
        assert_eq!(parse_prompts(json!("a")).unwrap(), [text("a")]);
        assert_eq!(parse_prompts(json!(["a", "b"])).unwrap(), [text("a"), text("b")]);
        assert_eq!(parse_prompts(json!([1, 2])).unwrap(), [Prompt::Tokens(vec![1, 2])]);
        let lists = [Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])];
        assert_eq!(parse_prompts(json!([[1], [2, 3]])).unwrap(), lists);
        for wrong in
            [json!(1), json!([]), json!([1, "a"]), json!([-1]), json!([1.5]), json!([[[1]]]), json!({})]
        {
            assert!(parse_prompts(wrong.clone()).is_err(), "{wrong}");
        }
    }
}

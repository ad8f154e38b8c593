//! Chat templates render the messages of a chat as the text that a model continues.
//!
//! Models are trained on text that transformers' `apply_chat_template` rendered. This module renders the same
//! text, character for character.

mod jinja;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::DateTime;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde_json::Value;

use crate::directory::model_files::ModelFiles;
use dtr_core::error::{Error, Result};
use dtr_core::jinja::explain_out_of_fuel;
use dtr_core::memory_guard::with_memory_limit;

/// The name of the template in the environment. It is also the name of the ordinary chat template in a
/// `tokenizer_config.json` with several templates.
const TEMPLATE_NAME: &str = "default";

/// A model's chat template and the special tokens that it may refer to.
///
/// ```
/// # fn main() -> dtr_core::error::Result<()> {
/// use dtr_model::ChatTemplate;
///
/// let source = "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}";
/// let now = jiff::civil::date(2026, 1, 31).at(12, 0, 0, 0);
/// let template = ChatTemplate::new(source, Default::default(), now)?;
/// let messages = serde_json::json!([{ "role": "user", "content": "where is the lamp?" }]);
/// assert_eq!(template.render(&messages, false)?, "<user>where is the lamp?\n");
/// # Ok(())
/// # }
/// ```
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Reads the template of the model in `directory`: `chat_template.jinja`, or else the key `chat_template`
    /// of `tokenizer_config.json`. The template's function `strftime_now` formats `now`.
    ///
    /// # Errors
    /// Fails when the model has no chat template, or the template has a syntax error.
    pub fn read(directory: &Path, now: DateTime) -> Result<Self> {
        let files = ModelFiles::open(directory)?;
        let config = files.json_or_null("tokenizer_config.json")?;
        let template = template_of(&files, &config)?.ok_or_else(|| {
            Error::manifest(format!("the model in `{}` has no chat template", directory.display()))
                .hint("leave out `--chat` to continue the text itself")
        })?;
        Self::new(&template, special_tokens_of(&files, &config)?, now)
    }

    /// Returns whether the model in `directory` has a chat template.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn exists(directory: &Path) -> Result<bool> {
        let files = ModelFiles::open(directory)?;
        Ok(template_of(&files, &files.json_or_null("tokenizer_config.json")?)?.is_some())
    }

    /// Parses `template`. `tokens` maps the names of the special tokens in the template, such as `bos_token`,
    /// to the tokens. The template's function `strftime_now` formats `now`.
    ///
    /// # Errors
    /// Fails when the template has a syntax error.
    pub fn new(template: &str, tokens: BTreeMap<String, String>, now: DateTime) -> Result<Self> {
        let mut environment = jinja::create_environment(now);
        environment.add_template_owned(TEMPLATE_NAME, jinja::translate_template(template)).map_err(
            |cause| Error::environment(format!("cannot parse the chat template: {}", describe_error(&cause))),
        )?;
        Ok(Self { source: template.to_owned(), environment, tokens })
    }

    /// Returns the text of the template.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the special tokens by name.
    pub fn special_tokens(&self) -> &BTreeMap<String, String> {
        &self.tokens
    }

    /// Renders `messages`, a list of objects with `role` and `content`. With `add_generation_prompt`, the
    /// text ends where the answer of the model begins.
    ///
    /// # Errors
    /// Fails when the template raises an error, for example because of an unknown role, or when the template
    /// exceeds its limits.
    pub fn render(&self, messages: &Value, add_generation_prompt: bool) -> Result<String> {
        let chat = context! {
            messages => minijinja::Value::from(Serde(messages)),
            tools => (),
            documents => (),
            add_generation_prompt => add_generation_prompt,
        };
        let tokens = minijinja::Value::from(Serde(&self.tokens));
        let template = self.environment.get_template(TEMPLATE_NAME).expect("`new` added the template");
        with_memory_limit("the chat template", || template.render(context! { ..chat, ..tokens })).map_err(
            |cause| {
                let cause = explain_out_of_fuel(cause);
                Error::manifest(format!(
                    "cannot render the messages with the chat template: {}",
                    describe_error(&cause)
                ))
            },
        )
    }
}

/// Returns the text of the model's chat template. `config` is the content of `tokenizer_config.json`.
fn template_of(files: &ModelFiles, config: &Value) -> Result<Option<String>> {
    match files.text("chat_template.jinja")? {
        Some(text) => Ok(Some(text)),
        None => select_default_template(&config["chat_template"]),
    }
}

/// Reads the special tokens of the model in `directory` by name, such as `bos_token`. A template may refer to
/// these names.
///
/// # Errors
/// Fails when a file is not JSON.
pub fn read_special_tokens(directory: &Path) -> Result<BTreeMap<String, String>> {
    let files = ModelFiles::open(directory)?;
    let config = files.json_or_null("tokenizer_config.json")?;
    special_tokens_of(&files, &config)
}

/// Returns the special tokens by name. `config` is the content of `tokenizer_config.json`.
fn special_tokens_of(files: &ModelFiles, config: &Value) -> Result<BTreeMap<String, String>> {
    let map = match config.get("added_tokens_decoder") {
        Some(_) => Value::Null,
        None => files.json_or_null("special_tokens_map.json")?,
    };
    Ok(special_tokens(config, &map))
}

/// Returns the message and the line of a template's error.
fn describe_error(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}

/// Returns the template in `value`, the value of the key `chat_template`. The value is either the text of a
/// template or a list of named templates. From a list, returns the template `default`.
fn select_default_template(value: &Value) -> Result<Option<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let Some(templates) = value.as_array() else { return Ok(text(value)) };
    let found = templates
        .iter()
        .find(|entry| entry["name"] == TEMPLATE_NAME)
        .and_then(|entry| text(&entry["template"]));
    let names: Vec<&str> = templates.iter().filter_map(|entry| entry["name"].as_str()).collect();
    found.map(Some).ok_or_else(|| {
        Error::environment(format!(
            "`tokenizer_config.json` has chat templates named {names:?} but none named `default`"
        ))
    })
}

/// Returns the special tokens of `tokenizer_config.json`, overridden by the tokens of the older
/// `special_tokens_map.json`.
fn special_tokens(config: &Value, map: &Value) -> BTreeMap<String, String> {
    let content = |value: &Value| value.as_str().or(value["content"].as_str()).map(str::to_owned);
    let fields = [config, &config["extra_special_tokens"], map].into_iter().filter_map(Value::as_object);
    fields
        .flatten()
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| Some((name.clone(), content(value)?)))
        .collect()
}

//! Chat templates: messages in, and out the text that a model was taught to go on from.
//!
//! A template is Jinja's, and a model was taught on what Python made of it; so this renders as
//! transformers' `apply_chat_template` does, to the character.

mod jinja;
mod tojson;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::DateTime;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde_json::Value;

use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_file;
use dtr_core::memory_guard::with_memory_limit;
use dtr_core::template_limits;

/// The template's name among templates, and of the one that serves plain chats.
const TEMPLATE: &str = "default";

/// A model's chat template with the special tokens that it can name.
pub struct ChatTemplate {
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Reads the template of the model in `directory`: `chat_template.jinja`, or else `chat_template` of
    /// `tokenizer_config.json`. `now` is what the template takes for the time.
    ///
    /// # Errors
    /// When there is none, or it is no template.
    pub fn read(directory: &Path, now: DateTime) -> Result<Self> {
        let config = read_json(&directory.join("tokenizer_config.json"))?;
        let file = directory.join("chat_template.jinja");
        let template = match file.is_file() {
            true => Some(read_text_file(&file)?),
            false => template(&config["chat_template"])?,
        };
        let template = template.ok_or_else(|| {
            Error::manifest(format!("the model in `{}` has no chat template", directory.display()))
                .hint("it was not taught to chat; leave out `--chat` to continue the text itself")
        })?;
        let map = match config.get("added_tokens_decoder") {
            Some(_) => Value::Null,
            None => read_json(&directory.join("special_tokens_map.json"))?,
        };
        Self::new(&template, special_tokens(&config, &map), now)
    }

    /// A chat by `template`, in which `tokens` are known by their names, such as `bos_token`.
    ///
    /// # Errors
    /// When `template` is none.
    pub fn new(template: &str, tokens: BTreeMap<String, String>, now: DateTime) -> Result<Self> {
        let mut environment = jinja::environment(now);
        environment.add_template_owned(TEMPLATE, jinja::prepared(template)).map_err(|cause| {
            Error::environment(format!("the chat template cannot be read: {}", said(&cause)))
        })?;
        Ok(Self { environment, tokens })
    }

    /// The special tokens that templates can name.
    pub fn special_tokens(&self) -> &BTreeMap<String, String> {
        &self.tokens
    }

    /// The text of `messages`, a list of objects with `role` and `content`; with `opens_answer` it ends where
    /// the answer begins.
    ///
    /// # Errors
    /// What the template itself refuses, such as a role that it does not know.
    pub fn render(&self, messages: &Value, opens_answer: bool) -> Result<String> {
        let own = context! {
            messages => minijinja::Value::from(Serde(messages)),
            tools => (),
            documents => (),
            add_generation_prompt => opens_answer,
        };
        let tokens = minijinja::Value::from(Serde(&self.tokens));
        let template = self.environment.get_template(TEMPLATE).expect("it was added when this was made");
        with_memory_limit("the chat template", || template.render(context! { ..own, ..tokens })).map_err(
            |cause| {
                let cause = template_limits::explain_out_of_fuel(cause);
                Error::manifest(format!("the chat template does not take these messages: {}", said(&cause)))
            },
        )
    }
}

/// What a template's error says, and where.
fn said(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}

/// A file's JSON; `null` where there is no file.
fn read_json(path: &Path) -> Result<Value> {
    if !path.is_file() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&read_text_file(path)?)
        .map_err(|cause| Error::environment(format!("`{}` is not JSON", path.display())).with_source(cause))
}

/// The template that `chat_template` holds: a text, or the one named `default` of a list.
fn template(value: &Value) -> Result<Option<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let Some(named) = value.as_array() else { return Ok(text(value)) };
    let found =
        named.iter().find(|entry| entry["name"] == TEMPLATE).and_then(|entry| text(&entry["template"]));
    let names: Vec<&str> = named.iter().filter_map(|entry| entry["name"].as_str()).collect();
    found.map(Some).ok_or_else(|| {
        Error::environment(format!(
            "`chat_template` in `tokenizer_config.json` has templates for {names:?} and none for plain chats"
        ))
    })
}

/// The special tokens that a template can name: those of `config`, and those of the older file `map`, where it
/// counts, over them.
fn special_tokens(config: &Value, map: &Value) -> BTreeMap<String, String> {
    let content = |value: &Value| value.as_str().or(value["content"].as_str()).map(str::to_owned);
    let fields = [config, &config["extra_special_tokens"], map].into_iter().filter_map(Value::as_object);
    fields
        .flatten()
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| Some((name.clone(), content(value)?)))
        .collect()
}

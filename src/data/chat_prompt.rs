//! Prompts that a chat template renders.

use std::path::Path;

use jiff::civil::{DateTime, date};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::few_shot::{Example, Shots};
use dtr_core::error::{Error, Result};
use dtr_model::{ChatTemplate, Tokenizer};

/// The date that templates print as today's date. With the real date, a prompt would change every day. This
/// date is the default of Llama 3.1's template.
const TODAY: DateTime = date(2024, 7, 26).at(0, 0, 0, 0);

/// How the base's chat template renders prompts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChatPrompt {
    /// The system message. Without this key, the template decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whether each few-shot example is a question of the user and an answer of the model. If false, the
    /// examples are part of the user's only message.
    #[serde(default = "default_shots_as_turns")]
    pub shots_as_turns: bool,
    /// The beginning of the model's answer. The model continues this text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefill: String,
}

fn default_shots_as_turns() -> bool {
    true
}

/// The messages of a prompt, and the beginning of the model's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessages {
    /// The role and the content of each message.
    messages: Vec<(&'static str, String)>,
    prefill: String,
}

impl ChatPrompt {
    /// Returns the messages of a question with its few-shot examples.
    pub(super) fn messages(
        &self,
        shots: Option<&Shots>,
        examples: Vec<Example>,
        question: String,
    ) -> ChatMessages {
        let mut system = self.system.clone().unwrap_or_default();
        let mut turns = Vec::new();
        let question = match shots {
            Some(shots) if !self.shots_as_turns => shots.format(&examples) + &question,
            Some(shots) => {
                system += &shots.description;
                for Example { prompt, target } in examples {
                    turns.extend([("user", prompt), ("assistant", target)]);
                }
                question
            }
            None => question,
        };
        let system = (!system.is_empty()).then_some(system);
        ChatMessages { prefill: self.prefill.clone(), ..ChatMessages::new(system, turns, question) }
    }
}

impl ChatMessages {
    /// Creates the messages of a chat: an optional system message, earlier turns with their roles, and the
    /// user's question.
    pub fn new(system: Option<String>, turns: Vec<(&'static str, String)>, question: String) -> Self {
        let system = system.map(|system| ("system", system));
        let messages = system.into_iter().chain(turns).chain([("user", question)]).collect();
        Self { messages, prefill: String::new() }
    }

    /// Renders the messages and the beginning of the model's answer, which the model continues.
    ///
    /// # Errors
    /// Fails if the template refuses the messages.
    pub fn render(&self, template: &ChatTemplate) -> Result<String> {
        let message = |(role, content): &(&str, String)| json!({ "role": role, "content": content });
        let messages = self.messages.iter().map(message).collect();
        Ok(template.render(&messages, true)? + &self.prefill)
    }

    /// Renders the messages of each of `chats` with the chat template of the base at `path`.
    ///
    /// # Errors
    /// Fails if the base has no chat template, or if the template refuses the messages.
    pub(super) fn render_all<'a>(
        path: Option<&Path>,
        chats: impl Iterator<Item = &'a Self>,
    ) -> Result<Vec<String>> {
        let path = path.ok_or_else(|| {
            Error::manifest("a base that the sweep trains has no chat template")
                .hint("leave out `chat`, or choose another base")
        })?;
        let template = ChatTemplate::read(path, TODAY)?;
        chats.map(|chat| chat.render(&template)).collect()
    }
}

/// Returns the tokens of a prompt. If `is_chat` is false, the tokenizer adds its start token. If `is_chat` is
/// true, no special tokens are added, because the chat template has already added them.
///
/// # Errors
/// Fails if the tokenizer cannot encode the prompt.
pub fn encode_prompt(tokenizer: &Tokenizer, prompt: &str, is_chat: bool) -> Result<Vec<u32>> {
    match is_chat {
        true => tokenizer.encode(prompt, false),
        false => tokenizer.encode_prompt(prompt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(chat: &str) -> String {
        let chat: ChatPrompt = toml::from_str(chat).unwrap();
        let shots: Shots = toml::from_str("count = 1\nrows = [{}]\ndescription = \"Be brief. \"").unwrap();
        let example = Example { prompt: "1 + 1?".to_owned(), target: "2".to_owned() };
        let messages = chat.messages(Some(&shots), vec![example], "1 + 2?".to_owned());
        let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}\
                      {% if add_generation_prompt %}<assistant>{% endif %}";
        messages.render(&ChatTemplate::new(source, Default::default(), TODAY).unwrap()).unwrap()
    }

    #[test]
    fn examples_are_turns_and_the_prefill_begins_the_answer() {
        assert_eq!(
            render("system = \"You add. \"\nprefill = \"It is\""),
            "<system>You add. Be brief. \n<user>1 + 1?\n<assistant>2\n<user>1 + 2?\n<assistant>It is"
        );
        assert_eq!(
            render("shots-as-turns = false\nsystem = \"You add.\""),
            "<system>You add.\n<user>Be brief. 1 + 1? 2\n\n1 + 2?\n<assistant>"
        );
    }
}

//! Reads a JSON Lines file of prompts, and writes the generated texts as JSON Lines.

use std::path::Path;

use serde_json::{Map, Value, json};

use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_file;
use dtr_model::generate::GeneratedText;

/// The field of a line that holds the prompt.
const PROMPT_FIELD: &str = "prompt";

/// The fields that the output adds to a line.
const ADDED_FIELDS: [&str; 4] = ["prompt_tokens", "tokens", "text", "stop_reason"];

/// A line of a file of prompts: an object with the field `prompt`.
pub struct PromptLine {
    fields: Map<String, Value>,
    prompt: String,
}

impl PromptLine {
    /// Returns the prompt.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Returns the line as JSON, together with the fields of [`text_fields`].
    pub fn with_text(mut self, generated: &GeneratedText) -> String {
        self.fields.extend(text_fields(generated));
        Value::Object(self.fields).to_string()
    }

    fn parse(line: &str) -> std::result::Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|cause| cause.to_string())?;
        let Value::Object(fields) = value else { return Err("it is not an object".to_owned()) };
        let Some(Value::String(prompt)) = fields.get(PROMPT_FIELD) else {
            return Err(format!("the field `{PROMPT_FIELD}` is not a text"));
        };
        if let Some(name) = ADDED_FIELDS.into_iter().find(|&name| fields.contains_key(name)) {
            return Err(format!("the field `{name}` would be overwritten"));
        }
        Ok(Self { prompt: prompt.clone(), fields })
    }
}

/// Returns the fields that describe a generated text.
pub fn text_fields(generated: &GeneratedText) -> Map<String, Value> {
    let GeneratedText { prompt_tokens, tokens, text, stop_reason } = generated;
    let values = [json!(prompt_tokens), json!(tokens.len()), json!(text), json!(stop_reason)];
    ADDED_FIELDS.map(str::to_owned).into_iter().zip(values).collect()
}

/// Reads a JSON Lines file of prompts. Blank lines are skipped.
///
/// # Errors
/// Fails when the file cannot be read, or when a line is not an object with the text `prompt`.
pub fn read_prompt_lines(path: &Path) -> Result<Vec<PromptLine>> {
    let text = read_text_file(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(index, line): (usize, &str)| {
        PromptLine::parse(line).map_err(|cause| {
            Error::manifest(format!("cannot read line {} of `{}`: {cause}", index + 1, path.display()))
                .hint("write an object such as `{\"prompt\": \"where is the lamp?\"}` on each line")
        })
    };
    lines.map(parse).collect()
}

/// Holds back the texts of later lines until the texts of all earlier lines are finished.
pub struct OrderedLines {
    /// The lines in order. `None` for a line whose text was added.
    lines: Vec<Option<PromptLine>>,
    finished: Vec<Option<String>>,
    num_returned: usize,
}

impl OrderedLines {
    /// Takes the lines of a file. No text of these lines is finished yet.
    pub fn new(lines: Vec<PromptLine>) -> Self {
        let finished = lines.iter().map(|_| None).collect();
        Self { lines: lines.into_iter().map(Some).collect(), finished, num_returned: 0 }
    }

    /// Adds the text of the line with the index `line`. Returns the JSON lines that can be written now, each
    /// with a line break.
    pub fn add(&mut self, line: usize, generated: &GeneratedText) -> String {
        self.finished[line] = self.lines[line].take().map(|prompt| prompt.with_text(generated));
        let mut ready = String::new();
        while let Some(text) = self.finished.get_mut(self.num_returned).and_then(Option::take) {
            ready += &text;
            ready.push('\n');
            self.num_returned += 1;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtr_model::generate::StopReason;

    fn generated(text: &str) -> GeneratedText {
        let stop_reason = StopReason::EndOfText;
        GeneratedText { prompt_tokens: 3, tokens: vec![5, 1], text: text.to_owned(), stop_reason }
    }

    #[test]
    fn texts_are_returned_in_the_order_of_the_lines_with_the_other_fields() {
        let lines = [r#"{"prompt": "a", "id": 7}"#, r#"{"prompt": "b"}"#, r#"{"id": [1], "prompt": "c"}"#];
        let lines = lines.map(|line| PromptLine::parse(line).unwrap());
        let mut ordered = OrderedLines::new(lines.into());
        assert_eq!(ordered.add(1, &generated("B")), "");
        let parsed: Vec<Value> =
            ordered.add(0, &generated("A")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let fields = |prompt: &str, text: &str| {
            json!({ "prompt": prompt, "prompt_tokens": 3, "tokens": 2, "text": text,
                "stop_reason": "end-of-text" })
        };
        let mut first = fields("a", "A");
        first["id"] = 7.into();
        assert_eq!(parsed, [first, fields("b", "B")]);
        assert!(ordered.add(2, &generated("C")).contains(r#""id":[1]"#));
    }

    #[test]
    fn lines_without_a_prompt_or_with_a_field_of_the_result_are_refused() {
        let refused = |line: &str| PromptLine::parse(line).err().unwrap();
        assert!(refused("[1]").contains("not an object"));
        assert!(refused("{").contains("EOF"));
        assert!(refused(r#"{"prompt": 1}"#).contains("`prompt` is not a text"));
        assert!(refused(r#"{"prompt": "a", "text": "b"}"#).contains("`text` would be overwritten"));
    }
}

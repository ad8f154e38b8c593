//! The prefix token. lm-evaluation-harness puts this token before a text that is scored without a prompt. The
//! output of a chat template usually also begins with the prefix token.

use std::path::Path;

use serde_json::Value;

use super::{PROBE, TokenizerJsonSettings};
use crate::directory::model_files::ModelFiles;
use dtr_core::error::Result;

/// The prefix token of lm-evaluation-harness.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PrefixToken {
    pub token: u32,
    /// The text of the token alone.
    pub text: String,
}

impl PrefixToken {
    /// Returns the special token that a tokenizer adds before every text, if any.
    pub fn added_by(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let ids = |add_special_tokens| {
            let encoding = tokenizer.encode_fast(PROBE, add_special_tokens).ok()?;
            Some(encoding.get_ids().to_vec())
        };
        let (with_special, plain) = (ids(true)?, ids(false)?);
        let begins_with_text = plain.is_empty() || with_special.starts_with(&plain);
        if begins_with_text { None } else { Self::new(tokenizer, with_special[0]) }
    }

    fn new(tokenizer: &tokenizers::Tokenizer, token: u32) -> Option<Self> {
        tokenizer.decode(&[token], false).ok().map(|text| Self { token, text })
    }
}

/// The files of a model that name its special tokens.
pub(crate) const SPECIAL_TOKEN_FILES: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

/// Reads the prefix token of a model: its `bos_token`, or else its `eos_token`.
///
/// Returns `None` if the model has none of the [`SPECIAL_TOKEN_FILES`], and `Some(None)` if these files name
/// neither token.
///
/// # Errors
/// Fails when a file is not JSON.
pub(super) fn read(
    files: &ModelFiles,
    tokenizer: &tokenizers::Tokenizer,
) -> Result<Option<Option<PrefixToken>>> {
    let Some(names) = SpecialTokenNames::read(files)? else { return Ok(None) };
    let token = |name: &str| names.get(name).and_then(|text| tokenizer.token_to_id(text));
    let token = token("bos_token").or_else(|| token("eos_token"));
    Ok(Some(token.and_then(|token| PrefixToken::new(tokenizer, token))))
}

/// Returns whether the prefix token of the model in `directory` depends on the [`SPECIAL_TOKEN_FILES`]. The
/// prefix token does not depend on these files if `tokenizer.json` adds the same token before every text. The
/// same holds if the token is the first end-of-text token of `config.json`.
///
/// # Errors
/// Fails when a file is not JSON.
pub(crate) fn depends_on_special_token_files(directory: &Path) -> Result<bool> {
    let files = ModelFiles::open(directory)?;
    let Some(names) = SpecialTokenNames::read(&files)? else { return Ok(false) };
    let Some(prefix) = names.get("bos_token").or_else(|| names.get("eos_token")) else { return Ok(true) };
    let tokenizer = TokenizerJsonSettings::read(directory)?;
    let config = files.json_or_null("config.json")?;
    let first = &tokenizer.post_processor["single"][0]["SpecialToken"]["id"];
    let mut added = tokenizer.added_tokens.iter();
    let token = added.find(|token| token["content"] == prefix).map(|token| &token["id"]);
    let end = &config["eos_token_id"];
    let end = end.as_array().and_then(|ends| ends.first()).unwrap_or(end);
    Ok(first != prefix && token != Some(end))
}

/// The content of the [`SPECIAL_TOKEN_FILES`].
struct SpecialTokenNames {
    config: Value,
    map: Value,
}

impl SpecialTokenNames {
    /// Reads both files. Returns `None` if the model has neither.
    fn read(files: &ModelFiles) -> Result<Option<Self>> {
        let config = files.json_or_null(SPECIAL_TOKEN_FILES[0])?;
        // If `tokenizer_config.json` has no `added_tokens_decoder`, transformers also reads the older file
        // `special_tokens_map.json`. The names in the older file take precedence.
        let map = match config.get("added_tokens_decoder") {
            Some(_) => Value::Null,
            None => files.json_or_null(SPECIAL_TOKEN_FILES[1])?,
        };
        Ok((!config.is_null() || !map.is_null()).then_some(Self { config, map }))
    }

    /// Returns the text of the special token `name`.
    fn get(&self, name: &str) -> Option<&str> {
        match self.map.get(name).or(self.config.get(name)) {
            Some(value) => value.as_str().or(value["content"].as_str()),
            None => default_of_class(self.config["tokenizer_class"].as_str()?, name),
        }
    }
}

/// Returns the text of the special token `name` that transformers' tokenizer class `class` has by default.
fn default_of_class(class: &str, name: &str) -> Option<&'static str> {
    match (class.trim_end_matches("Fast"), name) {
        ("LlamaTokenizer", "bos_token") => Some("<s>"),
        ("LlamaTokenizer", "eos_token") => Some("</s>"),
        ("Qwen2Tokenizer", "eos_token") => Some("<|endoftext|>"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(files: &[(&str, &str)]) -> Option<Option<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let files = ModelFiles::open(folder.path()).unwrap();
        let prefix = read(&files, crate::testing::bundled_tokenizer().inner()).unwrap();
        prefix.map(|prefix| prefix.map(|prefix| prefix.text))
    }

    #[test]
    fn the_files_of_a_model_name_its_prefix_token() {
        let config = |text: &str| prefix(&[("tokenizer_config.json", text)]);
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(prefix(&[]), None);
        assert_eq!(config(r#"{ "bos_token": "<bos>", "eos_token": "<eos>" }"#), some("<bos>"));
        assert_eq!(config(r#"{ "bos_token": null, "eos_token": { "content": "<eos>" } }"#), some("<eos>"));
        assert_eq!(config(r#"{ "bos_token": "<none>", "eos_token": "<eos>" }"#), some("<eos>"));
        assert_eq!(config("{}"), Some(None));
        let map = ("special_tokens_map.json", r#"{ "bos_token": "<pad>" }"#);
        let with_map = |text| prefix(&[("tokenizer_config.json", text), map]);
        assert_eq!(with_map(r#"{ "bos_token": "<bos>" }"#), some("<pad>"));
        assert_eq!(with_map(r#"{ "bos_token": "<bos>", "added_tokens_decoder": {} }"#), some("<bos>"));
    }

    #[test]
    fn special_token_files_matter_if_no_other_file_names_the_prefix_token() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, text: &str, expected: bool| {
            std::fs::write(folder.path().join(name), text).unwrap();
            assert_eq!(depends_on_special_token_files(folder.path()).unwrap(), expected, "{name}: {text}");
        };
        check("tokenizer.json", &crate::testing::bundled_tokenizer().to_json().unwrap(), false);
        check("tokenizer_config.json", r#"{ "bos_token": "<bos>" }"#, false);
        check("tokenizer_config.json", r#"{ "bos_token": "<pad>" }"#, true);
        check("config.json", r#"{ "eos_token_id": [3, 2] }"#, false);
        check("tokenizer_config.json", r#"{ "eos_token": "<eos>" }"#, true);
        check("tokenizer_config.json", "{}", true);
    }

    #[test]
    fn a_template_that_begins_with_a_token_gives_the_prefix_token() {
        let tokenizer = crate::testing::bundled_tokenizer();
        let expected = PrefixToken { token: 1, text: "<bos>".to_owned() };
        assert_eq!(PrefixToken::added_by(tokenizer.inner()), Some(expected));
    }

    #[test]
    fn the_prefix_token_is_not_added_to_a_prompt_that_begins_with_it() {
        let tokenizer = crate::testing::bundled_tokenizer();
        let ids = tokenizer.encode("where is", true).unwrap();
        assert_eq!(tokenizer.encode_prompt("where is").unwrap(), ids);
        assert_eq!(tokenizer.encode_prompt("<bos>where is").unwrap(), ids);
        assert_eq!(tokenizer.encode_prompt("<eos>where is").unwrap()[..2], [1, 2]);
    }
}

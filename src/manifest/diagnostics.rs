//! Turns serde's errors about a manifest into errors that underline the faulty token and suggest a fix.

use super::dotted_key::format_dotted_key;
use super::schema_tree::SchemaNode;
use super::source_map::{EntryPart, SourceMap};
use super::spanned_value::{Content, SpannedValue};
use super::suggestions::{closest_name, quote_list};
use dtr_core::error::Error;

/// The maximum length of a token that a message quotes, in bytes.
const MAX_QUOTED_BYTES: usize = 32;

/// A deserialization error. [`Self::into_error`] receives the path of the entry that caused this error.
pub(super) enum DeserializeError {
    /// The last key of the path is not one of the `known` keys.
    UnknownKey { known: &'static [&'static str] },
    /// The table at the path lacks this key.
    MissingKey(String),
    /// The value at the path has the wrong type or form.
    WrongValue { expected: String },
    /// Any other error, with serde's message.
    Other(String),
}

impl DeserializeError {
    /// Returns the error that underlines the entry at `path`.
    pub fn into_error(self, path: &[String], sources: &SourceMap) -> Error {
        match self {
            Self::UnknownKey { known } => unknown_key_error(path, known, sources),
            Self::MissingKey(key) => missing_key_error(path, &key, sources),
            Self::WrongValue { expected } => wrong_value_error(path, describe_type(&expected), sources),
            Self::Other(message) => sources.error_at(path, EntryPart::Value, message),
        }
    }
}

fn unknown_key_error(path: &[String], known: &[&str], sources: &SourceMap) -> Error {
    let (key, table) = path.split_last().map_or(("", path), |(key, table)| (key.as_str(), table));
    let (name, introduction) = match table {
        [] => ("a manifest".to_owned(), "the keys of a manifest are".to_owned()),
        _ => {
            let table = format_dotted_key(table);
            (format!("`{table}`"), format!("the keys of `{table}` are"))
        }
    };
    let tables = SchemaNode::manifest().tables_with_key(key);
    let hint = match closest_name(key, known.iter().copied()) {
        Some(closest) => format!("did you mean `{closest}`?"),
        None if SchemaNode::manifest().child(key).is_some() => {
            format!("write `{key}` at the top of the file, before the first `[table]`")
        }
        None if !tables.is_empty() => {
            let tables: Vec<_> = tables.iter().map(String::as_str).collect();
            format!("`{key}` is a key of {}", quote_list(&tables))
        }
        None if known.is_empty() => format!("{name} takes no keys"),
        None => format!("{introduction} {}", quote_list(known)),
    };
    let error = Error::manifest(format!("unknown key `{key}`")).hint(hint);
    sources.underline_entry(error, path, EntryPart::Key, format!("not a key of {name}"))
}

fn missing_key_error(path: &[String], key: &str, sources: &SourceMap) -> Error {
    let error = Error::manifest(format!("`{}` has no `{key}`", format_dotted_key(path)));
    sources.underline_entry(error, path, EntryPart::Key, format!("`{key}` is missing"))
}

fn wrong_value_error(path: &[String], expected: &str, sources: &SourceMap) -> Error {
    let value = sources.find(path);
    let found = value.map_or("this value".to_owned(), |value| quote_token(sources.token(&value.span), value));
    let mut error = Error::manifest(format!("`{}` takes {expected}, not {found}", format_dotted_key(path)));
    if let Some(hint) =
        value.and_then(|value| suggest_correction(path, expected, value, sources.token(&value.span)))
    {
        error = error.hint(hint);
    }
    sources.underline_entry(error, path, EntryPart::Value, format!("not {expected}"))
}

/// Returns a short token in backticks. For a long token, a table or a list, returns the kind of the value,
/// such as `a string`.
fn quote_token(token: &str, value: &SpannedValue) -> String {
    match value.content {
        Content::Table(_) | Content::List(_) => value.kind().to_owned(),
        _ if token.len() > MAX_QUOTED_BYTES || token.contains(['\n', '`']) => value.kind().to_owned(),
        _ => format!("`{token}`"),
    }
}

/// Returns a hint if the value is a frequent mistake, such as a number in quotes.
fn suggest_correction(path: &[String], expected: &str, value: &SpannedValue, token: &str) -> Option<String> {
    match &value.content {
        Content::Table(_) if path.len() == 3 && path[..2] == ["sweep", "axes"] => Some(
            "quote the dotted key of an axis, as in `\"distil.token-budget\" = [\"1M\", \"10M\"]`".to_owned(),
        ),
        Content::String(text) if expected.contains("number") && text.parse::<f64>().is_ok() => {
            Some(format!("leave out the quotes: `{text}`"))
        }
        Content::String(text) if expected == "a boolean" && ["true", "false"].contains(&text.as_str()) => {
            Some(format!("leave out the quotes: `{text}`"))
        }
        Content::Table(_) | Content::List(_) => None,
        _ if expected == "a list" && !token.contains('\n') => {
            Some(format!("put it in brackets: `[{token}]`"))
        }
        _ => None,
    }
}

/// Translates serde's name of a type into the words of an error message.
fn describe_type(expected: &str) -> &str {
    match expected {
        "usize" | "u64" => "a whole number",
        "u32" => "a whole number from 0 to 4294967295",
        "f64" => "a number",
        "a sequence" => "a list",
        other => other,
    }
}

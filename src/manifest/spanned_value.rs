//! TOML values with the locations of their tokens.
//!
//! Each parsed text is one tree of values. Parsing does not depend on the schema of a manifest.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The maximum depth of nested values, which limits recursion. Real manifests have up to seven levels.
const MAX_DEPTH: usize = 32;

/// The location of a token: a file, and a range of bytes in the file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The index of the file in the [`SourceMap`](super::SourceMap).
    pub(super) file: usize,
    /// The range of bytes in the file's text.
    pub range: Range<usize>,
}

/// A value and the locations of its tokens.
#[derive(Clone, Debug)]
pub(super) struct SpannedValue {
    /// The location of the key. Elements of a list have no key.
    pub key_span: Option<Span>,
    /// The location of the value. For a table under a header, this is the location of the header.
    pub span: Span,
    pub content: Content,
}

/// The content of a value. TOML dates have no variant, because no key of a manifest takes a date.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Table(BTreeMap<String, SpannedValue>),
    List(Vec<SpannedValue>),
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

#[derive(Debug)]
pub(super) struct SyntaxError {
    pub message: String,
    pub range: Range<usize>,
}

impl SpannedValue {
    /// Parses the TOML `text` of the file with index `file`.
    pub fn parse(text: &str, file: usize) -> Result<Self, SyntaxError> {
        let table = DeTable::parse(text).map_err(|error| SyntaxError {
            range: clamp_to_chars(text, error.span().unwrap_or_default()),
            message: error.message().to_owned(),
        })?;
        let entries = convert_table(table.get_ref(), file, 0)?;
        let first = entries.values().filter_map(|value| Some(value.key_span.as_ref()?.range.start)).min();
        let start = first.unwrap_or(text.len());
        Ok(Self {
            key_span: None,
            span: Span { file, range: start..start },
            content: Content::Table(entries),
        })
    }

    /// Wraps `value` into nested tables, so that its path is `path`. All keys of the path get the span `key`.
    pub fn wrap_in_tables(path: &[String], key: &Span, value: Self) -> Self {
        path.iter().rev().fold(value, |inner, step| {
            let inner = Self { key_span: Some(key.clone()), ..inner };
            let table = BTreeMap::from([(step.clone(), inner)]);
            Self { key_span: None, span: key.clone(), content: Content::Table(table) }
        })
    }

    /// Returns the span that stands for the whole entry: the key, or the value if there is no key.
    pub fn key_or_value_span(&self) -> &Span {
        self.key_span.as_ref().unwrap_or(&self.span)
    }

    /// Finds the value at `path` below `self`. In `path`, the key of a list element is its index.
    pub fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&Self> {
        path.iter().try_fold(self, |value, step| match &value.content {
            Content::Table(table) => table.get(step.as_ref()),
            Content::List(list) => list.get(step.as_ref().parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Returns the kind of value for error messages, such as `a table`.
    pub fn kind(&self) -> &'static str {
        match self.content {
            Content::Table(_) => "a table",
            Content::List(_) => "a list",
            Content::String(_) => "a string",
            Content::Integer(_) => "a whole number",
            Content::Float(_) => "a number",
            Content::Boolean(_) => "a boolean",
        }
    }

    pub fn to_toml(&self) -> toml::Value {
        match &self.content {
            Content::Table(table) => {
                toml::Value::Table(table.iter().map(|(key, value)| (key.clone(), value.to_toml())).collect())
            }
            Content::List(list) => toml::Value::Array(list.iter().map(Self::to_toml).collect()),
            Content::String(text) => toml::Value::String(text.clone()),
            Content::Integer(number) => toml::Value::Integer(*number),
            Content::Float(number) => toml::Value::Float(*number),
            Content::Boolean(value) => toml::Value::Boolean(*value),
        }
    }
}

/// Clamps `range` to the length of `text`, and extends the range to character boundaries.
fn clamp_to_chars(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    start..text.ceil_char_boundary(range.end).max(start)
}

fn convert_table(
    table: &DeTable<'_>,
    file: usize,
    depth: usize,
) -> Result<BTreeMap<String, SpannedValue>, SyntaxError> {
    let mut entries = BTreeMap::new();
    for (key, value) in table {
        let mut entry = convert(value, file, depth + 1)?;
        entry.key_span = Some(Span { file, range: key.span() });
        entries.insert(key.get_ref().to_string(), entry);
    }
    Ok(entries)
}

fn convert(value: &Spanned<DeValue<'_>>, file: usize, depth: usize) -> Result<SpannedValue, SyntaxError> {
    let error = |message: &str| SyntaxError { message: message.to_owned(), range: value.span() };
    if depth > MAX_DEPTH {
        return Err(error("this is nested too deeply"));
    }
    let content = match value.get_ref() {
        DeValue::String(text) => Content::String(text.to_string()),
        DeValue::Boolean(value) => Content::Boolean(*value),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map(Content::Integer)
            .map_err(|_| error("this number is too large"))?,
        DeValue::Float(digits) => {
            digits.as_str().parse().map(Content::Float).map_err(|_| error("this is not a number"))?
        }
        DeValue::Datetime(_) => return Err(error("a manifest cannot contain dates")),
        DeValue::Array(list) => {
            Content::List(list.iter().map(|item| convert(item, file, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Content::Table(convert_table(table, file, depth)?),
    };
    Ok(SpannedValue { key_span: None, span: Span { file, range: value.span() }, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_nesting_is_refused() {
        for text in ["a.".repeat(100_000) + "a = 1", "a = ".to_owned() + &"[".repeat(100_000)] {
            assert!(SpannedValue::parse(&text, 0).is_err());
        }
        let deep = ["[", &"a.".repeat(30), "a]\n", &"b.".repeat(30), "b = 1"].concat();
        assert_eq!(
            SpannedValue::parse(&deep, 0).expect_err("61 levels").message,
            "this is nested too deeply"
        );
    }

    #[test]
    fn a_value_has_the_spans_of_its_tokens() {
        let text = "[models.\"a.b\"]\nsource = { path = 'x' } # why\n";
        let root = SpannedValue::parse(text, 3).expect("TOML");
        let path = root.find(&["models", "a.b", "source", "path"]).expect("a path");
        assert_eq!(&text[path.span.range.clone()], "'x'");
        assert_eq!(path.span.file, 3);
        let key = root.find(&["models", "a.b"]).and_then(|value| value.key_span.as_ref()).expect("a key");
        assert_eq!(&text[key.range.clone()], "\"a.b\"");
    }
}

//! One layer of a manifest: its values, each with the tokens that wrote it.
//!
//! Knows TOML, and nothing of what the words mean.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How deep values may nest; manifests need seven levels, and recursion stays far from the stack's end.
const DEEPEST: usize = 32;

/// Where a token stands: in which file, and at which bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file's number in [`Sources`](super::Sources).
    pub(super) file: usize,
    /// The bytes of the file's text.
    pub range: Range<usize>,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The key that names the value; elements of a list have none.
    pub key: Option<Span>,
    /// The value itself; for a table under a header, the header.
    pub place: Span,
    /// What was written.
    pub value: Value,
}

/// What was written. TOML's dates are left out: no word of a manifest takes one.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

/// What is wrong with a text before any of its words is looked at.
#[derive(Debug)]
pub(super) struct Flaw {
    pub message: String,
    pub range: Range<usize>,
}

impl Node {
    /// Parses the TOML `text` of file number `file`.
    pub fn parse(text: &str, file: usize) -> Result<Self, Flaw> {
        let table = DeTable::parse(text).map_err(|error| Flaw {
            range: within(text, error.span().unwrap_or_default()),
            message: error.message().to_owned(),
        })?;
        let value = read_table(table.get_ref(), file, 0)?;
        let first = value.values().filter_map(|node| Some(node.key.as_ref()?.range.start)).min();
        let start = first.unwrap_or(text.len());
        Ok(Self { key: None, place: Span { file, range: start..start }, value: Value::Table(value) })
    }

    /// A layer that says only that the value at `path` is `value`, as the token `key` asked.
    pub fn nested(path: &[String], key: &Span, value: Self) -> Self {
        path.iter().rev().fold(value, |inner, step| {
            let inner = Self { key: Some(key.clone()), ..inner };
            let table = BTreeMap::from([(step.clone(), inner)]);
            Self { key: None, place: key.clone(), value: Value::Table(table) }
        })
    }

    /// The token to point at where the whole entry is meant.
    pub fn name(&self) -> &Span {
        self.key.as_ref().unwrap_or(&self.place)
    }

    /// The value at `path` below this one; elements of lists are named by their index.
    pub fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match &node.value {
            Value::Table(table) => table.get(step.as_ref()),
            Value::List(list) => list.get(step.as_ref().parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Table(_) => "a table",
            Value::List(_) => "a list",
            Value::String(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "a boolean",
        }
    }

    /// The value alone.
    pub fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Table(table) => {
                toml::Value::Table(table.iter().map(|(key, node)| (key.clone(), node.to_toml())).collect())
            }
            Value::List(list) => toml::Value::Array(list.iter().map(Self::to_toml).collect()),
            Value::String(text) => toml::Value::String(text.clone()),
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Float(number) => toml::Value::Float(*number),
            Value::Boolean(truth) => toml::Value::Boolean(*truth),
        }
    }
}

/// The steps of a dotted key such as `distil.token-budget` or `models."a.b".source`.
pub(super) fn steps(key: &str) -> Option<Vec<String>> {
    if key.contains('\n') {
        return None;
    }
    let line = format!("{key} = 0");
    let mut node = &Node::parse(&line, 0).ok()?;
    let mut steps = Vec::new();
    while let Value::Table(table) = &node.value {
        let (step, inner) = table.first_key_value().filter(|_| table.len() == 1)?;
        steps.push(step.clone());
        node = inner;
    }
    // Else `key` brought an assignment of its own, and the `0` belongs to a comment.
    (node.place.range == (line.len() - 1..line.len())).then_some(steps)
}

/// Writes `path` as a dotted key, quoting the steps that need it.
pub(super) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    let mut text = String::new();
    for step in path.iter().map(AsRef::as_ref) {
        let is_index = !text.is_empty() && !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
        let is_bare = step.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        match (is_index, is_bare && !step.is_empty()) {
            (true, _) => text.push_str(&format!("[{step}]")),
            (_, true) if text.is_empty() => text.push_str(step),
            (_, true) => text.push_str(&format!(".{step}")),
            (_, false) if text.is_empty() => text.push_str(&format!("{step:?}")),
            (_, false) => text.push_str(&format!(".{step:?}")),
        }
    }
    text
}

/// Moves `range` inside `text` and onto the borders of characters.
fn within(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    start..text.ceil_char_boundary(range.end).max(start)
}

fn read_table(table: &DeTable<'_>, file: usize, depth: usize) -> Result<BTreeMap<String, Node>, Flaw> {
    let mut nodes = BTreeMap::new();
    for (key, value) in table {
        let mut node = read(value, file, depth + 1)?;
        node.key = Some(Span { file, range: key.span() });
        nodes.insert(key.get_ref().to_string(), node);
    }
    Ok(nodes)
}

fn read(value: &Spanned<DeValue<'_>>, file: usize, depth: usize) -> Result<Node, Flaw> {
    let flaw = |message: &str| Flaw { message: message.to_owned(), range: value.span() };
    if depth > DEEPEST {
        return Err(flaw("this is nested too deeply"));
    }
    let content = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map(Value::Integer)
            .map_err(|_| flaw("this number is too large"))?,
        DeValue::Float(digits) => {
            digits.as_str().parse().map(Value::Float).map_err(|_| flaw("this is no number"))?
        }
        DeValue::Datetime(_) => return Err(flaw("a manifest holds no dates")),
        DeValue::Array(list) => {
            Value::List(list.iter().map(|item| read(item, file, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Table(read_table(table, file, depth)?),
    };
    Ok(Node { key: None, place: Span { file, range: value.span() }, value: content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_key_is_taken_apart_and_put_together() {
        for key in ["distil", "distil.token-budget", "models.\"a.b\".source", "\"\".x", "models.\"1.5\".x"] {
            assert_eq!(dotted(&steps(key).expect(key)), key);
        }
        assert_eq!(steps(" a . 'b c' ").expect("spaces round dots are TOML"), ["a", "b c"]);
        assert_eq!(dotted(&["sweep", "model", "1"]), "sweep.model[1]");
    }

    #[test]
    fn what_is_more_than_a_key_is_no_dotted_key() {
        for key in ["", ".", "a.", "a = 1 #", "a = 1\nb", "[a]\nb", "a b", "a = [1]\n#", "{ a = 1 }"] {
            assert_eq!(steps(key), None, "{key}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        for text in ["a.".repeat(100_000) + "a = 1", "a = ".to_owned() + &"[".repeat(100_000)] {
            assert!(Node::parse(&text, 0).is_err());
        }
        let deep = ["[", &"a.".repeat(30), "a]\n", &"b.".repeat(30), "b = 1"].concat();
        assert_eq!(Node::parse(&deep, 0).expect_err("61 levels").message, "this is nested too deeply");
    }

    #[test]
    fn tokens_are_where_they_were_written() {
        let text = "[models.\"a.b\"]\nsource = { path = 'x' } # why\n";
        let node = Node::parse(text, 3).expect("TOML");
        let path = node.find(&["models", "a.b", "source", "path"]).expect("a path");
        assert_eq!(&text[path.place.range.clone()], "'x'");
        assert_eq!(path.place.file, 3);
        let name = node.find(&["models", "a.b"]).and_then(|node| node.key.as_ref()).expect("a key");
        assert_eq!(&text[name.range.clone()], "\"a.b\"");
    }
}

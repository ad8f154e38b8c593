//! What serde says of a manifest, in this program's words.

use super::node::{Node, Value, dotted};
use super::shape::Shape;
use super::spans::{At, Sources};
use super::suggest::{closest, listed};
use dtr_core::error::Error;

/// The longest token that a message repeats.
const LONGEST_QUOTE: usize = 32;

/// What a deserialiser complains of.
pub(super) enum Complaint {
    /// The last step of the path is none of the keys `known`.
    UnknownKey { known: &'static [&'static str] },
    /// The table at the path has no such key.
    MissingKey(String),
    /// The value at the path is not as `wanted`.
    WrongValue { wanted: String },
    /// Anything else.
    Other(String),
}

impl Complaint {
    /// The error that underlines what is wrong at `path`.
    pub fn explain(self, path: &[String], sources: &Sources) -> Error {
        match self {
            Self::UnknownKey { known } => unknown_key(path, known, sources),
            Self::MissingKey(key) => missing_key(path, &key, sources),
            Self::WrongValue { wanted } => wrong_value(path, plain(&wanted), sources),
            Self::Other(message) => sources.blame(path, At::Value, message),
        }
    }
}

fn unknown_key(path: &[String], known: &[&str], sources: &Sources) -> Error {
    let (key, table) = path.split_last().map_or(("", path), |(key, table)| (key.as_str(), table));
    let (name, keys) = match table {
        [] => ("a manifest".to_owned(), "the keys of a manifest are".to_owned()),
        _ => (format!("`{}`", dotted(table)), format!("the keys of `{}` are", dotted(table))),
    };
    let homes = Shape::manifest().homes(key);
    let hint = match closest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if Shape::manifest().child(key).is_some() => {
            format!("`{key}` belongs to the top of the file, before the first `[table]`")
        }
        None if !homes.is_empty() => {
            let homes: Vec<_> = homes.iter().map(String::as_str).collect();
            format!("`{key}` is a key of {}", listed(&homes))
        }
        None if known.is_empty() => format!("{name} takes no keys"),
        None => format!("{keys} {}", listed(known)),
    };
    let error = Error::manifest(format!("unknown key `{key}`")).hint(hint);
    sources.point(error, path, At::Key, format!("not a key of {name}"))
}

fn missing_key(path: &[String], key: &str, sources: &Sources) -> Error {
    let error = Error::manifest(format!("`{}` has no `{key}`", dotted(path)));
    sources.point(error, path, At::Key, format!("`{key}` is missing"))
}

fn wrong_value(path: &[String], wanted: &str, sources: &Sources) -> Error {
    let node = sources.find(path);
    let found = node.map_or("this value".to_owned(), |node| quote(sources.token(&node.place), node));
    let mut error = Error::manifest(format!("`{}` takes {wanted}, not {found}", dotted(path)));
    if let Some(hint) = node.and_then(|node| remedy(path, wanted, node, sources.token(&node.place))) {
        error = error.hint(hint);
    }
    sources.point(error, path, At::Value, format!("not {wanted}"))
}

/// The token itself where it is short, else the kind of value it is.
fn quote(token: &str, node: &Node) -> String {
    match node.value {
        Value::Table(_) | Value::List(_) => node.kind().to_owned(),
        _ if token.len() > LONGEST_QUOTE || token.contains(['\n', '`']) => node.kind().to_owned(),
        _ => format!("`{token}`"),
    }
}

/// What to write instead, for the slips that people make.
fn remedy(path: &[String], wanted: &str, node: &Node, token: &str) -> Option<String> {
    match &node.value {
        Value::Table(_) if path.len() == 3 && path[..2] == ["sweep", "axes"] => Some(
            "quote the dotted key of an axis, as in `\"distil.token-budget\" = [\"1M\", \"10M\"]`".to_owned(),
        ),
        Value::String(text) if wanted.contains("number") && text.parse::<f64>().is_ok() => {
            Some(format!("leave out the quotes: `{text}`"))
        }
        Value::String(text) if wanted == "a boolean" && ["true", "false"].contains(&text.as_str()) => {
            Some(format!("leave out the quotes: `{text}`"))
        }
        Value::Table(_) | Value::List(_) => None,
        _ if wanted == "a list" && !token.contains('\n') => Some(format!("put it in brackets: `[{token}]`")),
        _ => None,
    }
}

/// Serde's name of a type, in the words of a manifest.
fn plain(wanted: &str) -> &str {
    match wanted {
        "usize" | "u64" => "a whole number",
        "u32" => "a whole number from 0 to 4294967295",
        "f64" => "a number",
        "a sequence" => "a list",
        other => other,
    }
}

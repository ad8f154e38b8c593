//! The shape of a manifest, read off its own JSON schema: where tables, lists and choices stand.
//!
//! A choice is an externally tagged enum. One place says which keys hold one, the types themselves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value as Json;

use super::node::{Node, Value};
use super::schema::experiment_schema;

/// What may stand at a place of a manifest.
#[derive(Debug)]
pub(super) enum Shape {
    /// A table with these keys.
    Table(BTreeMap<String, Shape>),
    /// A table from names of the user's choice.
    Names(Box<Shape>),
    /// One of several alternatives: a bare word, or a table of one key with a value of this shape.
    Choice(BTreeMap<String, Option<Shape>>),
    /// A list, of a set length where there is one.
    List(Box<Shape>, Option<usize>),
    /// A path, relative to the file that names it.
    Path,
    /// Any other value; its type is serde's to judge.
    Leaf,
    /// A shape by the name of its definition, as a shape may hold itself.
    Named(String),
}

static MANIFEST: LazyLock<Shape> = LazyLock::new(|| Shape::read(&experiment_schema()));

/// The shapes that others name.
static DEFINITIONS: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| {
    let schema = experiment_schema();
    let definitions = schema["$defs"].as_object().into_iter().flatten();
    definitions.map(|(name, schema)| (format!("#/$defs/{name}"), Shape::read(schema))).collect()
});

impl Shape {
    /// The shape of a whole manifest.
    pub fn manifest() -> &'static Self {
        &MANIFEST
    }

    fn read(schema: &Json) -> Self {
        if let Some(link) = schema["$ref"].as_str() {
            return Self::Named(link.to_owned());
        }
        if let Some(choices) = choices(schema) {
            return Self::Choice(choices);
        }
        // What may be absent is of its type or null.
        let kinds = schema["type"].as_array().map(Vec::as_slice).unwrap_or_default();
        let kind = kinds.iter().chain([&schema["type"]]).find_map(Json::as_str);
        match kind {
            Some("object") if schema["additionalProperties"].is_object() => {
                Self::Names(Box::new(Self::read(&schema["additionalProperties"])))
            }
            Some("object") => Self::Table(properties(schema)),
            Some("array") => {
                let length = schema["maxItems"].as_u64().map(|length| length as usize);
                Self::List(Box::new(Self::read(&schema["items"])), length)
            }
            Some("string") if schema["format"] == "path" => Self::Path,
            _ => Self::Leaf,
        }
    }

    /// The shape itself, where this is its name.
    pub fn resolved(&self) -> &Self {
        match self {
            Self::Named(link) => DEFINITIONS.get(link).unwrap_or(&Self::Leaf).resolved(),
            shape => shape,
        }
    }

    /// The shape of what stands under `step`.
    pub fn child(&self, step: &str) -> Option<&Self> {
        let child = match self.resolved() {
            Self::Table(keys) => keys.get(step),
            Self::Names(shape) => Some(&**shape),
            Self::Choice(choices) => choices.get(step)?.as_ref(),
            Self::List(shape, _) => step.parse::<usize>().is_ok().then_some(&**shape),
            Self::Path | Self::Leaf | Self::Named(_) => None,
        };
        child.map(Self::resolved)
    }

    /// The dotted tables of at most two levels that have a key called `key`.
    pub fn homes(&self, key: &str) -> Vec<String> {
        let Self::Table(tables) = self else { return Vec::new() };
        let has = |shape: &Self| matches!(shape.resolved(), Self::Table(keys) if keys.contains_key(key));
        let mut homes = Vec::new();
        for (name, table) in tables {
            homes.extend(has(table).then(|| name.clone()));
            if let Self::Table(inner) = table.resolved() {
                homes.extend(
                    inner.iter().filter(|(_, shape)| has(shape)).map(|(sub, _)| format!("{name}.{sub}")),
                );
            }
        }
        homes
    }

    /// Drops from `earlier` what `later` unsays: the alternatives that a choice no longer takes.
    ///
    /// Tables merge, and the table of a choice would come to hold two alternatives. So a later layer
    /// that takes another one replaces, and a later layer that takes the same one merges into it.
    pub fn give_way(&self, earlier: &mut Node, later: &Node) {
        let (Value::Table(old), Value::Table(new)) = (&mut earlier.value, &later.value) else { return };
        if let Self::Choice(_) = self {
            old.retain(|name, _| new.contains_key(name));
        }
        for (step, node) in old {
            if let (Some(shape), Some(later)) = (self.child(step), new.get(step)) {
                shape.give_way(node, later);
            }
        }
    }
}

fn properties(schema: &Json) -> BTreeMap<String, Shape> {
    let keys = schema["properties"].as_object().into_iter().flatten();
    keys.map(|(key, schema)| (key.clone(), Shape::read(schema))).collect()
}

/// The alternatives of an externally tagged enum; `None` where `schema` is of another kind.
fn choices(schema: &Json) -> Option<BTreeMap<String, Option<Shape>>> {
    let alternatives = || schema["oneOf"].as_array().into_iter().flatten();
    let tables = alternatives().filter(|one| one["required"].as_array().is_some_and(|keys| keys.len() == 1));
    let words = alternatives().chain([schema]).flat_map(|one| {
        one["enum"].as_array().into_iter().flatten().chain([&one["const"]]).filter_map(Json::as_str)
    });
    let mut choices: BTreeMap<_, _> = words.map(|word| (word.to_owned(), None)).collect();
    choices.extend(tables.flat_map(properties).map(|(key, shape)| (key, Some(shape))));
    (!choices.is_empty()).then_some(choices)
}

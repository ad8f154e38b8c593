//! The structure of a manifest, read from its JSON schema: which entries are tables, lists, choices and
//! paths.
//!
//! A choice is an externally tagged enum.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value as Json;

use super::schema::experiment_schema;
use super::spanned_value::{Content, SpannedValue};

/// The alternatives of a choice by name. In TOML, an alternative without a value (`None`) is a string. An
/// alternative with a value is a table with one key.
pub(super) type Alternatives = BTreeMap<String, Option<SchemaNode>>;

/// The kind of value that an entry of a manifest may have.
#[derive(Debug)]
pub(super) enum SchemaNode {
    /// A table with these keys.
    Table(BTreeMap<String, SchemaNode>),
    /// A table whose keys are names that the user chooses.
    Map(Box<SchemaNode>),
    /// One of several alternatives.
    Choice(Alternatives),
    /// A list: the kind of its items, and its length if the schema fixes the length.
    List(Box<SchemaNode>, Option<usize>),
    /// A path, relative to the folder of the manifest file that contains the path.
    Path,
    /// Any other value, whose type serde checks.
    Scalar,
    /// A reference to a definition of the schema. Definitions may refer to themselves.
    Reference(String),
}

static MANIFEST: LazyLock<SchemaNode> = LazyLock::new(|| SchemaNode::read(experiment_schema()));

/// The definitions of the schema. The map's keys are the texts of `$ref`.
static DEFINITIONS: LazyLock<BTreeMap<String, SchemaNode>> = LazyLock::new(|| {
    let schema = experiment_schema();
    let definitions = schema["$defs"].as_object().into_iter().flatten();
    definitions.map(|(name, schema)| (format!("#/$defs/{name}"), SchemaNode::read(schema))).collect()
});

impl SchemaNode {
    /// Returns the structure of a whole manifest.
    pub fn manifest() -> &'static Self {
        &MANIFEST
    }

    fn read(schema: &Json) -> Self {
        if let Some(reference) = schema["$ref"].as_str() {
            return Self::Reference(reference.to_owned());
        }
        if let Some(alternatives) = read_alternatives(schema) {
            return Self::Choice(alternatives);
        }
        // In a schema, the `type` of an optional value is a list: the type of the value, and `null`.
        let types = schema["type"].as_array().map(Vec::as_slice).unwrap_or_default();
        let first_type = types.iter().chain([&schema["type"]]).find_map(Json::as_str);
        match first_type {
            Some("object") if schema["additionalProperties"].is_object() => {
                Self::Map(Box::new(Self::read(&schema["additionalProperties"])))
            }
            Some("object") => Self::Table(read_properties(schema)),
            Some("array") => {
                let length = schema["maxItems"].as_u64().map(|length| length as usize);
                Self::List(Box::new(Self::read(&schema["items"])), length)
            }
            Some("string") if schema["format"] == "path" => Self::Path,
            _ => Self::Scalar,
        }
    }

    /// Returns the node to which a reference refers. Returns any other node unchanged.
    pub fn resolve(&self) -> &Self {
        match self {
            Self::Reference(reference) => DEFINITIONS.get(reference).unwrap_or(&Self::Scalar).resolve(),
            node => node,
        }
    }

    /// Returns the node of the entry under `key`. For a list, `key` is an index.
    pub fn child(&self, key: &str) -> Option<&Self> {
        let child = match self.resolve() {
            Self::Table(keys) => keys.get(key),
            Self::Map(node) => Some(&**node),
            Self::Choice(alternatives) => alternatives.get(key)?.as_ref(),
            Self::List(node, _) => key.parse::<usize>().is_ok().then_some(&**node),
            Self::Path | Self::Scalar | Self::Reference(_) => None,
        };
        child.map(Self::resolve)
    }

    /// Returns the dotted keys of the tables that have a key called `key`. Looks at two levels of tables.
    pub fn tables_with_key(&self, key: &str) -> Vec<String> {
        let Self::Table(tables) = self else { return Vec::new() };
        let has_key = |node: &Self| matches!(node.resolve(), Self::Table(keys) if keys.contains_key(key));
        let mut found = Vec::new();
        for (name, table) in tables {
            found.extend(has_key(table).then(|| name.clone()));
            if let Self::Table(inner) = table.resolve() {
                found.extend(
                    inner.iter().filter(|(_, node)| has_key(node)).map(|(sub, _)| format!("{name}.{sub}")),
                );
            }
        }
        found
    }

    /// Compares each choice in the manifest layer `earlier` with the same choice in the manifest layer
    /// `later`. If the layers name different alternatives, removes the alternative of `earlier`.
    ///
    /// Without this removal, the merged choice would have both alternatives, because layers are merged key by
    /// key.
    pub fn remove_replaced_alternatives(&self, earlier: &mut SpannedValue, later: &SpannedValue) {
        let (Content::Table(old), Content::Table(new)) = (&mut earlier.content, &later.content) else {
            return;
        };
        if let Self::Choice(_) = self {
            old.retain(|name, _| new.contains_key(name));
        }
        for (key, value) in old {
            if let (Some(node), Some(later)) = (self.child(key), new.get(key)) {
                node.remove_replaced_alternatives(value, later);
            }
        }
    }
}

fn read_properties(schema: &Json) -> BTreeMap<String, SchemaNode> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(key, schema)| (key.clone(), SchemaNode::read(schema))).collect()
}

/// Reads the alternatives of an externally tagged enum. Returns `None` if `schema` describes another type.
fn read_alternatives(schema: &Json) -> Option<Alternatives> {
    let forms = || schema["oneOf"].as_array().into_iter().flatten();
    let tables = forms().filter(|form| form["required"].as_array().is_some_and(|keys| keys.len() == 1));
    let names = forms().chain([schema]).flat_map(|form| {
        form["enum"].as_array().into_iter().flatten().chain([&form["const"]]).filter_map(Json::as_str)
    });
    let mut alternatives: Alternatives = names.map(|name| (name.to_owned(), None)).collect();
    alternatives.extend(tables.flat_map(read_properties).map(|(name, node)| (name, Some(node))));
    (!alternatives.is_empty()).then_some(alternatives)
}

//! Refuses values that serde would accept, but would read differently from the user's intention.
//!
//! Serde accepts a list for a struct, and an index for an enum. In the table of an enum, serde ignores all
//! keys but the first. If the type of a list has a fixed length, serde ignores surplus values of the list.

use std::collections::BTreeMap;

use super::dotted_key::format_dotted_key;
use super::schema_tree::{Alternatives, SchemaNode};
use super::source_map::SourceMap;
use super::spanned_value::{Content, Span, SpannedValue};
use super::suggestions::{did_you_mean, quote_list};
use dtr_core::error::{Error, Result};

/// Checks one layer of the manifest before the layers are merged.
pub(super) fn check(layer: &SpannedValue, sources: &SourceMap) -> Result<()> {
    StructureCheck { sources, path: Vec::new() }.visit(layer, SchemaNode::manifest())
}

struct StructureCheck<'a> {
    sources: &'a SourceMap,
    path: Vec<String>,
}

impl StructureCheck<'_> {
    fn visit(&mut self, value: &SpannedValue, schema: &SchemaNode) -> Result<()> {
        match (schema, &value.content) {
            (SchemaNode::Table(_) | SchemaNode::Map(_), Content::Table(_)) => {
                self.visit_children(value, schema)
            }
            (SchemaNode::Table(_) | SchemaNode::Map(_), _) => Err(self.wrong_kind_error(value, "a table")),
            (SchemaNode::Choice(alternatives), _) => {
                self.check_choice(value, alternatives)?;
                self.visit_children(value, schema)
            }
            (SchemaNode::List(_, Some(length)), Content::List(list)) if list.len() != *length => {
                Err(self.wrong_kind_error(value, &format!("a list of {length} values")))
            }
            _ => self.visit_children(value, schema),
        }
    }

    fn visit_children(&mut self, value: &SpannedValue, schema: &SchemaNode) -> Result<()> {
        match &value.content {
            Content::Table(table) => {
                table.iter().try_for_each(|(key, value)| self.descend(key, value, schema))
            }
            Content::List(list) => list
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| self.descend(&index.to_string(), value, schema)),
            _ => Ok(()),
        }
    }

    fn descend(&mut self, key: &str, value: &SpannedValue, schema: &SchemaNode) -> Result<()> {
        let Some(schema) = schema.child(key) else { return Ok(()) };
        self.path.push(key.to_owned());
        self.visit(value, schema)?;
        self.path.pop();
        Ok(())
    }

    /// Checks the value of a choice. The value must name exactly one alternative, as a string or as the key
    /// of a table.
    fn check_choice(&self, value: &SpannedValue, alternatives: &Alternatives) -> Result<()> {
        let known: Vec<&str> = alternatives.keys().map(String::as_str).collect();
        match &value.content {
            Content::String(name) => match alternatives.get(name) {
                None => Err(self.unknown_alternative_error(name, &value.span, &known)),
                Some(Some(node)) if matches!(node.resolve(), SchemaNode::Table(_)) => {
                    Err(self.wrong_form_error(name, &value.span, &format!("{{ {name} = {{}} }}")))
                }
                Some(Some(_)) => Err(self.wrong_form_error(name, &value.span, &format!("{{ {name} = … }}"))),
                Some(None) => Ok(()),
            },
            Content::Table(table) if !table.is_empty() => self.check_table(table, alternatives, &known),
            _ => Err(self.wrong_kind_error(value, &format!("one of {}", quote_list(&known)))),
        }
    }

    fn check_table(
        &self,
        table: &BTreeMap<String, SpannedValue>,
        alternatives: &Alternatives,
        known: &[&str],
    ) -> Result<()> {
        for (name, value) in table {
            match alternatives.get(name) {
                None => return Err(self.unknown_alternative_error(name, value.key_or_value_span(), known)),
                Some(None) => {
                    return Err(self.wrong_form_error(
                        name,
                        value.key_or_value_span(),
                        &format!("\"{name}\""),
                    ));
                }
                Some(Some(_)) => {}
            }
        }
        let mut names: Vec<_> = table.iter().map(|(name, value)| (value.key_or_value_span(), name)).collect();
        names.sort_by_key(|(span, _)| span.range.start);
        match names[..] {
            [(_, first), (span, second), ..] => Err(self.two_alternatives_error(first, second, span)),
            _ => Ok(()),
        }
    }

    fn unknown_alternative_error(&self, name: &str, span: &Span, known: &[&str]) -> Error {
        let error = Error::manifest(format!("`{}` cannot be `{name}`", format_dotted_key(&self.path)))
            .hint(did_you_mean(name, known, "it can be"));
        self.sources.underline_span(error, span, "unknown")
    }

    fn wrong_form_error(&self, name: &str, span: &Span, form: &str) -> Error {
        let key = self.path.last().map_or("", String::as_str);
        let error = Error::manifest(format!("`{name}` is not written in this way"))
            .hint(format!("write `{key} = {form}`"));
        self.sources.underline_span(error, span, "here")
    }

    fn two_alternatives_error(&self, first: &str, second: &str, span: &Span) -> Error {
        let key = format_dotted_key(&self.path);
        let message = format!("`{key}` cannot be both `{first}` and `{second}`");
        self.sources.underline_span(Error::manifest(message), span, "one too many")
    }

    fn wrong_kind_error(&self, value: &SpannedValue, expected: &str) -> Error {
        let error = Error::manifest(format!("`{}` must be {expected}", format_dotted_key(&self.path)));
        self.sources.underline_span(error, &value.span, format!("this is {}", value.kind()))
    }
}

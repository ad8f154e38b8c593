//! What serde would let pass: tables written as lists, alternatives by number, two at once.
//!
//! Serde reads a struct from a list and an enum from its index, ignores all but the first key of an
//! enum's table and the rest of a list that is too long. Here a manifest must mean what it says.

use std::collections::BTreeMap;

use super::node::{Node, Span, Value, dotted};
use super::shape::Shape;
use super::spans::Sources;
use super::suggest::{did_you_mean, listed};
use dtr_core::error::{Error, Result};

/// Checks one layer, before it is laid on others.
pub(super) fn check(layer: &Node, sources: &Sources) -> Result<()> {
    Check { sources, path: Vec::new() }.visit(layer, Shape::manifest())
}

struct Check<'a> {
    sources: &'a Sources,
    path: Vec<String>,
}

impl Check<'_> {
    fn visit(&mut self, node: &Node, shape: &Shape) -> Result<()> {
        match (shape, &node.value) {
            (Shape::Table(_) | Shape::Names(_), Value::Table(_)) => self.children(node, shape),
            (Shape::Table(_) | Shape::Names(_), _) => Err(self.mistaken(node, "a table")),
            (Shape::Choice(choices), _) => {
                self.choice(node, choices)?;
                self.children(node, shape)
            }
            (Shape::List(_, Some(length)), Value::List(list)) if list.len() != *length => {
                Err(self.mistaken(node, &format!("a list of {length} values")))
            }
            _ => self.children(node, shape),
        }
    }

    fn children(&mut self, node: &Node, shape: &Shape) -> Result<()> {
        match &node.value {
            Value::Table(table) => table.iter().try_for_each(|(key, node)| self.descend(key, node, shape)),
            Value::List(list) => list
                .iter()
                .enumerate()
                .try_for_each(|(index, node)| self.descend(&index.to_string(), node, shape)),
            _ => Ok(()),
        }
    }

    fn descend(&mut self, step: &str, node: &Node, shape: &Shape) -> Result<()> {
        let Some(shape) = shape.child(step) else { return Ok(()) };
        self.path.push(step.to_owned());
        self.visit(node, shape)?;
        self.path.pop();
        Ok(())
    }

    /// A choice is a bare word, or a table whose one key names the alternative.
    fn choice(&self, node: &Node, choices: &BTreeMap<String, Option<Shape>>) -> Result<()> {
        let known: Vec<&str> = choices.keys().map(String::as_str).collect();
        match &node.value {
            Value::String(word) => match choices.get(word) {
                None => Err(self.unknown(word, &node.place, &known)),
                Some(Some(shape)) if matches!(shape.resolved(), Shape::Table(_)) => {
                    Err(self.misshapen(word, &node.place, &format!("{{ {word} = {{}} }}")))
                }
                Some(Some(_)) => Err(self.misshapen(word, &node.place, &format!("{{ {word} = … }}"))),
                Some(None) => Ok(()),
            },
            Value::Table(table) if !table.is_empty() => self.alternative(table, choices, &known),
            _ => Err(self.mistaken(node, &format!("one of {}", listed(&known)))),
        }
    }

    fn alternative(
        &self,
        table: &BTreeMap<String, Node>,
        choices: &BTreeMap<String, Option<Shape>>,
        known: &[&str],
    ) -> Result<()> {
        for (word, node) in table {
            match choices.get(word) {
                None => return Err(self.unknown(word, node.name(), known)),
                Some(None) => return Err(self.misshapen(word, node.name(), &format!("\"{word}\""))),
                Some(Some(_)) => {}
            }
        }
        let mut words: Vec<_> = table.iter().map(|(word, node)| (node.name(), word)).collect();
        words.sort_by_key(|(span, _)| span.range.start);
        match words[..] {
            [(_, one), (span, other), ..] => Err(self.both(one, other, span)),
            _ => Ok(()),
        }
    }

    fn unknown(&self, word: &str, span: &Span, known: &[&str]) -> Error {
        let error = Error::manifest(format!("`{}` cannot be `{word}`", dotted(&self.path)))
            .hint(did_you_mean(word, known, "it can be"));
        self.sources.underline(error, span, "unknown")
    }

    fn misshapen(&self, word: &str, span: &Span, form: &str) -> Error {
        let name = self.path.last().map_or("", String::as_str);
        let error = Error::manifest(format!("`{word}` is not written in this way"))
            .hint(format!("write `{name} = {form}`"));
        self.sources.underline(error, span, "here")
    }

    fn both(&self, one: &str, other: &str, span: &Span) -> Error {
        let message = format!("`{}` cannot be both `{one}` and `{other}`", dotted(&self.path));
        self.sources.underline(Error::manifest(message), span, "one too many")
    }

    fn mistaken(&self, node: &Node, wanted: &str) -> Error {
        let error = Error::manifest(format!("`{}` must be {wanted}", dotted(&self.path)));
        self.sources.underline(error, &node.place, format!("this is {}", node.kind()))
    }
}

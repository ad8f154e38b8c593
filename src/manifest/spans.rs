//! The texts of a manifest, and errors that underline the very token.
//!
//! A value is looked up in the layer that wrote it: the last one that says anything at its path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node::{Flaw, Node, Span, Value, dotted};
use super::paths::join;
use super::shape::Shape;
use super::strict;
use dtr_core::error::{Error, Result};

/// Which token of an entry is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// A text that says a part of a manifest.
#[derive(Debug)]
struct File {
    name: String,
    text: String,
    folder: PathBuf,
}

/// The layers of a manifest, lowest first, with the texts that they were read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The experiment's own file comes first, then its bases, the `--set` strings, and overrides.
    files: Vec<Arc<File>>,
    layers: Vec<Node>,
}

impl Sources {
    /// Adds a text without reading it; relative paths in it start from `folder`.
    pub(super) fn add_file(&mut self, name: &str, text: String, folder: &Path) -> usize {
        self.files.push(Arc::new(File { name: name.to_owned(), text, folder: folder.to_owned() }));
        self.files.len() - 1
    }

    /// Parses a text that was added.
    pub(super) fn parse(&self, file: usize) -> Result<Node> {
        Node::parse(&self.files[file].text, file).map_err(|flaw| self.flawed(file, flaw))
    }

    fn flawed(&self, file: usize, flaw: Flaw) -> Error {
        let error = Error::manifest(format!("`{}` cannot be read: {}", self.files[file].name, flaw.message));
        self.underline(error, &Span { file, range: flaw.range }, "here")
    }

    /// Puts `layer` on top of the others.
    pub(super) fn push(&mut self, mut layer: Node) -> Result<()> {
        strict::check(&layer, self)?;
        self.anchor(&mut layer, Shape::manifest());
        for earlier in &mut self.layers {
            Shape::manifest().give_way(earlier, &layer);
        }
        self.layers.push(layer);
        Ok(())
    }

    /// Makes relative paths in `node` start from the folder of the file that wrote them.
    fn anchor(&self, node: &mut Node, shape: &Shape) {
        match (&mut node.value, shape) {
            (Value::String(path), Shape::Path) => {
                *path = join(&self.files[node.place.file].folder, path);
            }
            (Value::Table(table), _) => {
                for (step, node) in table {
                    if let Some(shape) = shape.child(step) {
                        self.anchor(node, shape);
                    }
                }
            }
            (Value::List(list), _) => {
                for (index, node) in list.iter_mut().enumerate() {
                    if let Some(shape) = shape.child(&index.to_string()) {
                        self.anchor(node, shape);
                    }
                }
            }
            _ => {}
        }
    }

    /// The layers, lowest first.
    pub(super) fn layers(&self) -> &[Node] {
        &self.layers
    }

    /// What was written at `path`, by the last layer that says anything there.
    pub(super) fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&Node> {
        self.layers.iter().rev().find_map(|layer| layer.find(path))
    }

    /// The last written of several paths; the first of them among those of one layer.
    pub(super) fn latest<'a, 'p>(&self, paths: &[&'a [&'p str]]) -> &'a [&'p str] {
        let written = |path: &[&str]| self.layers.iter().rposition(|layer| layer.find(path).is_some());
        paths.iter().rev().max_by_key(|path| written(path)).copied().unwrap_or_default()
    }

    /// The name and the text of the file that `span` points into.
    pub fn file(&self, span: &Span) -> (&str, &str) {
        let file = &self.files[span.file];
        (&file.name, &file.text)
    }

    /// The token that `span` points at.
    pub(super) fn token(&self, span: &Span) -> &str {
        self.file(span).1.get(span.range.clone()).unwrap_or_default()
    }

    /// Where the key of the entry at `path` was written last; elements of lists have no key.
    pub fn key_span(&self, path: &[&str]) -> Option<Span> {
        self.find(path)?.key.clone()
    }

    /// Where the value at `path` was written last.
    pub fn value_span(&self, path: &[&str]) -> Option<Span> {
        Some(self.find(path)?.place.clone())
    }

    /// A manifest error saying `message` that underlines the entry at `path`.
    ///
    /// Paths may hold indices of lists. Where nothing is written at `path`, the entry above it is
    /// underlined; where nothing is written there either, the start of the experiment's own file.
    pub fn blame<S: AsRef<str>>(&self, path: &[S], at: At, message: impl Into<String>) -> Error {
        self.point(Error::manifest(message), path, at, "here")
    }

    /// Adds to `error` a line under the entry at `path`, with a `label`.
    pub fn point<S: AsRef<str>>(&self, error: Error, path: &[S], at: At, label: impl Into<String>) -> Error {
        for len in (1..=path.len()).rev() {
            if let Some(node) = self.find(&path[..len]) {
                let whole = at == At::Key || len < path.len();
                return self.underline(error, if whole { node.name() } else { &node.place }, label);
            }
        }
        match self.layers.iter().find(|layer| layer.place.file == 0) {
            Some(root) => self.underline(error, &root.place, label),
            None => error,
        }
    }

    /// Adds to `error` a line under `span`, with a `label`.
    pub(super) fn underline(&self, error: Error, span: &Span, label: impl Into<String>) -> Error {
        let (name, text) = self.file(span);
        error.at(name, text, span.range.clone(), label)
    }

    /// An error saying that the value at `path` is not as `wanted`.
    pub(super) fn refuse<S: AsRef<str>>(&self, path: &[S], wanted: &str) -> Error {
        let error = Error::manifest(format!("`{}` must be {wanted}", dotted(path)));
        self.point(error, path, At::Value, format!("not {wanted}"))
    }
}

//! The texts of a manifest, and errors that underline a token in one of these texts.
//!
//! A manifest is made of layers: the files that it extends, the file itself, `--set` strings and the values
//! of a sweep's axes. The value of an entry comes from the last layer that sets the entry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dotted_key::format_dotted_key;
use super::paths::{PathStyle, portable_path, resolve_path};
use super::schema_tree::SchemaNode;
use super::spanned_value::{Content, Span, SpannedValue, SyntaxError};
use super::structure;
use dtr_core::error::{Error, Result};

/// The part of an entry that an error underlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// The text of one layer: a file, a `--set` string or the value of an axis.
#[derive(Debug)]
struct SourceFile {
    name: String,
    text: String,
    folder: PathBuf,
}

/// The layers of a manifest, and the texts of these layers. A later layer overrides an earlier layer.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    /// The experiment's own file comes first, then the files that it extends, the `--set` strings, and axis
    /// values.
    files: Vec<Arc<SourceFile>>,
    layers: Vec<SpannedValue>,
    path_style: PathStyle,
}

impl SourceMap {
    /// Creates a map without texts. Paths in its layers will get the style `path_style`.
    pub(super) fn new(path_style: PathStyle) -> Self {
        Self { path_style, ..Self::default() }
    }

    /// Returns the style of the paths in the layers.
    pub(super) fn path_style(&self) -> PathStyle {
        self.path_style
    }

    /// Adds an unparsed text, and returns the text's index. Relative paths in the text start from `folder`.
    pub(super) fn add_file(&mut self, name: &str, text: String, folder: &Path) -> usize {
        self.files.push(Arc::new(SourceFile { name: name.to_owned(), text, folder: folder.to_owned() }));
        self.files.len() - 1
    }

    /// Parses the text with index `file`.
    pub(super) fn parse(&self, file: usize) -> Result<SpannedValue> {
        SpannedValue::parse(&self.files[file].text, file).map_err(|error| self.syntax_error(file, error))
    }

    fn syntax_error(&self, file: usize, error: SyntaxError) -> Error {
        let message = format!("cannot read `{}`: {}", self.files[file].name, error.message);
        self.underline_span(Error::manifest(message), &Span { file, range: error.range }, "here")
    }

    /// Checks the structure of `layer` and adds it as the last layer.
    pub(super) fn push_layer(&mut self, mut layer: SpannedValue) -> Result<()> {
        structure::check(&layer, self)?;
        self.resolve_paths(&mut layer, SchemaNode::manifest());
        for earlier in &mut self.layers {
            SchemaNode::manifest().remove_replaced_alternatives(earlier, &layer);
        }
        self.layers.push(layer);
        Ok(())
    }

    /// Resolves each relative path in `value` against the folder of the file that contains the path.
    fn resolve_paths(&self, value: &mut SpannedValue, schema: &SchemaNode) {
        match (&mut value.content, schema) {
            (Content::String(path), SchemaNode::Path) => {
                let folder = &self.files[value.span.file].folder;
                *path = match self.path_style {
                    PathStyle::Local => resolve_path(folder, path),
                    PathStyle::Portable => portable_path(folder, path),
                };
            }
            (Content::Table(table), _) => {
                for (key, value) in table {
                    if let Some(schema) = schema.child(key) {
                        self.resolve_paths(value, schema);
                    }
                }
            }
            (Content::List(list), _) => {
                for (index, value) in list.iter_mut().enumerate() {
                    if let Some(schema) = schema.child(&index.to_string()) {
                        self.resolve_paths(value, schema);
                    }
                }
            }
            _ => {}
        }
    }

    /// Returns the layers. A later layer overrides an earlier layer.
    pub(super) fn layers(&self) -> &[SpannedValue] {
        &self.layers
    }

    /// Finds the value at `path` in the last layer that sets this value.
    pub(super) fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&SpannedValue> {
        self.layers.iter().rev().find_map(|layer| layer.find(path))
    }

    /// Returns the path in `paths` whose entry is set by the latest layer. If that layer sets several of
    /// these entries, returns the first path.
    pub(super) fn last_set_path<'a, 'p>(&self, paths: &[&'a [&'p str]]) -> &'a [&'p str] {
        let written = |path: &[&str]| self.layers.iter().rposition(|layer| layer.find(path).is_some());
        paths.iter().rev().max_by_key(|path| written(path)).copied().unwrap_or_default()
    }

    /// Returns the name and the text of the file that `span` points into.
    pub fn file(&self, span: &Span) -> (&str, &str) {
        let file = &self.files[span.file];
        (&file.name, &file.text)
    }

    /// Returns the token at `span`.
    pub(super) fn token(&self, span: &Span) -> &str {
        self.file(span).1.get(span.range.clone()).unwrap_or_default()
    }

    /// Returns the location of the key of the entry at `path`. Elements of lists have no key.
    pub fn key_span(&self, path: &[&str]) -> Option<Span> {
        self.find(path)?.key_span.clone()
    }

    /// Returns the location of the value at `path`.
    pub fn value_span(&self, path: &[&str]) -> Option<Span> {
        Some(self.find(path)?.span.clone())
    }

    /// Creates a manifest error with `message`. The error underlines the entry at `path`.
    pub fn error_at<S: AsRef<str>>(&self, path: &[S], part: EntryPart, message: impl Into<String>) -> Error {
        self.underline_entry(Error::manifest(message), path, part, "here")
    }

    /// Makes `error` underline the entry at `path`, with a `label`.
    ///
    /// In `path`, the key of a list element is its index. If no layer sets the entry, the error underlines
    /// the nearest table above the entry. If no layer sets such a table, the error points to the first key of
    /// the experiment's own file.
    pub fn underline_entry<S: AsRef<str>>(
        &self,
        error: Error,
        path: &[S],
        part: EntryPart,
        label: impl Into<String>,
    ) -> Error {
        for length in (1..=path.len()).rev() {
            if let Some(value) = self.find(&path[..length]) {
                let is_key = part == EntryPart::Key || length < path.len();
                return self.underline_span(
                    error,
                    if is_key { value.key_or_value_span() } else { &value.span },
                    label,
                );
            }
        }
        match self.layers.iter().find(|layer| layer.span.file == 0) {
            Some(root) => self.underline_span(error, &root.span, label),
            None => error,
        }
    }

    /// Makes `error` underline `span`, with a `label`.
    pub(super) fn underline_span(&self, error: Error, span: &Span, label: impl Into<String>) -> Error {
        let (name, text) = self.file(span);
        error.with_span(name, text, span.range.clone(), label)
    }

    /// Creates the error "`PATH` must be REQUIREMENT", which underlines the value.
    pub(super) fn value_error<S: AsRef<str>>(&self, path: &[S], requirement: &str) -> Error {
        let error = Error::manifest(format!("`{}` must be {requirement}", format_dotted_key(path)));
        self.underline_entry(error, path, EntryPart::Value, format!("not {requirement}"))
    }
}

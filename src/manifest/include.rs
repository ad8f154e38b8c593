//! Reads the layers of a manifest: the files that it extends, the file itself, and the `--set` strings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::paths::{PathStyle, portable_path, resolve_path};
use super::source_map::SourceMap;
use super::spanned_value::{Content, Span, SpannedValue};
use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_up_to;

/// The maximum size of a manifest file, in bytes. Real manifests have a few thousand bytes.
const MAX_FILE_BYTES: u64 = 1 << 24;

/// The maximum length of a chain of files, in which each file extends the next file. This maximum limits
/// recursion.
const MAX_CHAIN_FILES: usize = 32;

/// Reads the files that the manifest at `path` extends, the manifest itself, and the `--set` strings `sets`.
/// Each layer overrides all earlier layers. Paths in the layers get the style `style`.
pub(super) fn read_manifest_layers(path: &Path, sets: &[String], style: PathStyle) -> Result<SourceMap> {
    let mut reader = LayerReader { sources: SourceMap::new(style), ..LayerReader::default() };
    reader.read(path, Path::new(""), None)?;
    let mut sources = reader.sources;
    for set in sets {
        let layer = parse_set(set, &mut sources)?;
        sources.push_layer(layer)?;
    }
    Ok(sources)
}

/// A parsed file. The reader is still reading the files that this file extends.
struct OpenFile {
    canonical_path: PathBuf,
    name: String,
}

#[derive(Default)]
struct LayerReader {
    sources: SourceMap,
    open_files: Vec<OpenFile>,
    seen: BTreeSet<PathBuf>,
}

impl LayerReader {
    /// Reads the files that the file at `path` extends, then the file itself. `portable_folder` is the folder
    /// of the file, relative to the folder of the manifest. `entry` is the entry of `extends` that names
    /// `path`.
    ///
    /// A file that several files extend is read only the first time. If such a file were read again, its
    /// values would override the values of files that were read in between.
    fn read(&mut self, path: &Path, portable_folder: &Path, entry: Option<&Span>) -> Result<()> {
        let name = path.display().to_string();
        let canonical_path =
            fs::canonicalize(path).map_err(|source| self.unreadable_error(path, entry, source))?;
        if let Some(start) = self.open_files.iter().position(|file| file.canonical_path == canonical_path) {
            return Err(self.cycle_error(start, &name, entry));
        }
        if !self.seen.insert(canonical_path.clone()) {
            return Ok(());
        }
        if self.open_files.len() == MAX_CHAIN_FILES {
            return Err(self.chain_too_long_error(&name, entry));
        }
        let text = read_text_up_to(path, MAX_FILE_BYTES)
            .map_err(|source| self.unreadable_error(path, entry, source))?;
        // Use `\n` for all line ends. Multi-line strings contain line ends, which editors and Git can change.
        let text = text.replace("\r\n", "\n");
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = match self.sources.path_style() {
            PathStyle::Local => self.sources.add_file(&name, text, folder),
            PathStyle::Portable => self.sources.add_file(&name, text, portable_folder),
        };
        let layer = self.sources.parse(file)?;
        self.open_files.push(OpenFile { canonical_path, name });
        for (base, span) in extended_files(&layer, &self.sources)? {
            let portable = PathBuf::from(portable_path(portable_folder, base));
            let portable_folder = portable.parent().unwrap_or(Path::new(""));
            self.read(Path::new(&resolve_path(folder, base)), portable_folder, Some(span))?;
        }
        self.open_files.pop();
        self.sources.push_layer(layer)
    }

    fn unreadable_error(&self, path: &Path, entry: Option<&Span>, source: std::io::Error) -> Error {
        match entry {
            None => Error::io("read", path, source),
            Some(span) => {
                let error = Error::manifest(format!("cannot read `{}`", path.display())).with_source(source);
                self.sources.underline_span(error, span, "named here")
            }
        }
    }

    fn chain_too_long_error(&self, name: &str, entry: Option<&Span>) -> Error {
        let message = format!("`{name}` makes the chain of `extends` longer than {MAX_CHAIN_FILES} files");
        let error = Error::manifest(message).hint("list several files in one `extends`");
        match entry {
            Some(span) => self.sources.underline_span(error, span, "one too many"),
            None => error,
        }
    }

    fn cycle_error(&self, start: usize, name: &str, entry: Option<&Span>) -> Error {
        let chain: Vec<&str> =
            self.open_files[start..].iter().map(|file| file.name.as_str()).chain([name]).collect();
        let error = Error::manifest(format!("`{name}` extends itself")).hint(chain.join(" -> "));
        match entry {
            Some(span) => self.sources.underline_span(error, span, "closes the cycle"),
            None => error,
        }
    }
}

/// Returns the files that a layer extends, with the spans of their names.
fn extended_files<'a>(layer: &'a SpannedValue, sources: &SourceMap) -> Result<Vec<(&'a str, &'a Span)>> {
    let wrong_type = |value: &SpannedValue| {
        let error =
            Error::manifest("`extends` takes a list of file names").hint("write `extends = [\"base.toml\"]`");
        sources.underline_span(error, &value.span, format!("this is {}", value.kind()))
    };
    let Some(value) = layer.find(&["extends"]) else { return Ok(Vec::new()) };
    let Content::List(list) = &value.content else { return Err(wrong_type(value)) };
    let file_name = |value: &'a SpannedValue| match &value.content {
        Content::String(name) => Ok((name.as_str(), &value.span)),
        _ => Err(wrong_type(value)),
    };
    list.iter().map(file_name).collect()
}

/// Parses a `--set` string, `path=TOML`, as a layer.
fn parse_set(set: &str, sources: &mut SourceMap) -> Result<SpannedValue> {
    let file = sources.add_file("--set", set.to_owned(), Path::new(""));
    let layer = sources.parse(file).map_err(|error| error.hint(suggest_quotes(set)))?;
    if let Some(extends) = layer.find(&["extends"]) {
        let error = Error::manifest("`--set` cannot change `extends`");
        return Err(sources.underline_span(
            error,
            extends.key_or_value_span(),
            "only a file can have `extends`",
        ));
    }
    let is_one = matches!(&layer.content, Content::Table(table) if table.len() == 1);
    if !is_one || set.trim_start().starts_with('[') {
        let span = Span { file, range: 0..set.len() };
        let error = Error::manifest("`--set` takes one `path=value`").hint(SET_EXAMPLE);
        return Err(sources.underline_span(error, &span, "not of this form"));
    }
    Ok(layer)
}

const SET_EXAMPLE: &str =
    "write for example `--set distil.batch-size=16` or `--set 'distil.token-budget=\"1M\"'`";

/// Returns a hint for a `--set` string that is not TOML. If quotes around the value make the string TOML, the
/// hint shows the string with quotes. If not, the hint shows an example.
fn suggest_quotes(set: &str) -> String {
    let quoted = set.split_once('=').map(|(key, value)| format!("{key}=\"{value}\""));
    match quoted.filter(|quoted| SpannedValue::parse(quoted, 0).is_ok()) {
        Some(quoted) => format!("quote the string, and quote it again for the shell: `--set '{quoted}'`"),
        None => SET_EXAMPLE.to_owned(),
    }
}

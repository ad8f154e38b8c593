//! The layers of a manifest, lowest first: the files that it extends, the file, the `--set` strings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::node::{Node, Span, Value};
use super::paths::join;
use super::spans::Sources;
use dtr_core::error::{Error, Result};
use dtr_core::files::read_text_up_to;

/// The longest file that is read, in bytes; manifests have a few thousand.
const LONGEST_FILE: u64 = 1 << 24;

/// How many files may extend one another in a row; recursion stays far from the stack's end.
const LONGEST_CHAIN: usize = 32;

/// Reads the manifest at `path`, all that it extends, and `sets` over it.
pub(super) fn gather(path: &Path, sets: &[String]) -> Result<Sources> {
    let mut walk = Walk::default();
    walk.visit(path, None)?;
    let mut sources = walk.sources;
    for set in sets {
        let layer = read_set(set, &mut sources)?;
        sources.push(layer)?;
    }
    Ok(sources)
}

/// A file that is being read, with the bases it names still to come.
struct Open {
    file: PathBuf,
    name: String,
}

#[derive(Default)]
struct Walk {
    sources: Sources,
    open: Vec<Open>,
    done: BTreeSet<PathBuf>,
}

impl Walk {
    /// Reads the file at `path`, which the entry at `named` asked for, after the files it extends.
    ///
    /// A file that several others extend counts once, where it comes first: else it would undo what
    /// the first of them says over it.
    fn visit(&mut self, path: &Path, named: Option<&Span>) -> Result<()> {
        let name = path.display().to_string();
        let file = fs::canonicalize(path).map_err(|cause| self.unread(path, named, cause))?;
        if let Some(start) = self.open.iter().position(|open| open.file == file) {
            return Err(self.circle(start, &name, named));
        }
        if !self.done.insert(file.clone()) {
            return Ok(());
        }
        if self.open.len() == LONGEST_CHAIN {
            return Err(self.too_long(&name, named));
        }
        let text = read_text_up_to(path, LONGEST_FILE).map_err(|cause| self.unread(path, named, cause))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let number = self.sources.add_file(&name, text, folder);
        let layer = self.sources.parse(number)?;
        self.open.push(Open { file, name });
        for (base, span) in bases(&layer, &self.sources)? {
            self.visit(Path::new(&join(folder, base)), Some(span))?;
        }
        self.open.pop();
        self.sources.push(layer)
    }

    fn unread(&self, path: &Path, named: Option<&Span>, cause: std::io::Error) -> Error {
        match named {
            None => Error::io("read", path, cause),
            Some(span) => {
                let error = Error::manifest(format!("cannot read `{}`", path.display())).with_source(cause);
                self.sources.underline(error, span, "named here")
            }
        }
    }

    fn too_long(&self, name: &str, named: Option<&Span>) -> Error {
        let error = Error::manifest(format!("`{name}` is extended over more than {LONGEST_CHAIN} files"))
            .hint("name the files beside one another: `extends` takes several");
        match named {
            Some(span) => self.sources.underline(error, span, "one too many"),
            None => error,
        }
    }

    fn circle(&self, start: usize, name: &str, named: Option<&Span>) -> Error {
        let chain: Vec<&str> =
            self.open[start..].iter().map(|open| open.name.as_str()).chain([name]).collect();
        let error = Error::manifest(format!("`{name}` extends itself")).hint(chain.join(" -> "));
        match named {
            Some(span) => self.sources.underline(error, span, "closes the circle"),
            None => error,
        }
    }
}

/// The files that a layer extends, and where it says so.
fn bases<'a>(layer: &'a Node, sources: &Sources) -> Result<Vec<(&'a str, &'a Span)>> {
    let wrong = |node: &Node| {
        let error =
            Error::manifest("`extends` takes a list of file names").hint("write `extends = [\"base.toml\"]`");
        sources.underline(error, &node.place, format!("this is {}", node.kind()))
    };
    let Some(node) = layer.find(&["extends"]) else { return Ok(Vec::new()) };
    let Value::List(list) = &node.value else { return Err(wrong(node)) };
    let name = |node: &'a Node| match &node.value {
        Value::String(base) => Ok((base.as_str(), &node.place)),
        _ => Err(wrong(node)),
    };
    list.iter().map(name).collect()
}

/// Reads `path=TOML` as a layer of its own.
fn read_set(set: &str, sources: &mut Sources) -> Result<Node> {
    let file = sources.add_file("--set", set.to_owned(), Path::new(""));
    let layer = sources.parse(file).map_err(|error| error.hint(remedy(set)))?;
    if let Some(extends) = layer.find(&["extends"]) {
        let error = Error::manifest("`--set` cannot change `extends`");
        return Err(sources.underline(error, extends.name(), "only a file extends others"));
    }
    let is_one = matches!(&layer.value, Value::Table(table) if table.len() == 1);
    if !is_one || set.trim_start().starts_with('[') {
        let whole = Span { file, range: 0..set.len() };
        let error = Error::manifest("`--set` takes one `path=value`").hint(EXAMPLE);
        return Err(sources.underline(error, &whole, "not of this form"));
    }
    Ok(layer)
}

const EXAMPLE: &str = "for example `--set distil.batch-size=16`, or `--set 'distil.token-budget=\"1M\"'`";

/// The quoting that would make a `--set` string TOML, where that is what it lacks.
fn remedy(set: &str) -> String {
    let quoted = set.split_once('=').map(|(key, value)| format!("{key}=\"{value}\""));
    match quoted.filter(|quoted| Node::parse(quoted, 0).is_ok()) {
        Some(quoted) => {
            format!("a string is quoted, and the quotes hidden from the shell: `--set '{quoted}'`")
        }
        None => EXAMPLE.to_owned(),
    }
}

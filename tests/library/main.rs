//! Bad manifests, model directories and data: each is refused with an error that names the file and the place, none
//! panics, and nothing is written.

mod data;
mod headers;
mod manifests;
mod models;
mod mutations;
mod parquet;
mod program;
mod templates;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use dtr_core::error::{Error, Kind, Result};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// The longest error that people still read, in bytes; a line of a manifest is shown with it.
const LONGEST_MESSAGE: usize = 4_000;

/// A folder of the files of one case.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Counts cases and collects what is wrong with their answers, so that one run shows all.
#[derive(Default)]
struct Cases {
    count: usize,
    wrong: Vec<String>,
}

impl Cases {
    /// `attempt` must be refused, for the manifest or the files, by an error that says all of `names`.
    fn refused<T>(&mut self, what: &str, names: &[&str], attempt: impl FnOnce() -> Result<T>) {
        self.count += 1;
        match catch_unwind(AssertUnwindSafe(attempt)) {
            Err(_) => self.wrong.push(format!("{what}: panicked")),
            Ok(Ok(_)) => self.wrong.push(format!("{what}: accepted")),
            Ok(Err(error)) => self.judge(what, names, &error),
        }
    }

    fn judge(&mut self, what: &str, names: &[&str], error: &Error) {
        let shown = shown(error);
        if !matches!(error.kind(), Kind::Manifest | Kind::Environment) {
            self.wrong.push(format!("{what}: is {:?}: {shown}", error.kind()));
        }
        if shown.len() > LONGEST_MESSAGE {
            self.wrong.push(format!("{what}: says {} bytes", shown.len()));
        }
        for name in names.iter().filter(|name| !shown.contains(**name)) {
            self.wrong.push(format!("{what}: does not say `{name}`: {shown}"));
        }
    }

    /// All were refused as they must be, and there were `least` of them.
    fn end(self, least: usize) {
        assert!(self.wrong.is_empty(), "{} of {}:\n{}", self.wrong.len(), self.count, self.wrong.join("\n"));
        assert!(self.count >= least, "{} cases, and {least} are promised", self.count);
        println!("{} cases", self.count);
    }
}

/// The error as `main` shows it, without colours and frames.
fn shown(error: &Error) -> String {
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_wrap_lines(false);
    let mut text = String::new();
    handler.render_report(&mut text, error).unwrap();
    text
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

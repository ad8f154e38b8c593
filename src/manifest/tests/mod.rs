//! Tests of loading manifests.

mod bundled;
mod error_messages;
mod error_snapshots;
mod merging;
mod overrides;
mod random_manifests;
mod ranges;

use std::path::{Path, PathBuf};

use miette::Diagnostic;

use super::{LoadedManifest, load_manifest};
use dtr_core::error::{Error, Result};

/// A base file with models, variants and tasks.
const BASE: &str = r#"[models.mini]
source = { path = "models/mini" }
[models.new.source.pretrain]
hidden-size = 64
intermediate-size = 128
num-layers = 2
num-heads = 4
num-kv-heads = 2
head-dim = 16
[variants.gla]
block = { gla = {} }
[variants.gdn]
block = { gdn = { conv-size = 4 } }
[tasks.recall]
source = { synthetic = { kind = "recall" } }
[tasks.facts]
source = { synthetic = { kind = "facts" } }
"#;

/// The first lines of an experiment that extends [`BASE`].
const HEAD: &str = "extends = [\"base.toml\"]\nname = \"try\"\n";

/// A sweep over the definitions of [`BASE`].
const SWEEP: &str = "[sweep]\nmodel = [\"mini\"]\nvariant = [\"gla\"]\ntask = [\"recall\"]\n";

/// A temporary folder of manifests.
struct Folder(tempfile::TempDir);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("cannot create a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            let parent = path.parent().expect("the path has no parent");
            std::fs::create_dir_all(parent).expect("cannot create the folder");
            std::fs::write(path, text).expect("cannot write the file");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, name: &str, sets: &[&str]) -> Result<LoadedManifest> {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        load_manifest(&self.path(name), &sets)
    }
}

/// Loads the experiment `text` from a folder that also holds [`BASE`].
fn load_text(text: &str) -> Result<LoadedManifest> {
    Folder::of(&[("base.toml", BASE), ("main.toml", text)]).load("main.toml", &[])
}

/// Returns the name of the underlined file and the underlined token.
fn underlined(error: &Error) -> (String, String) {
    let label = error.labels().and_then(|mut labels| labels.next()).expect("the error underlines nothing");
    let source = error.source_code().expect("the error has no text");
    let contents = source.read_span(label.inner(), 0, 0).expect("the span is outside the text");
    let skipped = label.offset() - contents.span().offset();
    let token = &contents.data()[skipped..skipped + label.len()];
    let path = Path::new(contents.name().expect("the text has no name"));
    let name = path.file_name().expect("the text has no file name");
    (name.to_string_lossy().into_owned(), String::from_utf8_lossy(token).into_owned())
}

fn hint(error: &Error) -> String {
    error.help().map(|hint| hint.to_string()).unwrap_or_default()
}

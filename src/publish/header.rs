//! The header of an archive: the manifest, the identities of its inputs, and the versions of the stages.
//!
//! The manifest is portable: all defaults are filled in, and paths are relative to the manifest's folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::{Manifest, ReportConfig};
use crate::plan::{Plan, compare_json};
use crate::stages::{InputIdentities, STAGES};
use crate::store::StageName;
use dtr_core::error::{Error, Result};

/// The format of the archives that this program writes and reads.
const FORMAT: u32 = 1;

/// The number of differences that an error lists.
const MAX_LISTED: usize = 5;

/// The longest listed difference, in characters.
const MAX_LISTED_CHARS: usize = 160;

/// The header of an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    /// The version of the program that wrote the archive.
    program: String,
    /// The version of each stage's algorithm. The keys of cells depend on these versions.
    versions: BTreeMap<StageName, u32>,
    /// The portable manifest.
    manifest: Manifest,
    /// The identities of the files that the manifest names.
    pub(super) identities: InputIdentities,
}

impl Header {
    /// Creates the header for the plan of a portable manifest.
    pub(super) fn new(manifest: Manifest, plan: &Plan) -> Self {
        Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            versions: stage_versions(),
            manifest,
            identities: plan.identities.clone(),
        }
    }

    /// Checks that this program computes the same keys as the program that wrote the archive at `path`.
    ///
    /// # Errors
    /// Fails if the format or the version of a stage differs from this program's. Also fails if the header
    /// holds a model shape with a value out of range.
    pub(super) fn ensure_readable(&self, path: &Path) -> Result<()> {
        let refuse = |reason: String| {
            Error::environment(format!("cannot read `{}`: {reason}", path.display())).hint(format!(
                "use the dtr that wrote it, which has version {}, or publish the results again",
                shorten(&self.program)
            ))
        };
        if self.format != FORMAT {
            return Err(refuse(format!("it has format {}, and this dtr reads {FORMAT}", self.format)));
        }
        let versions = stage_versions();
        // A stage that is younger than the archive has no records there.
        for (stage, published) in &self.versions {
            let version = versions.get(stage);
            if version != Some(published) {
                let version =
                    version.map_or("no such stage".to_owned(), |version| format!("version {version}"));
                return Err(refuse(format!(
                    "its stage `{stage}` has version {published}, and this dtr has {version}"
                )));
            }
        }
        self.identities.ensure_valid().map_err(|error| refuse(error.to_string()))
    }

    /// Checks that the portable manifest `current` declares the same cells as the manifest of the archive at
    /// `path`.
    ///
    /// # Errors
    /// Fails if values differ. The error lists these values.
    pub(super) fn ensure_same_manifest(&self, path: &Path, current: &Manifest) -> Result<()> {
        let changes = compare_json(&compared_values(&self.manifest), &compared_values(current));
        if changes.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> =
            changes.iter().take(MAX_LISTED).map(|change| shorten(&change.to_line())).collect();
        if changes.len() > MAX_LISTED {
            lines.push(format!("{} more", changes.len() - MAX_LISTED));
        }
        let path = path.display();
        Err(Error::manifest(format!("the manifest differs from the one in `{path}`: {}", lines.join("; ")))
            .hint("use the published manifest, or name your own results with `--results`"))
    }
}

/// Returns the version of each stage of this program.
fn stage_versions() -> BTreeMap<StageName, u32> {
    STAGES.iter().map(|stage| (stage.name.clone(), stage.version)).collect()
}

/// Returns the values of a manifest that decide its cells.
///
/// The files in `extends` contain definitions for many experiments. So this function leaves out the models,
/// variants and tasks that neither the sweep nor its students use. It also leaves out `extends`, the question
/// and `[report]`, because they change no result.
fn compared_values(manifest: &Manifest) -> Value {
    let mut manifest = manifest.clone();
    let sweep = manifest.sweep.clone();
    let teacher = manifest.checkpoint_distil.teacher.clone();
    manifest.models.retain(|name, _| sweep.model.contains(name) || teacher.as_ref() == Some(name));
    manifest.variants.retain(|name, _| sweep.variant.contains(name));
    manifest.tasks.retain(|name, _| sweep.task.contains(name));
    manifest.extends = Vec::new();
    manifest.question = None;
    manifest.report = ReportConfig::default();
    serde_json::to_value(manifest).expect("a manifest is plain JSON")
}

/// Shortens a text that is too long for a message.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_LISTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load_portable_manifest;

    fn header() -> Header {
        Header {
            format: FORMAT,
            program: "0.1.0".to_owned(),
            versions: stage_versions(),
            manifest: quickstart(&[]),
            identities: InputIdentities::default(),
        }
    }

    fn quickstart(sets: &[&str]) -> Manifest {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        load_portable_manifest(Path::new("experiments/quickstart.toml"), &sets).unwrap()
    }

    fn refusal(sets: &[&str]) -> Option<String> {
        let error = header().ensure_same_manifest(Path::new("x.jsonl.xz"), &quickstart(sets)).err()?;
        Some(error.to_string())
    }

    #[test]
    fn a_header_reads_back_and_accepts_its_own_manifest() {
        let json = serde_json::to_string(&header()).unwrap();
        let read: Header = serde_json::from_str(&json).unwrap();
        assert_eq!(read.manifest, quickstart(&[]));
        read.ensure_readable(Path::new("x")).unwrap();
        read.ensure_same_manifest(Path::new("x"), &quickstart(&[])).unwrap();
    }

    #[test]
    fn every_value_that_decides_a_cell_is_compared() {
        for (set, named) in [
            ("distil.seed=5", "distil.seed: 0 -> 5"),
            ("distil.token-budget=\"1M\"", "distil.token-budget"),
            ("sweep.task=[\"recall\"]", "sweep.task"),
            ("search.stop={ never = {} }", "search.stop"),
            ("models.mini.source.path=\"models/other\"", "models/other"),
            ("name=\"other\"", "name: \"quickstart\" -> \"other\""),
        ] {
            let message = refusal(&[set]).unwrap_or_else(|| panic!("{set} is accepted"));
            assert!(message.contains(named) && message.contains("x.jsonl.xz"), "{message}");
        }
    }

    #[test]
    fn values_that_change_no_result_are_not_compared() {
        for set in [
            "question=\"Why?\"",
            "report.confidence=0.9",
            "tasks.unused={ source = { synthetic = { kind = \"recall\" } } }",
        ] {
            assert_eq!(refusal(&[set]), None, "{set}");
        }
    }

    #[test]
    fn an_archive_of_another_version_is_refused() {
        let refusal = |header: Header| header.ensure_readable(Path::new("x")).unwrap_err().to_string();
        assert!(refusal(Header { format: 2, ..header() }).contains("format 2"));
        let mut other = header();
        *other.versions.get_mut(&StageName::new("distil")).unwrap() += 1;
        assert!(refusal(other).contains("stage `distil` has version"));
        let mut newer = header();
        newer.versions.insert(StageName::new("other"), 1);
        assert!(refusal(newer).contains("this dtr has no such stage"));
    }

    #[test]
    fn an_archive_from_before_a_stage_is_read() {
        let mut older = header();
        older.versions.pop_last();
        older.ensure_readable(Path::new("x")).unwrap();
    }
}

//! `dtr schema`: writes the JSON schema of manifests and the descriptions of table columns. Also writes the
//! pages of the manual that are generated from this schema and these descriptions.

use std::path::PathBuf;

use clap::Args;

use crate::manifest::{experiment_schema, manifest_reference};
use crate::report::{columns_json, columns_markdown};
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;

/// Write the JSON schemas and the generated pages of the manual, or check that they are current.
#[derive(Args)]
pub struct SchemaCommand {
    /// Directory with the folders `schemas/` and `docs/`.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Write nothing; fail if a file differs from the generated text.
    #[arg(long)]
    check: bool,
}

impl SchemaCommand {
    pub(super) fn run(self) -> Result<u8> {
        let files = [
            ("schemas/experiment.json", to_pretty_json(experiment_schema())),
            ("schemas/columns.json", to_pretty_json(&columns_json())),
            ("docs/manifest.md", manifest_reference()),
            ("docs/columns.md", columns_markdown()),
        ];
        for (name, text) in files {
            let path = self.directory.join(name);
            if !self.check {
                write_bytes_atomically(&path, text.as_bytes())?;
                println!("{}", path.display());
            } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                return Err(Error::failed(format!("`{}` is not current", path.display()))
                    .hint("run `dtr schema` to update it"));
            }
        }
        Ok(0)
    }
}

fn to_pretty_json(value: &serde_json::Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).expect("a schema is plain JSON"))
}

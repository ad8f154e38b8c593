//! `dtr schema`: the JSON schema of manifests, and the columns of tables for programs and for people.

use std::path::PathBuf;

use clap::Args;

use crate::manifest::experiment_schema;
use crate::report::{columns_json, columns_markdown};
use dtr_core::error::{Error, Result};
use dtr_core::files::{create_folder, write_bytes_atomically};

/// Write `experiment.json`, `columns.json` and `columns.md`, or check that they are current.
#[derive(Args)]
pub struct Schema {
    /// Directory of schemas.
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    directory: PathBuf,
    /// Write nothing; fail if a file is not what would be written.
    #[arg(long)]
    check: bool,
}

impl Schema {
    pub(super) fn run(self) -> Result<u8> {
        let files = [
            ("experiment.json", pretty(&experiment_schema())),
            ("columns.json", pretty(&columns_json())),
            ("columns.md", columns_markdown()),
        ];
        for (name, text) in files {
            let path = self.directory.join(name);
            if !self.check {
                create_folder(&self.directory)?;
                write_bytes_atomically(&path, text.as_bytes())?;
                println!("{}", path.display());
            } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                return Err(Error::failed(format!("`{}` is not current", path.display()))
                    .hint("`dtr schema` writes it anew"));
            }
        }
        Ok(0)
    }
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).expect("a schema is plain JSON"))
}

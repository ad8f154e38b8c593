//! `dtr schema`: the JSON schema of manifests and the columns of tables.

use std::path::PathBuf;

use clap::Args;

use crate::error::{Error, Result};
use crate::files::{create_folder, write_bytes_atomically};
use crate::manifest::experiment_schema;
use crate::report::columns_json;

/// Write `experiment.json` and `columns.json`, or check that they are current.
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
        for (name, value) in [("experiment.json", experiment_schema()), ("columns.json", columns_json())] {
            let path = self.directory.join(name);
            let text = format!("{}\n", serde_json::to_string_pretty(&value).expect("a schema is plain JSON"));
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

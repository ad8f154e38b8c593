//! `dtr explain KEY`: all that is known of one cell.

use clap::Args;
use serde_json::Value;

use super::Results;
use crate::store::{Key, Lookup, Record, Stage, Store, read_events};
use dtr_core::error::{Error, Result};

/// Show what is known of one cell: its spec, inputs, result, provenance, log. Prints JSON.
#[derive(Args)]
pub struct Explain {
    /// The cell's key, or its first digits.
    key: String,
    #[command(flatten)]
    results: Results,
}

impl Explain {
    pub(super) fn run(self) -> Result<u8> {
        let store = self.results.store()?;
        let (stage, key) = self.resolve(&store)?;
        match store.find::<Value>(stage, &key)? {
            Lookup::Done(record) | Lookup::Failed(record) => print(&store, &record)?,
            Lookup::Corrupt { path, why } => {
                return Err(Error::environment(format!("`{}` is damaged: {why}", path.display()))
                    .hint("`dtr sweep` sets it aside and does the cell again"));
            }
            Lookup::Missing => {
                return Err(Error::manifest(format!("cell {} has no record", key.short()))
                    .hint(format!("its log is `{}`", store.layout().cell(stage, &key).events().display())));
            }
        }
        Ok(0)
    }

    /// The one cell whose key begins with the digits given.
    fn resolve(&self, store: &Store) -> Result<(Stage, Key)> {
        let mut matches = Vec::new();
        for stage in Stage::ALL {
            let cells = store.layout().cells(stage)?;
            matches.extend(cells.into_iter().map(|(key, _)| (stage, key)));
        }
        matches.retain(|(_, key)| key.to_string().starts_with(&self.key));
        match matches.as_slice() {
            [one] => Ok(*one),
            [] => Err(Error::manifest(format!("no cell's key begins with `{}`", self.key))
                .hint("`dtr plan MANIFEST` lists keys")),
            many => Err(Error::manifest(format!("{} cells' keys begin with `{}`", many.len(), self.key))
                .hint("give more digits")),
        }
    }
}

/// Prints the record, and the log beside it; one that cannot be read is only told of.
fn print(store: &Store, record: &Record<Value>) -> Result<()> {
    let mut told = serde_json::to_value(record).expect("a record that was read is JSON");
    match read_events(&store.layout().cell(record.stage, &record.key).events()) {
        Ok(log) => told["log"] = serde_json::json!(log),
        Err(error) => eprintln!("{}", error.to_line()),
    }
    super::print_json(&told);
    Ok(())
}

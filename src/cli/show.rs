//! `dtr show KEY`: prints the record and the log of one cell.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::ResultsArgs;
use crate::store::{CellEvent, CellId, Lookup, Outcome, Record, Store};
use dtr_core::error::{Error, Result};

/// Show one cell: its spec, inputs, result, provenance and log, as JSON.
#[derive(Args)]
pub struct ShowCommand {
    /// Key of the cell, or the first digits of the key.
    key: String,
    /// Print only the log, one line for each event. The cell may still be running, on any host.
    #[arg(long)]
    log: bool,
    #[command(flatten)]
    results: ResultsArgs,
}

impl ShowCommand {
    pub(super) fn run(self) -> Result<u8> {
        let (store, cell) = self.resolve()?;
        if self.log {
            store.read_events(&cell)?.iter().for_each(print_event);
            return Ok(0);
        }
        match store.find::<Value>(&cell)? {
            Lookup::Done(record) => print(&store, record.map(Outcome::Done)),
            Lookup::Failed(record) => print(&store, record.map(|error| Outcome::Failed { error })),
            Lookup::Corrupt { path, reason } => {
                return Err(Error::environment(format!("`{}` is damaged: {reason}", path.display()))
                    .hint("run `dtr sweep` to compute the cell again"));
            }
            Lookup::Missing => {
                return Err(Error::manifest(format!("{cell} has no record"))
                    .hint(format!("read its log with `dtr show {} --log`", cell.key.short())));
            }
        }
        Ok(0)
    }

    /// Returns the cell whose key begins with the given digits, and the store that has its record. Fails if
    /// no cell or several cells match.
    fn resolve(&self) -> Result<(Store, CellId)> {
        let mut matches: BTreeMap<CellId, Store> = BTreeMap::new();
        for store in self.results.stores()? {
            let cells = store.list_cells()?.into_iter();
            let matching = cells.filter(|cell| cell.key.to_string().starts_with(&self.key));
            matches.extend(matching.map(|cell| (cell, store.clone())));
        }
        let matches: Vec<(CellId, Store)> = matches.into_iter().collect();
        match matches.as_slice() {
            [(cell, store)] => Ok((store.clone(), cell.clone())),
            [] => Err(Error::manifest(format!("no cell's key begins with `{}`", self.key))
                .hint("run `dtr plan MANIFEST` to list keys")),
            many => {
                Err(Error::manifest(format!("the keys of {} cells begin with `{}`", many.len(), self.key))
                    .hint("give more digits"))
            }
        }
    }
}

/// Prints an event on one line: its time, host, process and job, and what happened.
fn print_event(event: &CellEvent) {
    let CellEvent { at, process, host, job, kind } = event;
    let host = host.as_deref().unwrap_or("-");
    let job = job.map(|job| format!(", job {job}")).unwrap_or_default();
    println!("{at}  {host}, process {process}{job}  {}", kind.to_line());
}

/// Prints a record, together with the log of its cell, as JSON. If the log cannot be read, reports the error
/// on standard error.
fn print(store: &Store, record: Record<Outcome<Value>>) {
    let events = store.read_events(&record.spec.id);
    let mut shown = serde_json::to_value(record).expect("a record that was read is JSON");
    match events {
        Ok(log) => shown["log"] = serde_json::json!(log),
        Err(error) => eprintln!("{}", error.to_line()),
    }
    super::print_json(&shown);
}

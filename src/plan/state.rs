//! Where a cell stands: what the store knows of it, and whether what it takes to be believed is there.
//!
//! A record alone is not enough: a base or twins want their files, and a search the scores that the
//! tables take from it.

use serde_json::Value;

use super::cells::Cell;
use crate::algorithms::score::ScoreResult;
use crate::stages::search::SearchResult;
use crate::store::{Lookup, Record, Stage, Store};
use dtr_core::error::Result;

/// How closely files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Whether they are there, at their length.
    Quick,
    /// Whether they have their digest, which reads them through.
    Full,
}

/// Where a cell stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellState {
    /// Its result is there.
    Done,
    /// It ended with this error.
    Failed(String),
    /// It ended, and what is left of it cannot be believed.
    Damaged(String),
    /// It never ended.
    Missing,
}

/// Where `cell` stands.
///
/// # Errors
/// When a file cannot be read, or a record is of a newer format.
pub fn cell_state(store: &Store, cell: &Cell, look: Check) -> Result<CellState> {
    match store.find::<Value>(cell.stage, &cell.key)? {
        Lookup::Missing => Ok(CellState::Missing),
        Lookup::Failed(record) => Ok(CellState::Failed(record.error().unwrap_or_default().to_owned())),
        Lookup::Corrupt { path, why } => {
            Ok(CellState::Damaged(format!("`{}` is damaged: {why}", path.display())))
        }
        Lookup::Done(record) => Ok(match damage(store, cell, &record, look)? {
            Some(why) => CellState::Damaged(why),
            None => CellState::Done,
        }),
    }
}

/// Why the result of a whole record cannot be used; none when it can.
fn damage(store: &Store, cell: &Cell, record: &Record<Value>, look: Check) -> Result<Option<String>> {
    if cell.stage == Stage::Search {
        return lost_score(store, cell);
    }
    let mut names = record.artifacts.keys().filter(|_| look == Check::Full);
    Ok(names.find_map(|name| store.artifact(record, name).err()).map(|error| error.message_with_sources()))
}

/// The score that a search names and that is not there.
fn lost_score(store: &Store, cell: &Cell) -> Result<Option<String>> {
    let Lookup::Done(record) = store.find::<SearchResult>(Stage::Search, &cell.key)? else {
        return Ok(Some("its record does not read as a search's".to_owned()));
    };
    let Some(result) = record.result() else { unreachable!("a record found done has a result") };
    for test in [&result.base_test, &result.best.test, &result.opt.test] {
        if !matches!(store.find::<ScoreResult>(Stage::Score, &test.cell)?, Lookup::Done(_)) {
            return Ok(Some(format!(
                "score cell {}, which it names, is missing or damaged",
                test.cell.short()
            )));
        }
    }
    Ok(None)
}

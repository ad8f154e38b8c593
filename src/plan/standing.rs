//! Where a cell stands: what the store knows of it, and whether what it takes to be believed is there.
//!
//! A record alone is not enough: a base or twins want their files, and a search the scores that the
//! tables take from it.

use serde_json::Value;

use super::cells::Cell;
use crate::error::Result;
use crate::store::{Found, Record, ScoreResult, SearchResult, Stage, Store};

/// How closely files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Whether they are there, at their length.
    Glance,
    /// Whether they have their digest, which reads them through.
    Through,
}

/// Where a cell stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
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
pub fn standing(store: &Store, cell: &Cell, look: Look) -> Result<Standing> {
    match store.find::<Value>(cell.stage, &cell.key)? {
        Found::Missing => Ok(Standing::Missing),
        Found::Failed(record) => Ok(Standing::Failed(record.error().unwrap_or_default().to_owned())),
        Found::Corrupt { path, why } => {
            Ok(Standing::Damaged(format!("`{}` is damaged: {why}", path.display())))
        }
        Found::Done(record) => Ok(match damage(store, cell, &record, look)? {
            Some(why) => Standing::Damaged(why),
            None => Standing::Done,
        }),
    }
}

/// Why the result of a whole record cannot be used; none when it can.
fn damage(store: &Store, cell: &Cell, record: &Record<Value>, look: Look) -> Result<Option<String>> {
    if cell.stage == Stage::Search {
        return lost_score(store, cell);
    }
    let mut names = record.artifacts.keys().filter(|_| look == Look::Through);
    Ok(names.find_map(|name| store.artifact(record, name).err()).map(|error| error.one_line()))
}

/// The score that a search names and that is not there.
fn lost_score(store: &Store, cell: &Cell) -> Result<Option<String>> {
    let Found::Done(record) = store.find::<SearchResult>(Stage::Search, &cell.key)? else {
        return Ok(Some("its record does not read as a search's".to_owned()));
    };
    let Some(result) = record.result() else { unreachable!("a record found done has a result") };
    for test in [&result.base_test, &result.best.test, &result.opt.test] {
        if !matches!(store.find::<ScoreResult>(Stage::Score, &test.cell)?, Found::Done(_)) {
            return Ok(Some(format!(
                "score cell {}, which it names, is missing or damaged",
                test.cell.short()
            )));
        }
    }
    Ok(None)
}

//! The results folder: which cells are done, their records, and the locks of the cells that run.
//!
//! A cell is one unit of cached work. Its [`Key`] is a digest of everything that decides its result, and of
//! nothing else. Its [`Record`] is written once, atomically, when the cell ends. A held [`Claim`] means that
//! a process works on the cell. The store runs no cell, and knows a stage only by its name.

mod audit;
mod cell_id;
mod cell_spec;
mod checksum;
mod claim;
mod events;
mod finite;
mod folders;
mod key;
mod lookup;
mod provenance;
mod prune;
mod record;
mod state;

pub use audit::{Audit, Fault};
pub use cell_id::{CellId, Inputs, StageName};
pub use cell_spec::CellSpec;
pub use claim::{Claim, NewRecord};
pub use events::{Event, EventKind, Events, read_events};
pub use folders::{CellFolder, ResultsFolder};
pub use key::{Key, key_of};
pub use lookup::{Lookup, Store};
pub use provenance::Provenance;
pub use prune::{Leftover, LeftoverKind};
pub use record::{Artifact, FORMAT, Outcome, Record};
pub use state::{CellState, Check};

/// Returns the current time in UTC, to the second, as RFC 3339.
fn now() -> String {
    let second = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(second).expect("a second of a timestamp is one").to_string()
}

#[cfg(test)]
mod test_store;

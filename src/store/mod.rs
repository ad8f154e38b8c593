//! The memory of the house: what cells are called, what became of them, and where that is written.
//!
//! A cell's [`Key`] is made of everything that decides its result and of nothing else. Its
//! [`Record`] is written once, whole, when the cell ends; a held [`Claim`] means that it is running
//! and nothing else does. The store runs nothing and does not know how a result comes about.

mod audit;
mod cell_spec;
mod claim;
mod draft;
mod envelope;
mod events;
mod finite;
mod key;
mod layout;
mod lookup;
mod provenance;
mod prune;
mod record;
mod stage;

pub use audit::{Audit, Fault};
pub use cell_spec::CellSpec;
pub use claim::Claim;
pub use draft::Draft;
pub use events::{Event, EventKind, Events, read_events};
pub use key::{Key, key_of};
pub use layout::{CellFolder, Layout};
pub use lookup::{Lookup, Store};
pub use provenance::Provenance;
pub use prune::Leftover;
pub use record::{Artifact, FORMAT, Outcome, Record};
pub use stage::Stage;

/// The time to the second: UTC, RFC 3339.
fn now() -> String {
    let second = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(second).expect("a second of a timestamp is one").to_string()
}

#[cfg(test)]
mod fixtures;

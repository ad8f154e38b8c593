//! The stage `search`: chooses which layers of a base to replace.

mod result;

pub use result::{Chosen, SearchResult, TestScore};

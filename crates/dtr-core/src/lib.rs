//! What every crate of `dtr` stands on: errors, files that are whole or absent, seeds, and guards round work that a
//! damaged or hostile file could crash or blow up.
//!
//! Nothing here knows of models or experiments.

#![warn(missing_docs)]

pub mod checkpoint;
pub mod count;
pub mod error;
pub mod files;
pub mod memory_guard;
pub mod seed;
pub mod template_limits;

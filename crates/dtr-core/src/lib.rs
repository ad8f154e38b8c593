//! What every crate of `dtr` builds on: the error type, atomic files, checkpoints, seeds, and limits on the work that
//! a damaged or hostile file can cause.
//!
//! Nothing here knows of models or experiments.

#![warn(missing_docs)]

pub mod checkpoint;
pub mod count;
pub mod error;
pub mod files;
pub mod memory_guard;
pub mod process;
pub mod seed;
pub mod template_limits;

//! Distill-then-Replace (arXiv 2601.11667) as declared experiments.
//!
//! Data goes one way: manifest -> plan -> run -> distil, search -> store -> report. ARCHITECTURE.md
//! names the storeys; a module looks down, never up.

pub mod error;
pub mod manifest;
pub mod seed;

//! Distill-then-Replace (arXiv 2601.11667) as declared experiments.
//!
//! Data goes one way: manifest -> plan -> runner -> distil, search -> store -> report. ARCHITECTURE.md
//! names the layers; a module looks down, never up.

#![warn(missing_docs)]

pub mod algorithms;
pub mod bench;
pub mod cli;
pub mod data;
pub mod device;
pub mod export;
pub mod hub;
pub mod manifest;
pub mod observer;
pub mod plan;
pub mod report;
pub mod resources;
pub mod runner;
pub mod scheduler;
pub mod stages;
pub mod stats;
pub mod store;
pub mod verify;

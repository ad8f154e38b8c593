//! Runs experiments with Distill-then-Replace (arXiv 2601.11667). This method distils a linear-attention
//! block from the attention of each layer of a language model. A search then selects the layers whose
//! attention these blocks replace.
//!
//! A manifest, a TOML file, declares each experiment.
//!
//! Data flows one way: manifest -> plan -> scheduler -> stages -> store -> report. ARCHITECTURE.md lists the
//! modules. A module uses only modules above it in that list.

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
pub mod publish;
pub mod report;
pub mod resources;
pub mod runner;
pub mod scheduler;
pub mod slurm;
pub mod stages;
pub mod stats;
pub mod store;
pub mod verify;

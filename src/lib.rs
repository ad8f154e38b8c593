//! Distill-then-Replace (arXiv 2601.11667) as declared experiments.
//!
//! Data goes one way: manifest -> plan -> run -> distil, search -> store -> report. ARCHITECTURE.md
//! names the storeys; a module looks down, never up.

pub mod bench;
pub mod bounded;
pub mod cli;
pub mod data;
pub mod device;
pub mod distil;
pub mod error;
pub mod export;
pub mod files;
pub mod generate;
pub mod hub;
pub mod manifest;
pub mod model;
pub mod observer;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod pretrain;
pub mod report;
pub mod requests;
pub mod run;
pub mod saving;
pub mod score;
pub mod sealed;
pub mod search;
pub mod seed;
pub mod sequences;
pub mod stats;
pub mod store;
pub mod throughput;
pub mod verify;

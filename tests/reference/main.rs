//! Comparisons with other implementations.
//!
//! Each module compares with a fixture that the Python script of the same name wrote into `tests/fixtures/`.
//! The module `corpora` reads a public corpus with a public tokenizer.

#[path = "../support/skipped.rs"]
mod skipped;

mod architectures;
mod blocks;
mod chat;
mod configs;
mod corpora;
mod statistics;
mod support;
mod tasks;
mod tokenizers;
mod values;

//! Comparisons with other implementations.
//!
//! Each module compares results with a fixture in `tests/fixtures/`, which the Python script of the same name
//! wrote. The module `corpora` has no fixture. It reads a public corpus with a public tokenizer.

#[path = "../support/skipped.rs"]
mod skipped;

mod architectures;
mod blocks;
mod chat;
mod configs;
mod corpora;
mod generation;
mod generative;
mod gguf;
mod logit_distillation;
mod statistics;
mod support;
mod tasks;
mod tokenizers;
mod value_texts;

//! Comparisons with other implementations.
//!
//! Most modules read a fixture in `tests/fixtures/` that the Python script with the module's name wrote. The
//! module `generative` reads a fixture of the crate `dtr-text`. The module `corpora` has no fixture: it reads
//! a public corpus with a public tokenizer.
//!
//! `docs/introduction.md` defines terms such as *base*, *twin*, *mask* and *cell*.

#[path = "../support/skipped.rs"]
mod skipped;

mod architectures;
mod blocks;
mod chat;
mod checkpoint_distillation;
mod configs;
mod corpora;
mod finetuning;
mod generation;
mod generative;
mod gguf;
mod logit_distillation;
mod statistics;
mod support;
mod tasks;
mod tokenizers;
mod value_texts;

//! This crate against other implementations. Each module compares with what the Python script of its name wrote
//! into `tests/fixtures/`; `corpora` packs a public text with a public tokenizer.

mod architectures;
mod blocks;
mod chat;
mod corpora;
mod statistics;
mod support;
mod tasks;
mod tokenizers;

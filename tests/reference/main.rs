//! This crate against other implementations. Each module compares with what the Python script of its name wrote
//! into `tests/fixtures/`.

mod architectures;
mod blocks;
mod chat;
mod support;
mod tasks;
mod texts;

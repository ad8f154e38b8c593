//! This crate against other implementations. Each module compares with what the Python script of its name wrote
//! into `tests/fixtures/`.

mod architectures;
mod blocks;
mod support;
mod tasks;
mod texts;

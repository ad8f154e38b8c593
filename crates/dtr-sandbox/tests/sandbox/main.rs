//! Tests of the sandbox: attacks, verdicts of programs, scores of scripts, and the sanitiser of code.
//!
//! `DTR_PYTHON` names the interpreter. Without it, the tests use `python3`.

#![cfg(target_os = "linux")]

mod attacks;
mod published;
mod sanitizer;
mod scripts;
#[path = "../../../../tests/support/skipped.rs"]
mod skipped;
mod support;
mod verdicts;

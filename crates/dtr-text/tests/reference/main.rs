//! Compares the results of this crate with those of Python and its packages.
//!
//! The script `written_answers.py` wrote the fixtures in `tests/fixtures/`.

#[path = "../../../../tests/support/skipped.rs"]
mod skipped;

mod few_shot;
mod filters;
mod metrics;
mod patterns;
mod python;

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

/// Reads the fixture `name`, whose type is `T`.
fn read_fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).with_extension("json");
    let text = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

//! Tests of the library without the program: readers refuse invalid inputs, and distillation improves twins.

#[path = "../support/temp_folder.rs"]
mod temp_folder;
#[path = "../support/tiny_model.rs"]
mod tiny_model;

mod corpora;
mod distillation;
mod file_readers;
mod manifests;
mod model_files;
mod models;
mod module_layers;
mod mutations;
mod parquet;
mod refusals;
mod source_rules;
mod tasks;
mod weights;

use std::path::Path;

/// Returns the root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

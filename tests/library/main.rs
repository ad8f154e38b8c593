//! Tests of the library without the program: readers refuse invalid inputs, and distillation improves twins.
//!
//! `docs/introduction.md` defines terms such as *base*, *twin*, *mask* and *cell*.

#[path = "../support/temp_folder.rs"]
mod temp_folder;
#[path = "../support/tiny_model.rs"]
mod tiny_model;

mod cluster_simulation;
mod corpora;
mod distillation;
mod file_tasks;
mod gguf;
mod invalid_manifests;
mod invalid_models;
mod module_layers;
mod mutations;
mod parquet;
mod reader_helpers;
mod refusals;
mod safetensors_headers;
mod source_rules;
mod unusual_model_files;

use std::path::Path;

/// Returns the root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

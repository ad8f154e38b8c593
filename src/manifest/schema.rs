//! The JSON schema of a manifest, generated from its types.
//!
//! Editors find the schema through the `#:schema` line of a manifest. The checks in `ranges` and `structure`
//! also use the schema.

use std::sync::LazyLock;

use serde_json::Value;

use super::Manifest;
use dtr_core::schema_ranges::generate_schema;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = generate_schema::<Manifest>();
    schema["title"] = "Experiment".into();
    schema
});

/// Returns the schema (JSON Schema draft 2020-12). Its descriptions are the types' doc comments.
pub fn experiment_schema() -> &'static Value {
    &SCHEMA
}

//! The JSON schema of a manifest, made from its types; editors read it through the `#:schema` line.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Manifest;

/// The schema (draft 2020-12), its descriptions the types' doc comments.
pub fn experiment_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Manifest>();
    schema.insert("title".to_owned(), "Experiment".into());
    schema.to_value()
}

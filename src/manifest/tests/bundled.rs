//! Tests of the manifests in `experiments/`, and of the JSON schema.

use std::path::Path;

use serde_json::Value;

use crate::algorithms::search::StopCriterion;
use crate::manifest::{Manifest, ModelSource, experiment_schema, load_manifest};
use dtr_core::count::Count;

fn bundled(name: &str) -> Manifest {
    let path = Path::new("experiments").join(name);
    load_manifest(&path, &[]).unwrap_or_else(|error| panic!("{error:?}")).manifest
}

#[test]
fn the_quickstart_loads() {
    let manifest = bundled("quickstart.toml");
    assert_eq!(manifest.name.as_deref(), Some("quickstart"));
    assert_eq!(manifest.models["mini"].source, ModelSource::Path("models/mini".to_owned()));
    assert_eq!(manifest.sweep.combinations().len(), 12);
    assert_eq!(manifest.distil.token_budget, Count(128_000));
    assert_eq!(manifest.search.stop, StopCriterion::MaxRelativeDrop(0.05));
}

#[test]
fn the_pretraining_loads() {
    let manifest = bundled("pretrain-bundled.toml");
    assert!(
        matches!(&manifest.models["mini-trained"].source, ModelSource::Pretrain(shape) if shape.num_layers == 8)
    );
    assert_eq!(manifest.sweep.combinations().len(), 4);
}

#[test]
fn every_manifest_names_its_schema_first() {
    for (folder, line) in [
        ("experiments", "#:schema ../schemas/experiment.json"),
        ("experiments/base", "#:schema ../../schemas/experiment.json"),
    ] {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).expect("a file");
                assert_eq!(text.lines().next(), Some(line), "{}", path.display());
            }
        }
    }
}

#[test]
fn the_schema_describes_every_key() {
    let schema = experiment_schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "Experiment");
    assert!(schema.get("$id").is_none());
    assert_eq!(schema.to_string(), experiment_schema().to_string());
    assert_described("", schema);
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        assert_described(name, definition);
    }
}

/// Asserts that every property and every alternative in `schema` has a description.
fn assert_described(place: &str, schema: &Value) {
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (key, property) in properties.filter(|_| !place.ends_with('|')) {
        assert!(property["description"].is_string(), "{place}.{key}");
    }
    for alternative in schema["oneOf"].as_array().into_iter().flatten().filter(|_| place != "Count") {
        assert!(alternative["description"].is_string(), "{place}: {alternative}");
        assert_described(&format!("{place}|"), alternative);
    }
}

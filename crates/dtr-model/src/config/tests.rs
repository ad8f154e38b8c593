//! Tests of the errors about a `config.json`. `tests/reference/configs.rs` compares the values of
//! configurations with the values that transformers reads.

use std::path::Path;

use serde_json::{Value, json};

use super::DecoderConfig;
use super::keys::CONFIG_KEYS;

/// Applies `changes` to the configuration of the bundled base, parses it, and returns the error.
fn refused(changes: &[(&str, Value)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (key, value) in changes {
        config[*key] = value.clone();
    }
    let parsed = DecoderConfig::parse(&config.to_string(), Path::new("config.json"));
    let error = parsed.expect_err("the configuration must be refused");
    error.to_line()
}

fn check(changes: &[(&str, Value)], texts: &[&str]) {
    let message = refused(changes).split_whitespace().collect::<Vec<_>>().join(" ");
    for text in texts {
        assert!(message.contains(text), "{text}: {message}");
    }
}

#[test]
fn each_key_has_one_row() {
    for (index, key) in CONFIG_KEYS.iter().enumerate() {
        assert!(CONFIG_KEYS[..index].iter().all(|other| other.name != key.name), "{}", key.name);
    }
}

#[test]
fn the_first_line_of_an_error_names_the_field() {
    check(
        &[("hidden_size", json!("128"))],
        &["`config.json` has \"128\" as `hidden_size`, which must be a whole"],
    );
    check(&[("rms_norm_eps", json!(null))], &["`config.json` has null as `rms_norm_eps`"]);
    check(&[("model_type", json!("mamba"))], &["of type `mamba`, which is not supported", "Qwen3 model"]);
    check(&[("model_type", json!(null))], &["does not name its architecture in `model_type`"]);
    check(&[("is_causal", json!(false))], &["asks for attention to later tokens", "`is_causal` is false"]);
    let yarn = json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32 });
    let parameters = json!({ "rope_type": "default", "rope_theta": 10000.0 });
    check(&[("rope_parameters", parameters), ("rope_scaling", yarn)], &["the rope scaling `yarn`"]);
}

#[test]
fn quantised_weights_are_refused_with_a_hint() {
    let quantization = json!({ "quant_method": "bitsandbytes", "load_in_4bit": true });
    check(
        &[("quantization_config", quantization)],
        &["asks for quantised weights, which is not supported", "remove `quantization_config`"],
    );
}

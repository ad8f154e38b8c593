//! Each key of `config.json` has the same meaning as in Hugging Face transformers.

use std::fs;
use std::path::Path;

use dtr_core::error::Result;
use dtr_model::DecoderConfig;
use serde_json::{Map, Value, json};

use crate::support::fixture;

fn parse(fields: &Map<String, Value>) -> Result<DecoderConfig> {
    DecoderConfig::parse(&json!(fields).to_string(), Path::new("config.json"))
}

/// Returns the fields of the plain configuration after `changes`.
fn changed(plain: &Value, changes: &Value, model_type: &str) -> Map<String, Value> {
    let mut fields = plain.as_object().unwrap().clone();
    fields.insert("model_type".to_owned(), json!(model_type));
    for (key, value) in changes.as_object().unwrap() {
        match value == "absent" {
            true => fields.remove(key),
            false => fields.insert(key.clone(), value.clone()),
        };
    }
    fields
}

/// Returns whether two configurations differ at most in their context lengths. Such configurations give the
/// same logits for prompts that fit into both contexts.
fn compute_the_same(a: &DecoderConfig, b: &DecoderConfig) -> bool {
    let without_context =
        |config: &DecoderConfig| DecoderConfig { max_positions: 0, cache_window: None, ..config.clone() };
    without_context(a) == without_context(b)
}

/// Returns the values of a configuration, with the names that the fixture uses.
fn values(config: &DecoderConfig) -> Value {
    json!({
        "num_layers": config.num_layers,
        "intermediate_size": config.intermediate_size,
        "num_kv_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "norm_epsilon": config.norm_epsilon,
        "max_positions": config.max_positions,
        "tied_head": config.tied_head,
    })
}

/// Describes how a configuration in dtr differs from the outcome in transformers. Returns `None` if dtr and
/// transformers agree.
fn difference(parsed: &Result<DecoderConfig>, outcome: &Value, plain: &DecoderConfig) -> Option<String> {
    let (same_logits, same_tokens) = (&outcome["same_logits"], &outcome["same_tokens"]);
    let config = match parsed {
        // transformers refuses some changes, such as `null` for a flag. dtr may ignore such a change.
        Ok(config) if outcome["error"].is_string() => {
            return (!compute_the_same(config, plain))
                .then(|| "transformers refuses the change, but dtr applies it".to_owned());
        }
        Ok(config) => config,
        Err(_) if *same_logits != true => return None,
        Err(error) => return Some(format!("transformers ignores the change, but dtr refuses it: {error}")),
    };
    if compute_the_same(config, plain) != (*same_logits == true) {
        return Some(format!("`same_logits` is {same_logits} in transformers, but not in dtr"));
    }
    if *same_logits == true && (*same_tokens == true) != config.cache_window.is_none() {
        return Some(format!(
            "in transformers, the change {} the generated tokens, but the cache window in dtr is {:?}",
            if *same_tokens == true { "keeps" } else { "alters" },
            config.cache_window
        ));
    }
    let (ours, there) = (values(config), &outcome["values"]);
    let differs = |(key, value): &(&String, &Value)| there[key.as_str()] != **value;
    if let Some((key, value)) = ours.as_object().unwrap().iter().find(differs) {
        return Some(format!("`{key}` is {} in transformers, but {value} in dtr", there[key.as_str()]));
    }
    let theta = there["rope_theta"].as_f64().unwrap();
    (theta != config.rope_theta)
        .then(|| format!("the RoPE base is {theta} in transformers, but {} in dtr", config.rope_theta))
}

/// The fixture holds about 120 changes to a Llama, a Qwen2 and a Qwen3 config, with their outcomes in
/// transformers 5.17.
#[test]
fn every_key_of_a_config_means_what_it_means_to_transformers() {
    let text = fs::read_to_string(fixture("configs.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let mut differences = Vec::new();
    let mut counts = [0; 3];
    for case in file["cases"].as_array().unwrap() {
        for model_type in ["llama", "qwen2", "qwen3"] {
            let plain = parse(&changed(&file["plain"], &json!({}), model_type)).unwrap();
            let parsed = parse(&changed(&file["plain"], &case["changes"], model_type));
            let outcome = &case[model_type];
            counts[match (outcome["error"].is_string(), outcome["same_logits"] == true) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            }] += 1;
            if let Some(difference) = difference(&parsed, outcome, &plain) {
                differences.push(format!("{model_type} with {}: {difference}", case["changes"]));
            }
        }
    }
    println!("{} refused, {} with the plain logits, {} with other logits", counts[0], counts[1], counts[2]);
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_scaling_of_llama_3_takes_its_context_from_the_file_the_table_or_the_model() {
    let text = fs::read_to_string(fixture("configs.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let mut count = 0;
    for case in file["cases"].as_array().unwrap() {
        let expected = &case["llama"]["values"]["original_max_position"];
        if case["llama"]["values"]["rope_type"] == "llama3" {
            let config = parse(&changed(&file["plain"], &case["changes"], "llama")).unwrap();
            let scaling = serde_json::to_value(&config.rope_scaling).unwrap();
            assert_eq!(scaling["Llama3"]["original_max_position"], *expected, "{}", case["changes"]);
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}

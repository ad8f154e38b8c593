//! Unusual but valid model files give the scores of transformers 5.17 and lm-evaluation-harness 0.4.12.
//!
//! The expected log-likelihoods are those of `LlamaForCausalLM` in f32, for the tokens that `_encode_pair` of
//! the harness returns.

use std::fs;

use burn::tensor::Device;
use dtr::algorithms::score::{Scorer, SplitScorer};
use dtr::data::scoring_requests::ScoringRequests;
use dtr::data::{Item, Metric};
use dtr_model::{BaseModel, Mask};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::root;
use crate::temp_folder::TempFolder;

const PROMPT: &str = "the lamp is in the study. the mirror is in the garden. where is the lamp? in the";
const CHOICES: [&str; 2] = ["study of the old town", "study of the garden"];

/// The expected log-likelihoods of [`CHOICES`] after [`PROMPT`].
const PLAIN: [f64; 2] = [-63.298_862_4, -55.015_816_7];

/// The expected log-likelihoods if the embedding is also the output head.
const TIED: [f64; 2] = [-37.110_470_3, -31.986_697_7];

/// Returns a copy of the bundled base.
fn mini() -> TempFolder {
    let folder = TempFolder::new();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(root().join("models/mini").join(name), folder.path(name)).unwrap();
    }
    folder
}

fn change_json(folder: &TempFolder, name: &str, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&fs::read(folder.path(name)).unwrap()).unwrap();
    change(&mut json);
    folder.write(name, json.to_string());
}

/// Returns the log-likelihoods of `choices` after `prompt`.
fn score(folder: &TempFolder, prompt: &str, choices: [&str; 2]) -> Vec<f64> {
    let base = BaseModel::read(folder.root(), &Device::flex()).unwrap();
    let item = Item {
        id: "one".to_owned(),
        prompt: prompt.to_owned(),
        prompts: Vec::new(),
        choices: choices.map(str::to_owned).to_vec(),
        label: 0,
    };
    let context = base.decoder.config.max_positions;
    let requests = ScoringRequests::new(&base.tokenizer, vec![item], Metric::Acc, context).unwrap();
    let result = Scorer::new(&base.decoder, None, &requests).score(&Mask::empty(), &Mask::empty()).unwrap();
    result.items[0].log_likelihoods().to_vec()
}

fn assert_scores(name: &str, computed: &[f64], expected: [f64; 2]) {
    let largest = computed.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("{name}: {computed:?}, largest difference {largest:.1e}");
    assert!(computed.len() == 2 && largest < 1e-3, "{name}: {computed:?}, not {expected:?}");
}

#[test]
fn saved_truncation_and_padding_do_not_change_a_score() {
    let folder = mini();
    change_json(&folder, "tokenizer.json", |tokenizer| {
        tokenizer["truncation"] =
            json!({ "direction": "Right", "max_length": 24, "strategy": "LongestFirst", "stride": 0 });
        tokenizer["padding"] = json!({ "strategy": { "Fixed": 64 }, "direction": "Left",
            "pad_to_multiple_of": null, "pad_id": 3, "pad_type_id": 0, "pad_token": "<pad>" });
    });
    assert_scores("truncation", &score(&folder, PROMPT, CHOICES), PLAIN);
}

#[test]
fn a_rendered_prompt_has_one_start_token() {
    assert_scores("rendered", &score(&mini(), &format!("<bos>{PROMPT}"), CHOICES), PLAIN);
}

#[test]
fn an_empty_prompt_is_scored_after_the_prefix_token() {
    let choices = ["the study", "study of the garden"];
    let folder = mini();
    assert_scores("after <bos>", &score(&folder, "", choices), [-12.320_673_6, -43.932_251_0]);
    change_json(&folder, "tokenizer.json", |tokenizer| tokenizer["post_processor"] = Value::Null);
    folder.write("tokenizer_config.json", r#"{ "bos_token": null, "eos_token": "<eos>" }"#);
    assert_scores("after <eos>", &score(&folder, "", choices), [-16.497_597_7, -44.238_565_4]);
    folder.write("tokenizer_config.json", r#"{ "bos_token": "<bos>", "eos_token": "<eos>" }"#);
    assert_scores("after <bos> again", &score(&folder, "", choices), [-12.320_673_6, -43.932_251_0]);
}

/// Rewrites the weights of a model. The closure `change` gets the name, shape and bytes of each tensor.
fn change_weights(folder: &TempFolder, change: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<u8>)>)) {
    let bytes = fs::read(folder.path("model.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, TensorView<'_>)| (name, view.shape().to_vec(), view.data().to_vec());
    let mut tensors: Vec<_> = stored.tensors().into_iter().map(tensor).collect();
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, shape, values)| (name, TensorView::new(Dtype::BF16, shape.clone(), values).unwrap()));
    folder.write("model.safetensors", safetensors::serialize(views, None).unwrap());
}

#[test]
fn a_tied_head_that_differs_from_the_embedding_is_used() {
    let is_head = |name: &str| name == "lm_head.weight";
    let tied = || {
        let folder = mini();
        change_json(&folder, "config.json", |config| config["tie_word_embeddings"] = json!(true));
        folder
    };
    assert_scores("both, different", &score(&tied(), PROMPT, CHOICES), PLAIN);
    let folder = tied();
    change_weights(&folder, |tensors| tensors.retain(|(name, ..)| !is_head(name)));
    assert_scores("the embedding alone", &score(&folder, PROMPT, CHOICES), TIED);
    let folder = tied();
    change_weights(&folder, |tensors| {
        let embedding =
            tensors.iter().find(|(name, ..)| name == "model.embed_tokens.weight").unwrap().2.clone();
        tensors.iter_mut().find(|(name, ..)| is_head(name)).unwrap().2 = embedding;
    });
    assert_scores("both, equal", &score(&folder, PROMPT, CHOICES), TIED);
    let folder = tied();
    change_weights(&folder, |tensors| tensors.retain(|(name, ..)| name != "model.embed_tokens.weight"));
    assert_scores("the head alone", &score(&folder, PROMPT, CHOICES), [-79.485_218_0, -70.429_237_4]);
}

#[test]
fn names_of_tensors_without_their_prefix_and_surplus_tensors_are_read_as_in_transformers() {
    let folder = mini();
    change_weights(&folder, |tensors| {
        for (name, ..) in tensors.iter_mut() {
            *name = name.trim_start_matches("model.").to_owned();
        }
    });
    assert_scores("without a prefix", &score(&folder, PROMPT, CHOICES), PLAIN);
    let folder = mini();
    change_weights(&folder, |tensors| {
        for layer in 0..8 {
            let name = format!("model.layers.{layer}.self_attn");
            tensors.push((format!("{name}.rotary_emb.inv_freq"), vec![16], vec![1; 32]));
            tensors.push((format!("{name}.q_proj.bias"), vec![128], vec![1; 256]));
        }
    });
    assert_scores("with more tensors", &score(&folder, PROMPT, CHOICES), PLAIN);
}

#[test]
fn absent_keys_of_a_config_have_their_defaults() {
    let folder = mini();
    change_json(&folder, "config.json", |config| {
        let fields = config.as_object_mut().unwrap();
        for key in
            ["rms_norm_eps", "max_position_embeddings", "rope_theta", "hidden_act", "tie_word_embeddings"]
        {
            assert!(fields.remove(key).is_some(), "{key}");
        }
        for key in ["use_sliding_window", "rope_scaling", "quantization_config", "attention_bias"] {
            fields.insert(key.to_owned(), Value::Null);
        }
    });
    assert_scores("defaults", &score(&folder, PROMPT, CHOICES), PLAIN);
    assert_eq!(BaseModel::read_config(folder.root()).unwrap().max_positions, 2048);
}

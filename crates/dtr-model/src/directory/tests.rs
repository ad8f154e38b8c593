//! What is written reads back with the same bits, and what is no base is not taken for one.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};

use super::*;
use crate::Variant;
use crate::testing::{decoder, twins, variants};
use crate::{Base, Decoder, Hybrid, Mask, State, Tensors, Twins, save};
use dtr_core::error::Result;

fn mini() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini")
}

fn read(directory: &Path) -> Model {
    Model::read(directory, &Device::flex()).unwrap()
}

fn bits(logits: Tensor<2>) -> Vec<u32> {
    let values: Vec<f32> = logits.into_data().try_to_vec().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// The bits of all logits of a row, and of those of a step of decoding after it.
fn answers(model: &Hybrid<'_>) -> Vec<u32> {
    let row: Vec<u32> = (0..70).map(|at| (at * at + 3 * at) % 50).collect();
    let mut state = State::new(model.num_layers());
    let mut seen = bits(model.logits(model.forward(&[row], None, Some(&mut state)).squeeze_dim::<2>(0)));
    seen.extend(bits(model.logits(model.forward(&[vec![7]], None, Some(&mut state)).squeeze_dim::<2>(0))));
    seen
}

/// Writes the hybrid of the base at `base` with `replaced` layers; its folder and its twins.
fn export(
    base: &Path,
    decoder: &Decoder,
    variant: &Variant,
    replaced: &[u32],
    most: u64,
) -> (PathBuf, Twins) {
    let folder = tempfile::tempdir().unwrap().keep();
    let file = folder.join("twins.safetensors");
    let mut twins = twins(variant, decoder);
    save(&Tensors::of(&mut twins), &file).unwrap();
    let mask = replaced.iter().copied().collect();
    let deposit = HybridWriter { base, twins: (&file, variant), mask: &mask, card: "a card\n".to_owned() };
    deposit.write_in_shards(&folder.join("hybrid"), most).unwrap();
    (folder, twins)
}

/// Exports a hybrid and compares what it computes with what the base and the twins in memory do.
fn check(base: &Path, variant: &Variant, replaced: &[u32], most: u64) {
    let own = Base::read(base, &Device::flex()).unwrap().decoder;
    let (folder, twins) = export(base, &own, variant, replaced, most);
    let model = read(&folder.join("hybrid"));
    assert_eq!(model.mask.layers(), replaced);
    let expected = answers(&Hybrid::new(&own, &twins, &model.mask));
    assert!(answers(&model.hybrid()) == expected, "{variant:?}: other bits");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_hybrid_of_each_variant_computes_the_same_bits() {
    for variant in variants() {
        check(&mini(), &variant, &[0, 3, 4, 7], u64::MAX);
    }
}

#[test]
fn a_hybrid_in_shards_computes_the_same_bits() {
    let own = Base::read(&mini(), &Device::flex()).unwrap().decoder;
    let (folder, _) = export(&mini(), &own, &variants()[1], &[2], 1_000_000);
    assert!(folder.join("hybrid/model.safetensors.index.json").is_file());
    assert!(!folder.join("hybrid/model.safetensors").exists());
    std::fs::remove_dir_all(folder).unwrap();
    check(&mini(), &variants()[1], &[2], 1_000_000);
}

/// A base of another family in f32, with a field that only others read.
fn wide_base(folder: &Path) {
    let mut decoder = decoder(false, true);
    save(&Tensors::of(&mut decoder), &folder.join("model.safetensors")).unwrap();
    let mut config = decoder.config.to_json();
    config["model_type"] = json!("qwen3");
    config["initializer_range"] = json!(0.02);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let tokenizer = crate::testing::tokenizer();
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_json().unwrap()).unwrap();
}

#[test]
fn a_base_in_f32_keeps_its_bits_and_its_config() {
    let folder = tempfile::tempdir().unwrap();
    wide_base(folder.path());
    check(folder.path(), &variants()[3], &[1], u64::MAX);
    let text = written::config_json(folder.path(), &Mask::none().with(1), Some(&variants()[3])).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["initializer_range"], json!(0.02));
    assert_eq!(config["model_type"], "qwen3");
    assert_eq!(config["layer_types"], json!(["full_attention", "linear_attention", "full_attention"]));
    assert_eq!(
        config["dtr"]["variant"]["block"],
        json!({ "jet": { "conv-size": 4, "generator-reduction": 8 } })
    );
}

#[test]
fn without_a_replaced_layer_it_is_the_base() {
    let own = Base::read(&mini(), &Device::flex()).unwrap().decoder;
    let (folder, _) = export(&mini(), &own, &variants()[0], &[], u64::MAX);
    let base = Base::read(&folder.join("hybrid"), &Device::flex()).unwrap();
    assert!(answers(&Hybrid::base(&base.decoder)) == answers(&Hybrid::base(&own)));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_hybrid_is_no_base() {
    let own = Base::read(&mini(), &Device::flex()).unwrap().decoder;
    let (folder, _) = export(&mini(), &own, &variants()[0], &[1, 5], u64::MAX);
    let hybrid = folder.join("hybrid");
    let refusals = [Base::read(&hybrid, &Device::flex()).map(drop), Base::config(&hybrid).map(drop)];
    for refused in refusals {
        let message = refused.unwrap_err().to_string();
        assert!(message.ends_with("holds a hybrid, not a base: 2 of its 8 layers are linear"), "{message}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// What reading a base says after `change` was made to its `config.json`.
fn with_config(change: impl FnOnce(&mut Value)) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    wide_base(folder.path());
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    Model::read(folder.path(), &Device::flex()).map(drop)
}

#[test]
fn layers_of_which_too_little_is_said_are_refused() {
    let refused = |types: Value| with_config(|config| config["layer_types"] = types).unwrap_err().to_string();
    assert!(with_config(|config| config["layer_types"] = Value::Null).is_ok());
    assert!(refused(json!(["full_attention"])).contains("does not name 3 layers"));
    let sliding = json!(["full_attention", "sliding_attention", "full_attention"]);
    assert!(refused(sliding).contains("\"sliding_attention\" in layer 1"));
    let linear = json!(["full_attention", "linear_attention", "full_attention"]);
    assert!(refused(linear.clone()).contains("no table `dtr`"));
    let newer = with_config(|config| {
        config["layer_types"] = linear;
        config["dtr"] = json!({ "format": 2 });
    });
    assert!(newer.unwrap_err().to_string().contains("format 2"));
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes"), "mine").unwrap();
    let mask = Mask::none();
    let (base, variant) = (mini(), &variants()[0]);
    let deposit = HybridWriter { base: &base, twins: (&base, variant), mask: &mask, card: String::new() };
    assert!(deposit.write(folder.path()).unwrap_err().to_string().ends_with("already exists"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

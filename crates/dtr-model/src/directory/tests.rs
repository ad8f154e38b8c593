//! Tests that an exported hybrid computes the same bits as the hybrid in memory, and that invalid directories
//! are refused.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};

use super::*;
use crate::TwinVariant;
use crate::testing::{decoder, twins, variants};
use crate::{Decoder, DecoderState, Hybrid, HybridFormat, Mask, NamedTensors, ParamMut, Parameters, Twins};
use dtr_core::error::Result;

fn mini() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini")
}

fn read(directory: &Path) -> LoadedModel {
    LoadedModel::read(directory, &Device::flex()).unwrap()
}

fn bits(logits: Tensor<2>) -> Vec<u32> {
    let values: Vec<f32> = logits.into_data().try_to_vec().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// Returns the bits of all logits of a row, and of the logits of one decoding step after the row.
fn logit_bits(model: &Hybrid<'_>) -> Vec<u32> {
    let row: Vec<u32> = (0..70).map(|at| (at * at + 3 * at) % 50).collect();
    let mut state = DecoderState::new(model.num_layers());
    let mut seen =
        bits(model.logits(model.forward_hidden(&[row], None, Some(&mut state)).squeeze_dim::<2>(0)));
    seen.extend(bits(
        model.logits(model.forward_hidden(&[vec![7]], None, Some(&mut state)).squeeze_dim::<2>(0)),
    ));
    seen
}

/// Exports a hybrid of the base at `base`, in which twins replace the layers `replaced`. Returns a folder and
/// the twins of all layers. The hybrid is in the subfolder `hybrid`.
fn export(
    base: &Path,
    decoder: &Decoder,
    variant: &TwinVariant,
    replaced: &[u32],
    max_shard_bytes: u64,
) -> (PathBuf, Twins) {
    let folder = tempfile::tempdir().unwrap().keep();
    let file = folder.join("twins.safetensors");
    let mut twins = twins(variant, decoder);
    NamedTensors::from_module(&mut twins).save(&file).unwrap();
    let mask = replaced.iter().copied().collect();
    let writer = HybridWriter {
        base,
        twins: (&file, variant),
        mask: &mask,
        tuned: None,
        model_card: "a card\n".to_owned(),
        format: HybridFormat::Transformers,
        dtype: None,
    };
    writer.write_in_shards(&folder.join("hybrid"), max_shard_bytes).unwrap();
    (folder, twins)
}

/// Checks that an exported hybrid computes the same bits as the hybrid in memory.
fn check(base: &Path, variant: &TwinVariant, replaced: &[u32], max_shard_bytes: u64) {
    let base_decoder = BaseModel::read(base, &Device::flex()).unwrap().decoder;
    let (folder, twins) = export(base, &base_decoder, variant, replaced, max_shard_bytes);
    let model = read(&folder.join("hybrid"));
    assert_eq!(model.mask.layers(), replaced);
    let expected = logit_bits(&Hybrid::new(&base_decoder, &twins, &model.mask));
    assert!(logit_bits(&model.hybrid()) == expected, "{variant:?}: the bits differ");
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
    let base_decoder = BaseModel::read(&mini(), &Device::flex()).unwrap().decoder;
    let (folder, _) = export(&mini(), &base_decoder, &variants()[1], &[2], 1_000_000);
    assert!(folder.join("hybrid/model.safetensors.index.json").is_file());
    assert!(!folder.join("hybrid/model.safetensors").exists());
    std::fs::remove_dir_all(folder).unwrap();
    check(&mini(), &variants()[1], &[2], 1_000_000);
}

/// Writes a Qwen3 base in f32, with a field in `config.json` that dtr does not read.
fn write_qwen3_base(folder: &Path) {
    let mut decoder = decoder(false, true);
    NamedTensors::from_module(&mut decoder).save(&folder.join("model.safetensors")).unwrap();
    let mut config = decoder.config.to_json();
    config["model_type"] = json!("qwen3");
    config["initializer_range"] = json!(0.02);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let tokenizer = crate::testing::bundled_tokenizer();
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_json().unwrap()).unwrap();
}

#[test]
fn a_base_in_f32_keeps_its_bits_and_its_config() {
    let folder = tempfile::tempdir().unwrap();
    write_qwen3_base(folder.path());
    check(folder.path(), &variants()[3], &[1], u64::MAX);
    let text = config_json::hybrid_config_json(
        folder.path(),
        &Mask::empty().with_layer(1),
        Some(&variants()[3]),
        None,
    )
    .unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["initializer_range"], json!(0.02));
    assert_eq!(config["model_type"], "dtr_hybrid");
    assert_eq!(config["architectures"], json!(["DtrHybridForCausalLM"]));
    assert_eq!(
        config["dtr"]["base"],
        json!({ "model_type": "qwen3", "architectures": ["LlamaForCausalLM"] })
    );
    assert_eq!(config["layer_types"], json!(["full_attention", "linear_attention", "full_attention"]));
    assert_eq!(
        config["dtr"]["variant"]["block"],
        json!({ "jet": { "conv-size": 4, "generator-reduction": 8 } })
    );
}

#[test]
fn a_base_without_prefixes_and_with_a_head_of_its_own_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    write_qwen3_base(folder.path());
    let mut tensors = NamedTensors::default();
    decoder(false, true).visit(&mut |name, param: ParamMut<'_>| {
        let values = param.flat().into_data().try_to_vec().unwrap();
        tensors.insert(name.trim_start_matches("model."), param.shape(), values);
    });
    tensors.insert("layers.1.self_attn.rotary_emb.inv_freq", vec![4], vec![1.0; 4]);
    tensors.save(&folder.path().join("model.safetensors")).unwrap();
    let path = folder.path().join("config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("\"tie_word_embeddings\":false", "\"tie_word_embeddings\":true"))
        .unwrap();
    assert!(BaseModel::read_config(folder.path()).unwrap().tied_head);
    assert_eq!(BaseModel::reader_version(folder.path()).unwrap(), Some(2));
    check(folder.path(), &variants()[0], &[1], u64::MAX);
    let base = read(folder.path());
    assert!(logit_bits(&base.hybrid()) == logit_bits(&Hybrid::from_base(&decoder(false, true))));
}

#[test]
fn an_export_without_replaced_layers_is_the_base() {
    let base_decoder = BaseModel::read(&mini(), &Device::flex()).unwrap().decoder;
    let (folder, _) = export(&mini(), &base_decoder, &variants()[0], &[], u64::MAX);
    let base = BaseModel::read(&folder.join("hybrid"), &Device::flex()).unwrap();
    assert!(logit_bits(&Hybrid::from_base(&base.decoder)) == logit_bits(&Hybrid::from_base(&base_decoder)));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_hybrid_is_refused_as_a_base() {
    let base_decoder = BaseModel::read(&mini(), &Device::flex()).unwrap().decoder;
    let (folder, _) = export(&mini(), &base_decoder, &variants()[0], &[1, 5], u64::MAX);
    let hybrid = folder.join("hybrid");
    let refusals =
        [BaseModel::read(&hybrid, &Device::flex()).map(drop), BaseModel::read_config(&hybrid).map(drop)];
    for refused in refusals {
        let message = refused.unwrap_err().to_string();
        assert!(message.ends_with("holds a hybrid, not a base: 2 of its 8 layers are linear"), "{message}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Writes a base, applies `change` to the base's `config.json`, and reads the base.
fn read_with_changed_config(change: impl FnOnce(&mut Value)) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    write_qwen3_base(folder.path());
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    LoadedModel::read(folder.path(), &Device::flex()).map(drop)
}

#[test]
fn incomplete_or_unsupported_layer_types_are_refused() {
    let refused = |types: Value| {
        read_with_changed_config(|config| config["layer_types"] = types).unwrap_err().to_string()
    };
    assert!(read_with_changed_config(|config| config["layer_types"] = Value::Null).is_ok());
    assert!(refused(json!(["full_attention"])).contains("does not list 3 layers"));
    let sliding = json!(["full_attention", "sliding_attention", "full_attention"]);
    assert!(refused(sliding.clone()).contains("has sliding layers and no window"));
    assert!(refused(json!(["full_attention", "mamba", "mamba"])).contains("\"mamba\" in layer 1"));
    let read_with_window = |window: u32| {
        read_with_changed_config(|config| {
            config["layer_types"] = sliding.clone();
            config["use_sliding_window"] = json!(true);
            config["sliding_window"] = json!(window);
        })
    };
    // The maximum context of the base is 256 tokens, so a window of 256 changes nothing.
    assert!(read_with_window(256).is_ok());
    assert!(read_with_window(255).unwrap_err().to_string().contains("sliding-window attention"));
    let linear = json!(["full_attention", "linear_attention", "full_attention"]);
    assert!(refused(linear.clone()).contains("no table `dtr`"));
    let newer = read_with_changed_config(|config| {
        config["layer_types"] = linear;
        config["dtr"] = json!({ "format": 3 });
    });
    assert!(newer.unwrap_err().to_string().contains("format 3"));
}

/// In format 1, the configuration of a hybrid differs from that of its base only in two keys.
#[test]
fn a_hybrid_of_format_1_computes_the_same_bits() {
    let base_decoder = BaseModel::read(&mini(), &Device::flex()).unwrap().decoder;
    let (folder, _) = export(&mini(), &base_decoder, &variants()[1], &[2, 5], u64::MAX);
    let hybrid = folder.join("hybrid");
    let expected = logit_bits(&read(&hybrid).hybrid());
    let json = |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (mut config, written) = (json(mini().join("config.json")), json(hybrid.join("config.json")));
    config["layer_types"] = written["layer_types"].clone();
    config["dtr"] = json!({ "format": 1, "variant": written["dtr"]["variant"] });
    std::fs::write(hybrid.join("config.json"), config.to_string()).unwrap();
    assert!(logit_bits(&read(&hybrid).hybrid()) == expected);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_hybrid_has_the_files_of_its_classes_and_a_base_has_not() {
    let base_decoder = BaseModel::read(&mini(), &Device::flex()).unwrap().decoder;
    let names = ["configuration_dtr.py", "modeling_dtr.py", "tokenizer_config.json"];
    for (replaced, has_files) in [(&[3][..], true), (&[], false)] {
        let (folder, _) = export(&mini(), &base_decoder, &variants()[0], replaced, u64::MAX);
        for name in names {
            assert_eq!(folder.join("hybrid").join(name).is_file(), has_files, "{name}");
        }
        if has_files {
            let text = std::fs::read_to_string(folder.join("hybrid/tokenizer_config.json")).unwrap();
            let expected = json!({ "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>" });
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_directory_with_files_in_it_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes"), "mine").unwrap();
    let mask = Mask::empty();
    let (base, variant) = (mini(), &variants()[0]);
    let writer = HybridWriter {
        base: &base,
        twins: (&base, variant),
        mask: &mask,
        tuned: None,
        model_card: String::new(),
        format: HybridFormat::Transformers,
        dtype: None,
    };
    assert!(writer.write(folder.path()).unwrap_err().to_string().ends_with("already exists"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

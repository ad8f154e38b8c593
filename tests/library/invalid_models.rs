//! Model directories with a missing, damaged or invalid file are refused. The error names the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use dtr_core::error::Result;
use dtr_model::{BaseModel, LoadedModel, NamedTensors, read_eos_token_ids};
use serde_json::{Value, json};

use crate::refusals::Refusals;
use crate::tiny_model::TinyModel;

/// Reads the whole model, as `dtr generate` does.
pub fn read(model: &TinyModel) -> Result<()> {
    LoadedModel::read(model.folder.root(), &Device::flex()).map(drop)
}

fn config(model: &TinyModel) -> Value {
    serde_json::from_slice(&fs::read(model.folder.path("config.json")).unwrap()).unwrap()
}

/// Checks that a full read and the quick check of `dtr plan` both fail with an error that contains `texts`.
fn check_both(refusals: &mut Refusals, model: &TinyModel, case: &str, texts: &[&str]) {
    refusals.check(&format!("{case} (read)"), texts, || read(model));
    refusals.check(&format!("{case} (check)"), texts, || {
        BaseModel::read_tokenizer(model.folder.root())?;
        BaseModel::check_weights(model.folder.root()).map(drop)
    });
}

#[test]
fn every_key_of_a_config_refuses_invalid_values() {
    let mut refusals = Refusals::default();
    let sizes = [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
    ];
    let invalid_sizes = [
        json!("16"),
        json!(-1),
        json!(1.5),
        json!([16]),
        json!({}),
        json!(true),
        json!(0),
        json!(1_u64 << 62),
        json!(1e300),
    ];
    let invalid_reals = [json!("1e-6"), json!(-1.0), json!([1]), json!({}), json!(true), json!(0)];
    let invalid_flags = [json!(1), json!("true"), json!([]), json!({})];
    let invalid_types = [json!("mamba"), json!(1), json!(null), json!([])];
    let scaling = |key: &str, value: Value| {
        let mut scaling = json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64 });
        scaling[key] = value;
        scaling
    };
    let scalings = [
        json!("llama3"),
        json!(1),
        json!([1]),
        json!({ "rope_type": "yarn" }),
        json!({ "type": "linear", "factor": 2 }),
        scaling("factor", json!(0)),
        scaling("factor", json!(-8.0)),
        scaling("factor", json!("8")),
        scaling("factor", Value::Null),
        scaling("low_freq_factor", json!(4.0)),
        scaling("high_freq_factor", json!(0)),
        scaling("original_max_position_embeddings", json!(1e300)),
    ];
    let (invalid_options, invalid_activations) =
        ([json!(true), json!("no"), json!(1)], [json!("gelu"), json!(1), json!([])]);
    let (full, empty_table) = ("full_attention", json!({}));
    let invalid_layers = [json!(full), json!([]), json!([1, 2]), json!([full, "mamba"]), empty_table];
    let keys = sizes.iter().map(|key| (*key, &invalid_sizes[..])).chain([
        ("max_position_embeddings", &invalid_sizes[..6]),
        ("rms_norm_eps", &invalid_reals),
        ("rope_theta", &invalid_reals),
        ("tie_word_embeddings", &invalid_flags),
        ("attention_bias", &invalid_options),
        ("mlp_bias", &invalid_options),
        ("hidden_act", &invalid_activations),
        ("model_type", &invalid_types),
        ("rope_scaling", &scalings),
        ("layer_types", &invalid_layers),
    ]);
    for (key, values) in keys {
        for value in values {
            let model = TinyModel::new();
            let mut config = config(&model);
            config[key] = value.clone();
            let path = model.folder.write("config.json", config.to_string());
            check_both(&mut refusals, &model, &format!("{key} = {value}"), &[&path.display().to_string()]);
        }
    }
    refusals.finish(200);
}

#[test]
fn an_invalid_table_of_a_hybrid_is_refused() {
    let mut refusals = Refusals::default();
    let jet = |conv: Value, reduction: Value| json!({ "block": { "jet": { "conv-size": conv, "generator-reduction": reduction } } });
    for table in [
        json!(null),
        json!(1),
        json!([]),
        json!({}),
        json!({ "format": 3 }),
        json!({ "format": -1 }),
        json!({ "format": 2, "base": { "model_type": "mamba" }, "variant": { "block": { "gla": {} } } }),
        json!({ "format": 2, "base": 1, "variant": { "block": { "gla": {} } } }),
        json!({ "format": 1, "variant": "gla" }),
        json!({ "format": 1, "variant": { "block": {} } }),
        json!({ "format": 1, "variant": { "block": { "mamba": {} } } }),
        json!({ "format": 1, "variant": jet(json!(0), json!(8)) }),
        json!({ "format": 1, "variant": jet(json!(4), json!(0)) }),
        json!({ "format": 1, "variant": jet(json!(1_u64 << 60), json!(8)) }),
        json!({ "format": 1, "variant": jet(json!(-4), json!(8)) }),
        json!({ "format": 1, "variant": { "block": { "gla": { "gate-low-rank-dim": 0 } } } }),
        json!({ "format": 1, "variant": { "block": { "gla": {} }, "geometry": { "num-heads": 0 } } }),
        json!({ "format": 1, "variant": { "block": { "gla": {} }, "geometry": { "num-kv-heads": 3 } } }),
        json!({ "format": 1, "variant": { "block": { "gla": {} }, "geometry": { "key-dim": 1_u64 << 60 } } }),
        json!({ "format": 1, "variant": { "block": { "gla": {} }, "geometry": { "rope": true, "key-dim": 3 } } }),
    ] {
        let model = TinyModel::new();
        let mut config = config(&model);
        config["layer_types"] = json!(["full_attention", "linear_attention"]);
        config["dtr"] = table.clone();
        let path = model.folder.write("config.json", config.to_string());
        refusals.check(&table.to_string(), &[&path.parent().unwrap().display().to_string()], || read(&model));
    }
    for table in
        [json!(null), json!({ "format": 2 }), json!({ "format": 2, "base": { "model_type": "gpt2" } })]
    {
        let model = TinyModel::new();
        let mut config = config(&model);
        config["model_type"] = json!("dtr_hybrid");
        config["dtr"] = table.clone();
        let path = model.folder.write("config.json", config.to_string());
        check_both(&mut refusals, &model, &table.to_string(), &[&path.display().to_string()]);
    }
    refusals.finish(26);
}

#[test]
fn every_tensor_must_exist_once_with_the_shape_of_the_config() {
    let mut refusals = Refusals::default();
    let mut decoder = BaseModel::read(TinyModel::new().folder.root(), &Device::flex()).unwrap().decoder;
    let mut shapes = BTreeMap::new();
    dtr_model::Parameters::visit(&mut decoder, &mut |name, slot| {
        shapes.insert(name.to_owned(), slot.shape());
    });
    for (name, shape) in &shapes {
        let size: usize = shape.iter().product();
        let turned: Vec<usize> = shape.iter().rev().copied().chain([1]).collect();
        let mut values = vec![0.5; size];
        values[size / 2] = f32::NAN;
        let infinite = [&[f32::NEG_INFINITY][..], &vec![0.5; size - 1]].concat();
        for (fault, shape, values) in [
            ("transposed", turned, vec![0.5; size]),
            ("flat", vec![size, 1, 1], vec![0.5; size]),
            ("empty", vec![0], Vec::new()),
            ("not a number", shape.clone(), values),
            ("infinite", shape.clone(), infinite),
        ] {
            let model = TinyModel::new();
            let mut tensors = NamedTensors::from_module(&mut decoder);
            tensors.insert(name, shape, values);
            let path = model.folder.path("model.safetensors");
            tensors.save(&path).unwrap();
            refusals.check(&format!("{name} {fault}"), &[&path.display().to_string(), name], || read(&model));
        }
        for (fault, other) in
            [("missing", format!("{name}.x")), ("renamed", name.replace("model", "modle") + "_")]
        {
            let model = TinyModel::new();
            let path = model.folder.path("model.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            rename(&mut bytes, name, &other);
            fs::write(&path, bytes).unwrap();
            check_both(
                &mut refusals,
                &model,
                &format!("{name} {fault}"),
                &[&path.display().to_string(), name],
            );
        }
    }
    for (dtype, shape) in
        [("I64", "[2]"), ("U8", "[16]"), ("BOOL", "[16]"), ("F64", "[2]"), ("F8_E4M3", "[16]")]
    {
        let model = TinyModel::new();
        let path = model.folder.path("model.safetensors");
        let mut tensors = NamedTensors::from_module(&mut decoder);
        // Each of these tensors has 16 bytes, like four F32 numbers.
        let name = "model.layers.0.self_attn.k_proj.weight";
        assert_eq!(shapes[name], [4, 16]);
        tensors.insert(name, vec![4], vec![0.5; 4]);
        tensors.save(&path).unwrap();
        let header = format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape}");
        replace_in_header(&path, &format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[4]"), &header);
        let texts = [&path.display().to_string(), name, "not F32, BF16 or F16"];
        check_both(&mut refusals, &model, dtype, &texts);
    }
    refusals.finish(150);
}

/// Replaces a text in the header of a safetensors file.
fn replace_in_header(path: &Path, from: &str, to: &str) {
    let mut bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
    assert!(header.contains(from), "{from}: {header}");
    let header = header.replace(from, to);
    bytes.splice(8..8 + length, header.bytes());
    bytes[..8].copy_from_slice(&(header.len() as u64).to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn tensors_that_the_model_does_not_have_are_named_and_ignored() {
    let model = TinyModel::new();
    let path = model.folder.path("model.safetensors");
    let mut decoder = BaseModel::read(model.folder.root(), &Device::flex()).unwrap().decoder;
    let mut tensors = NamedTensors::from_module(&mut decoder);
    tensors.insert("v_head.summary.weight", vec![8], vec![0.0; 8]);
    // Files of Llama 2 contain a tensor of rotary frequencies. dtr ignores this tensor without a warning.
    tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq", vec![2], vec![1.0, 0.5]);
    tensors.save(&path).unwrap();
    let old = "\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[8]";
    replace_in_header(&path, old, "\"v_head.summary.weight\":{\"dtype\":\"I64\",\"shape\":[4]");
    let names = ["v_head.summary.weight"];
    assert_eq!(BaseModel::check_weights(model.folder.root()).unwrap(), names);
    assert_eq!(LoadedModel::read(model.folder.root(), &Device::flex()).unwrap().unused_tensors, names);
}

/// Renames a tensor in the header of a safetensors file.
fn rename(file: &mut Vec<u8>, name: &str, other: &str) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(file[8..8 + length].to_vec()).unwrap();
    let header = header.replace(&format!("\"{name}\""), &format!("\"{other}\""));
    file.splice(8..8 + length, header.bytes());
    file[..8].copy_from_slice(&(header.len() as u64).to_le_bytes());
}

#[test]
fn a_missing_damaged_or_mismatched_file_is_refused() {
    let mut refusals = Refusals::default();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let whole = fs::read(TinyModel::new().folder.path(name)).unwrap();
        let contents: [(&str, Option<Vec<u8>>); 12] = [
            ("missing", None),
            ("empty", Some(Vec::new())),
            ("cut by two bytes", Some(whole[..whole.len() - 2].to_vec())),
            ("cut in half", Some(whole[..whole.len() / 2].to_vec())),
            ("twice", Some(whole.repeat(2))),
            ("zeros", Some(vec![0; whole.len()])),
            ("not UTF-8", Some(vec![0xff; 100])),
            ("a BOM before it", Some([b"\xef\xbb\xbf", &whole[..]].concat())),
            ("null", Some(b"null".to_vec())),
            ("a list", Some(b"[]".to_vec())),
            ("an empty table", Some(b"{}".to_vec())),
            ("deeply nested", Some("{\"a\":".repeat(100_000).into_bytes())),
        ];
        for (case, bytes) in contents {
            let model = TinyModel::new();
            let path = model.folder.path(name);
            match bytes {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            let named =
                if (name, case) == ("model.safetensors", "missing") { path.parent().unwrap() } else { &path };
            check_both(&mut refusals, &model, &format!("{name} {case}"), &[&named.display().to_string()]);
        }
        let model = TinyModel::new();
        fs::remove_file(model.folder.path(name)).unwrap();
        fs::create_dir(model.folder.path(name)).unwrap();
        check_both(
            &mut refusals,
            &model,
            &format!("{name} is a folder"),
            &[&model.folder.root().display().to_string()],
        );
    }
    let nowhere = Path::new("/nowhere/at/all");
    refusals.check("no folder", &["/nowhere/at/all"], || LoadedModel::read(nowhere, &Device::flex()));
    for (name, text) in [
        ("generation_config.json", "{"),
        ("generation_config.json", "{\"eos_token_id\": -1}"),
        ("generation_config.json", "{\"eos_token_id\": 99999999999}"),
        ("generation_config.json", "{\"eos_token_id\": [[1]]}"),
        ("generation_config.json", "{\"eos_token_id\": \"two\"}"),
        ("config.json", "{\"eos_token_id\": 1.5}"),
    ] {
        let model = TinyModel::new();
        let path = model.folder.write(name, text);
        refusals.check(text, &[&path.display().to_string()], || read_eos_token_ids(model.folder.root()));
    }
    refusals.finish(80);
}

#[test]
fn a_shard_index_outside_its_folder_or_without_shards_is_refused() {
    let mut refusals = Refusals::default();
    let shard = |name: &str| json!({ "weight_map": { "a": name } });
    for (case, index, text) in [
        ("up", shard("../model.safetensors"), "outside its directory"),
        ("two up", shard("../../x.safetensors"), "outside its directory"),
        ("the folder above", shard(".."), "outside its directory"),
        ("the folder itself", shard("."), "outside its directory"),
        ("no name", shard(""), "outside its directory"),
        ("absolute", shard("/etc/passwd"), "outside its directory"),
        ("the root", shard("/"), "outside its directory"),
        ("below", shard("sub/model.safetensors"), "outside its directory"),
        ("with a slash at its end", shard("model.safetensors/"), "outside its directory"),
        ("up and back", shard("x/../model.safetensors"), "outside its directory"),
        ("a NUL", shard("a\0.safetensors"), "a\0.safetensors"),
        ("a pickle", shard("pytorch_model.bin"), "pickle"),
        ("another pickle", shard("model.pt"), "pickle"),
        ("another file", shard("tokenizer.json"), "not a safetensors file"),
        ("a shard that is not there", shard("b.safetensors"), "b.safetensors"),
        ("no shard", json!({ "weight_map": {} }), "names no shard"),
        ("no map", json!({}), "is not a shard index"),
        ("a list", json!([]), "is not a shard index"),
        ("a number", json!({ "weight_map": { "a": 1 } }), "is not a shard index"),
        ("null", json!(null), "is not a shard index"),
    ] {
        let model = TinyModel::new();
        fs::remove_file(model.folder.path("model.safetensors")).unwrap();
        model.folder.write("model.safetensors.index.json", index.to_string());
        let folder = model.folder.root().display().to_string();
        check_both(&mut refusals, &model, case, &[&folder, text]);
    }
    let model = TinyModel::new();
    let weights = fs::read(model.folder.path("model.safetensors")).unwrap();
    fs::remove_file(model.folder.path("model.safetensors")).unwrap();
    model.folder.write("1.safetensors", &weights);
    model.folder.write("2.safetensors", &weights);
    let both = json!({ "weight_map": { "a": "1.safetensors", "b": "2.safetensors" } });
    model.folder.write("model.safetensors.index.json", both.to_string());
    check_both(&mut refusals, &model, "one tensor in two shards", &["2.safetensors", "another file holds"]);
    for name in ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "last.ckpt", "weights.pkl"] {
        let model = TinyModel::new();
        fs::rename(model.folder.path("model.safetensors"), model.folder.path(name)).unwrap();
        check_both(
            &mut refusals,
            &model,
            name,
            &[name, "is a pickle", "convert the weights to `model.safetensors`"],
        );
    }
    refusals.finish(50);
}

#[test]
fn a_tokenizer_with_invalid_parts_is_refused() {
    let mut refusals = Refusals::default();
    for (from, to) in [
        // The template of the post-processor names a token without an id.
        (
            "\"special_tokens\":{\"<bos>\":{\"id\":\"<bos>\"",
            "\"special_tokens\":{\"<boz>\":{\"id\":\"<boz>\"",
        ),
        ("\"type\":\"WordLevel\"", "\"type\":\"WordLvl\""),
        ("\"type\":\"Whitespace\"", "\"type\":7"),
        ("\"version\":\"1.0\"", "\"version\":\"9.0\""),
        ("\"vocab\":{", "\"vocab\":["),
    ] {
        let model = TinyModel::new();
        let path = model.folder.path("tokenizer.json");
        let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let text = whole.to_string();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        check_both(&mut refusals, &model, to, &[&path.display().to_string()]);
    }
    refusals.finish(10);
}

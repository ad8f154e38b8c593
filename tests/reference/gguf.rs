//! Compares the logits and token ids of GGUF files with transformers and other references. The unit tests in
//! `crates/dtr-model/src/gguf/tests.rs` compare the values of each number format.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use dtr_model::{BaseModel, Hybrid, Tokenizer, convert_gguf};
use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::skipped::report_skipped;
use crate::support::{ReferenceTensors, assert_close, fixture};

fn read_json(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

fn path(name: &str) -> PathBuf {
    fixture(&format!("gguf/{name}.gguf"))
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn tokenizer(path: &Path) -> Tokenizer {
    BaseModel::read_tokenizer(path).unwrap()
}

/// Returns the logits of the last `count` tokens.
fn last_logits(path: &Path, ids: Vec<u32>, count: usize) -> Tensor<2> {
    let base = BaseModel::read(path, &Device::flex()).unwrap();
    let model = Hybrid::from_base(&base.decoder);
    let len = ids.len();
    let hidden_td = model.forward_hidden(&[ids], None, None).squeeze_dim::<2>(0);
    model.logits(hidden_td.narrow(0, len - count, count))
}

#[test]
fn logits_of_small_models_are_those_of_transformers() {
    let reference = ReferenceTensors::read("gguf/expected.safetensors");
    for name in ["llama", "qwen2", "qwen3"] {
        let (_, words) = reference.element_bytes(&format!("{name}.ids"));
        let ids = words.into_iter().map(u32::from_le_bytes).collect();
        let expected = reference.float_tensor::<2>(&format!("{name}.logits"));
        assert_close(name, last_logits(&path(name), ids, 4), expected, 2e-4);
    }
}

#[test]
fn token_ids_of_each_pre_tokenizer_are_those_of_its_definition() {
    let (text, expected) = (read_json("tokenizers.json"), read_json("gguf/expected.json"));
    let text = text["text"].as_str().unwrap();
    for name in ["default", "gpt-2", "llama-bpe", "qwen2", "smollm"] {
        let name = format!("tokenizer-{name}");
        let tokenizer = tokenizer(&path(&name));
        let found = tokenizer.encode(text, true).unwrap();
        assert_eq!(found, ids(&expected["ids"][&name]), "{name}");
        if name != "tokenizer-qwen2" {
            // The check leaves out Qwen2, because its tokenizer normalises texts. Decoding omits special
            // tokens.
            let plain = text.replace("<|im_start|>", "").replace("<|im_end|>", "");
            assert_eq!(tokenizer.decode(&found).unwrap(), plain, "{name}");
        }
    }
}

#[test]
fn token_ids_of_scored_tokens_are_those_of_sentencepiece_and_transformers() {
    let (text, expected) = (read_json("tokenizers.json"), read_json("gguf/expected.json"));
    let tokenizer = tokenizer(&path("llama"));
    let found = tokenizer.encode(text["text"].as_str().unwrap(), true).unwrap();
    assert_eq!(found, ids(&expected["ids"]["llama"]));
    // dtr adds a beginning-of-text token. transformers adds none when it reads a GGUF file.
    assert_eq!(found[1..], ids(&expected["ids"]["llama by transformers"]));
    assert_eq!(tokenizer.decode(&found).unwrap(), text["text"].as_str().unwrap());
    let special = &expected["special"];
    let found = tokenizer.encode(special["text"].as_str().unwrap(), false).unwrap();
    assert_eq!(found, ids(&special["ids"]));
}

/// Returns the path of the published file `name` in the subfolder `gguf` of the folder `DTR_PUBLIC`. If there
/// is no such file, reports the test as skipped and returns `None`.
fn published(name: &str) -> Option<PathBuf> {
    let public = std::env::var_os("DTR_PUBLIC").map(PathBuf::from);
    let path = public.map(|public| public.join("gguf").join(name)).filter(|path| path.is_file());
    if path.is_none() {
        report_skipped(&format!("DTR_PUBLIC names no folder with `gguf/{name}`"));
    }
    path
}

/// Converts the GGUF file at `path`. Returns the digest of the values of all tensors, in the order of the
/// tensors' names in transformers.
fn digest_of_values(path: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("model");
    convert_gguf(path, &directory).unwrap();
    let bytes = fs::read(directory.join("model.safetensors")).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut digest = Sha256::new();
    tensors.iter().for_each(|(_, tensor)| digest.update(tensor.data()));
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares the values, token ids and logits of the published file `name` with the reference.
fn check_published(name: &str) {
    let Some(path) = published(name) else { return };
    let (text, expected) = (read_json("tokenizers.json"), read_json("gguf/published.json"));
    let expected = &expected[name];
    assert_eq!(digest_of_values(&path), expected["values"], "{name}");
    let found = tokenizer(&path).encode(text["text"].as_str().unwrap(), true).unwrap();
    assert_eq!(found, ids(&expected["ids"]), "{name}");
    let logits: Vec<f32> = serde_json::from_value(expected["logits"].clone()).unwrap();
    let len = logits.len();
    let computed = last_logits(&path, found, 1).narrow(1, 0, len).squeeze_dim::<1>(0);
    assert_close(name, computed, Tensor::from_floats(&logits[..], &Device::flex()), 2e-4);
}

#[test]
fn smollm2_in_q4_1_is_as_in_gguf_and_transformers() {
    check_published("SmolLM2-135M-Instruct.Q4_1.gguf");
}

#[test]
fn qwen2_5_coder_in_q4_k_m_is_as_in_gguf_and_transformers() {
    check_published("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
}

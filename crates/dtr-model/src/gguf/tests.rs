//! Tests the values of each number format, and the tokens and settings of GGUF files.
//! `tests/reference/gguf.py` wrote the fixtures. `tests/library/gguf.rs` tests hostile files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::header::GgufHeader;
use super::tensor_values::OpenFile;
use super::{GgufModel, GgufTensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf").join(name)
}

/// Returns the tensors of a fixture, under their names in the file.
fn tensors(name: &str) -> Vec<GgufTensor> {
    let path = fixture(name);
    let file = File::open(&path).unwrap();
    let num_bytes = file.metadata().unwrap().len();
    let header = GgufHeader::read(&file, num_bytes).unwrap();
    let file = Rc::new(OpenFile { path, file });
    let tensor = |info| GgufTensor { info, file: file.clone(), rows_per_interleaved_head: None };
    header.tensors.into_iter().map(tensor).collect()
}

#[test]
fn each_format_dequantises_to_the_bits_of_the_reference() {
    let reference = std::fs::read(fixture("types.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&reference).unwrap();
    let tensors = tensors("types.gguf");
    assert_eq!(tensors.len(), 14);
    for tensor in tensors {
        let expected = reference.tensor(&tensor.info.name).unwrap();
        let words = expected.data().as_chunks::<4>().0;
        let bits: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let values: Vec<u32> = tensor.values().unwrap().into_iter().map(f32::to_bits).collect();
        assert_eq!(expected.shape(), tensor.shape());
        assert!(values == bits, "{}: the bits differ", tensor.info.name);
    }
}

#[test]
fn chunks_hold_whole_rows_in_order() {
    let path = tempfile::tempdir().unwrap().keep().join("rows");
    let values: Vec<f32> = (0..600_000).map(|value| value as f32).collect();
    std::fs::write(&path, bytemuck::cast_slice(&values)).unwrap();
    let mut tensor = tensors("types.gguf").remove(0);
    tensor.info.shape = vec![2_000, 300];
    tensor.info.start = 0;
    tensor.file = Rc::new(OpenFile { file: File::open(&path).unwrap(), path: path.clone() });
    let mut num_chunks = 0;
    let mut read = Vec::new();
    let mut collect = |chunk: &[f32]| {
        num_chunks += 1;
        assert!(chunk.len().is_multiple_of(300));
        read.extend_from_slice(chunk);
        Ok(())
    };
    tensor.for_each_chunk(&mut collect).unwrap();
    assert!(num_chunks > 2 && read == values);
    // In a head of four rows, the pairs are the rows 0 and 1 and the rows 2 and 3. The first rows of both
    // pairs must come first.
    tensor.rows_per_interleaved_head = Some(4);
    let firsts: Vec<f32> = tensor.values().unwrap().chunks_exact(300).map(|row| row[0] / 300.0).collect();
    assert_eq!(firsts[..8], [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

/// Returns the parsed file `file` that the fixture `name` provides.
fn file(name: &str, file: &str) -> Value {
    let text = GgufModel::open(&fixture(name)).unwrap().file_text(file).unwrap();
    serde_json::from_str(&text.expect("a GGUF file provides this file")).unwrap()
}

#[test]
fn settings_become_those_of_config_json() {
    let config = file("llama.gguf", "config.json");
    assert_eq!(config["rms_norm_eps"], json!(1e-5), "the f32 becomes its shortest decimal");
    assert_eq!(config["tie_word_embeddings"], true);
    assert_eq!(config["rope_scaling"]["rope_type"], "longrope");
    let qwen2 = file("qwen2.gguf", "config.json");
    assert_eq!(qwen2["head_dim"], 8);
    assert_eq!(qwen2["rope_scaling"], Value::Null);
    assert_eq!(qwen2["tie_word_embeddings"], false);
}

#[test]
fn generation_ends_at_the_end_of_a_text_and_of_a_turn() {
    let tokens = |name: &str| file(name, "generation_config.json")["eos_token_id"].clone();
    let tokenizer = file("qwen2.gguf", "tokenizer.json");
    let ids: BTreeMap<String, u32> = serde_json::from_value(tokenizer["model"]["vocab"].clone()).unwrap();
    assert_eq!(tokens("qwen2.gguf"), json!([ids["<|im_end|>"], ids["<|endoftext|>"]]));
    assert_eq!(tokens("llama.gguf"), json!([2]));
}

#[test]
fn types_of_tokens_decide_which_are_added_and_special() {
    let added = file("qwen2.gguf", "tokenizer.json")["added_tokens"].clone();
    let added: Vec<(&str, bool)> = added
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (token["content"].as_str().unwrap(), token["special"] == true))
        .collect();
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(|token| (token, true));
    assert_eq!(added, [&special[..], &[("  left", false)]].concat());
    let config = file("llama.gguf", "tokenizer_config.json");
    assert_eq!([&config["bos_token"], &config["unk_token"]], ["<s>", "<unk>"]);
    assert_eq!(config["add_bos_token"], true, "the default of the kind `llama`");
    assert_eq!(file("qwen2.gguf", "tokenizer_config.json")["add_bos_token"], false);
    assert_eq!(file("tokenizer-llama-bpe.gguf", "tokenizer_config.json")["add_bos_token"], true);
}

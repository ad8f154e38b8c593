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
use super::{GgufModel, GgufTensor, MetadataValue, TokenizerFiles, write_gguf_file};
use crate::directory::{Segment, TensorSource};

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

fn read_header(path: &Path) -> GgufHeader {
    let file = File::open(path).unwrap();
    let num_bytes = file.metadata().unwrap().len();
    GgufHeader::read(&file, num_bytes).unwrap()
}

#[test]
fn a_written_file_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.gguf");
    let tensor = |name: &str, shape: Vec<usize>| {
        let values = (0..shape.iter().product()).map(|value: usize| value as f32).collect();
        TensorSource::computed(name.to_owned(), shape, vec![Segment::Constant(values)])
    };
    let list = |texts: [&str; 2]| MetadataValue::TextList(texts.map(str::to_owned).to_vec());
    let metadata = [
        ("a.number", MetadataValue::U32(7)),
        ("a.float", MetadataValue::F32(0.5)),
        ("a.flag", MetadataValue::Bool(true)),
        ("a.text", MetadataValue::Text("é".to_owned())),
        ("a.integers", MetadataValue::I32List(vec![-1, 2])),
        ("a.texts", list(["one", ""])),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    write_gguf_file(&path, &metadata, &[tensor("first", vec![3]), tensor("second", vec![2, 5])]).unwrap();
    let header = read_header(&path);
    let read = &header.metadata;
    assert_eq!(read.whole_number("a.number"), Ok(Some(7)));
    assert_eq!(read.float("a.float"), Ok(Some(0.5)));
    assert_eq!(read.flag("a.flag"), Ok(Some(true)));
    assert_eq!(read.text("a.text"), Ok(Some("é")));
    assert_eq!(read.integers("a.integers"), Ok(Some([-1, 2].as_slice())));
    assert_eq!(read.texts("a.texts").unwrap().unwrap(), ["one", ""]);
    let shapes: Vec<&[usize]> = header.tensors.iter().map(|tensor| tensor.shape.as_slice()).collect();
    assert_eq!(shapes, [[3].as_slice(), &[2, 5]]);
    let file = Rc::new(OpenFile { file: File::open(&path).unwrap(), path });
    for (info, num_values) in header.tensors.into_iter().zip([3, 10]) {
        let tensor = GgufTensor { info, file: file.clone(), rows_per_interleaved_head: None };
        let expected: Vec<f32> = (0..num_values).map(|value| value as f32).collect();
        assert_eq!(tensor.values().unwrap(), expected);
    }
}

#[test]
fn the_metadata_of_a_tokenizer_are_those_of_its_file() {
    for name in ["tokenizer-qwen2.gguf", "tokenizer-llama-bpe.gguf", "tokenizer-smollm.gguf"] {
        let path = fixture(name);
        let original = read_header(&path).metadata;
        let tokenizer = super::tokenizer::GgufTokenizer { metadata: &original }.tokenizer_json().unwrap();
        let vocab_size = original.texts("tokenizer.ggml.tokens").unwrap().unwrap().len();
        let files = TokenizerFiles {
            tokenizer,
            chat_template: None,
            bos_token_id: None,
            eos_token_ids: vec![3],
            vocab_size,
        };
        let written: BTreeMap<String, MetadataValue> = files.metadata().unwrap().into_iter().collect();
        let texts = |key: &str| MetadataValue::TextList(original.texts(key).unwrap().unwrap().to_vec());
        for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.merges"] {
            assert!(written[key] == texts(key), "{name}: {key}");
        }
        let pre = original.text("tokenizer.ggml.pre").unwrap().unwrap();
        assert_eq!(written["tokenizer.ggml.pre"], MetadataValue::Text(pre.to_owned()));
        // `tokenizer.json` does not tell an unused token from others.
        let types = original.integers("tokenizer.ggml.token_type").unwrap().unwrap();
        let types = types.iter().map(|number| if *number == 5 { 1 } else { *number as i32 }).collect();
        assert_eq!(written["tokenizer.ggml.token_type"], MetadataValue::I32List(types), "{name}");
        assert_eq!(written["tokenizer.ggml.eos_token_id"], MetadataValue::U32(3));
    }
}

#[test]
fn a_tokenizer_that_llama_cpp_does_not_know_is_refused() {
    let files = |tokenizer: Value| TokenizerFiles {
        tokenizer,
        chat_template: None,
        bos_token_id: None,
        eos_token_ids: Vec::new(),
        vocab_size: 1,
    };
    let words = json!({ "model": { "type": "WordLevel", "vocab": { "a": 0 } } });
    assert_eq!(files(words).metadata().unwrap_err(), "is not byte-level BPE");
    let model = json!({ "type": "BPE", "vocab": { "a": 0 }, "merges": [] });
    let split =
        json!({ "type": "Split", "pattern": { "Regex": "x" }, "behavior": "Isolated", "invert": false });
    let unknown = json!({ "model": model, "pre_tokenizer": split });
    assert!(files(unknown).metadata().unwrap_err().starts_with("splits texts"));
}

//! Checks that dtr and Hugging Face transformers give the same token ids with published tokenizers. The text
//! contains words in many scripts, numbers, emoji, code and spaces.
//!
//! `DTR_PUBLIC` names the folder with the files of the tokenizers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dtr_model::Tokenizer;
use serde_json::{Value, json};

use crate::support::{fixture, public_folder};

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the `tokenizer.json` of a byte-level BPE tokenizer, from the files `vocabulary` and `merges`.
fn bpe_json(vocabulary: &Path, merges: &Path, split: &Value, normalizer: &Value, added: &[Value]) -> Value {
    let merges = fs::read_to_string(merges).unwrap();
    let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version")).collect();
    let bytes = |use_regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": use_regex,
        })
    };
    let pre_tokenizer = match split {
        Value::Null => bytes(true),
        pattern => json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false },
            bytes(false),
        ]}),
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": bytes(false), "decoder": bytes(true),
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "vocab": read(vocabulary), "merges": merges },
    })
}

/// Checks that dtr with the file `tokenizer` and transformers give the same token ids for the text of the
/// fixture.
fn check_tokenizer(name: &str, tokenizer: &Path) {
    let expected = read(&fixture("tokenizers.json"));
    let ids: Vec<u32> = serde_json::from_value(expected["ids"][name].clone()).unwrap();
    let computed =
        Tokenizer::read(tokenizer).unwrap().encode(expected["text"].as_str().unwrap(), true).unwrap();
    assert_eq!(computed, ids, "{name}");
}

/// Calls `read` with the path of a file that holds `tokenizer`.
fn with_tokenizer_file<T>(tokenizer: &Value, read: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, tokenizer.to_string()).unwrap();
    read(&path)
}

/// Returns the `tokenizer.json` of GPT-2 from its published files.
fn gpt_2_json(folder: &Path) -> Value {
    bpe_json(&folder.join("encoder.json"), &folder.join("vocab.bpe"), &Value::Null, &Value::Null, &[])
}

/// Returns the tokenizer of GPT-2. If `DTR_PUBLIC` is not set, reports the test as skipped and returns
/// `None`.
pub fn gpt_2_tokenizer() -> Option<tokenizers::Tokenizer> {
    let folder = public_folder("tokenizers/gpt2")?;
    Some(with_tokenizer_file(&gpt_2_json(&folder), |path| tokenizers::Tokenizer::from_file(path).unwrap()))
}

#[test]
fn gpt_neox_gives_the_same_ids() {
    let Some(folder) = public_folder("tokenizers/gpt-neox") else { return };
    check_tokenizer("gpt-neox", &folder.join("20B_tokenizer.json"));
}

#[test]
fn gpt_2_gives_the_same_ids() {
    let Some(folder) = public_folder("tokenizers/gpt2") else { return };
    with_tokenizer_file(&gpt_2_json(&folder), |path| check_tokenizer("gpt2", path));
}

#[test]
fn qwen2_5_gives_the_same_ids() {
    let Some(folder) = public_folder("tokenizers/qwen2.5") else { return };
    let ids: BTreeMap<String, u32> = serde_json::from_value(read(&folder.join("added_tokens.json"))).unwrap();
    let mut ids: Vec<(String, u32)> = ids.into_iter().collect();
    ids.sort_by_key(|(_, id)| *id);
    let token = |(content, id): (String, u32)| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    let added: Vec<Value> = ids.into_iter().map(token).collect();
    // This is the pattern of the model's published `tokenizer.json`.
    let split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let files = (folder.join("vocab.json"), folder.join("merges.txt"));
    let tokenizer = bpe_json(&files.0, &files.1, &json!(split), &json!({ "type": "NFC" }), &added);
    with_tokenizer_file(&tokenizer, |path| check_tokenizer("qwen2.5", path));
}

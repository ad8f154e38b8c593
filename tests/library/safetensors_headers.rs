//! Checks that dtr refuses forged headers of safetensors files, and allocates no memory for the sizes that
//! these headers claim.

use std::fs::File;

use dtr_model::BaseModel;

use crate::refusals::Refusals;
use crate::tiny_model::TinyModel;

/// Returns the bytes of a file with the header `text` and `num_bytes` zeros as values.
fn safetensors_bytes(text: impl AsRef<[u8]>, num_bytes: usize) -> Vec<u8> {
    let text = text.as_ref();
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend(text);
    file.resize(file.len() + num_bytes, 0);
    file
}

/// Returns a header that describes one tensor, called `a`.
fn header(dtype: &str, shape: &str, start: &str, stop: &str) -> String {
    format!(r#"{{"a":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{start},{stop}]}}}}"#)
}

#[test]
fn forged_headers_are_refused() {
    let mut refusals = Refusals::default();
    let two = |b: &str| format!(r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},{b}}}"#);
    let files: [(&str, Vec<u8>, &str); 40] = [
        ("no byte", Vec::new(), "it has only 0 bytes"),
        ("seven bytes", vec![0; 7], "it has only 7 bytes"),
        ("no header", vec![0; 8], "header cannot be read"),
        ("a header of 2^64 - 1 bytes", vec![255; 64], "claims 18446744073709551615 bytes"),
        ("a header of 2^63 bytes", [&(1_u64 << 63).to_le_bytes()[..], &[0; 8]].concat(), "claims"),
        ("a header of 2^63 - 9 bytes", [&((1_u64 << 63) - 9).to_le_bytes()[..], &[0; 8]].concat(), "claims"),
        ("a header that is one byte too long", [&3_u64.to_le_bytes()[..], b"{}"].concat(), "claims 3 bytes"),
        ("text", b"hello, this is no file of tensors".to_vec(), "claims"),
        ("a pickle", b"\x80\x02}q\x00(X\x06\x00\x00\x00weightq\x01".to_vec(), "claims"),
        ("a ZIP file", b"PK\x03\x04\0\0\0\0\0\0\0\0".to_vec(), "claims"),
        ("not UTF-8", safetensors_bytes(b"{\"\xff\":1}", 0), "header cannot be read"),
        ("a list", safetensors_bytes("[]", 0), "header cannot be read"),
        ("a number", safetensors_bytes("1", 0), "header cannot be read"),
        ("a header that is cut off", safetensors_bytes("{\"a\":", 0), "header cannot be read"),
        ("text after the header", safetensors_bytes("{} {}", 0), "header cannot be read"),
        ("deeply nested", safetensors_bytes("{\"a\":".repeat(100_000), 0), "header cannot be read"),
        (
            "deep lists",
            safetensors_bytes(format!("{{\"a\":{}", "[".repeat(1_000_000)), 0),
            "header cannot be read",
        ),
        ("a tensor that is a number", safetensors_bytes("{\"a\":1}", 0), "header cannot be read"),
        (
            "a tensor without a dtype",
            safetensors_bytes("{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4),
            "dtype",
        ),
        (
            "a tensor without a shape",
            safetensors_bytes("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4),
            "shape",
        ),
        (
            "a tensor without offsets",
            safetensors_bytes("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4),
            "data_offsets",
        ),
        ("an unknown dtype", safetensors_bytes(header("PICKLE", "1", "0", "4"), 4), "PICKLE"),
        ("a negative size", safetensors_bytes(header("F32", "-1", "0", "4"), 4), "header cannot be read"),
        ("a fractional size", safetensors_bytes(header("F32", "1.5", "0", "4"), 4), "header cannot be read"),
        (
            "a size of 2^64",
            safetensors_bytes(header("F32", "18446744073709551616", "0", "4"), 4),
            "header cannot be read",
        ),
        (
            "more elements than u64 can count",
            safetensors_bytes(header("F32", "4294967296,4294967296", "0", "0"), 0),
            "`a` has the bytes",
        ),
        (
            "more bits than u64 can count",
            safetensors_bytes(header("F32", "2305843009213693952", "0", "0"), 0),
            "`a` has the bytes",
        ),
        ("a negative offset", safetensors_bytes(header("F32", "1", "-4", "0"), 4), "header cannot be read"),
        ("a negative end", safetensors_bytes(header("F32", "1", "0", "-4"), 4), "header cannot be read"),
        ("reversed offsets", safetensors_bytes(header("F32", "1", "4", "0"), 4), "`a` starts at byte 4"),
        ("an end beyond the file", safetensors_bytes(header("F32", "4", "0", "16"), 4), "describes 16 bytes"),
        (
            "an end at 2^63",
            safetensors_bytes(header("U8", "9223372036854775808", "0", "9223372036854775808"), 4),
            "`a` has the bytes",
        ),
        (
            "a start after a hole",
            safetensors_bytes(header("F32", "1", "4", "8"), 8),
            "`a` starts at byte 4 instead of 0",
        ),
        ("bytes of no tensor", safetensors_bytes(header("F32", "1", "0", "4"), 8), "describes 4 bytes"),
        (
            "fewer bytes than the shape",
            safetensors_bytes(header("F32", "2", "0", "4"), 4),
            "do not fit F32 of shape [2]",
        ),
        ("more bytes than the shape", safetensors_bytes(header("F32", "1", "0", "8"), 8), "do not fit"),
        (
            "two tensors with the same bytes",
            safetensors_bytes(two(r#""b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#), 8),
            "starts at byte 0",
        ),
        (
            "two tensors that overlap",
            safetensors_bytes(two(r#""b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}"#), 12),
            "`b` starts at byte 4",
        ),
        (
            "one name twice",
            safetensors_bytes(two(r#""a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}"#), 16),
            "`a` is defined twice",
        ),
        (
            "metadata that is not text",
            safetensors_bytes(r#"{"__metadata__":{"a":[1]}}"#, 0),
            "header cannot be read",
        ),
    ];
    for (case, bytes, text) in files {
        let model = TinyModel::new();
        let path = model.folder.write("model.safetensors", bytes);
        refusals.check(case, &[&path.display().to_string(), text], || {
            BaseModel::check_weights(model.folder.root()).map(drop)
        });
        refusals.check(case, &[&path.display().to_string(), text], || crate::invalid_models::read(&model));
    }
    refusals.finish(80);
}

/// Each file is a terabyte long. The files are sparse, so they occupy almost no disk space.
#[test]
fn a_sparse_file_costs_no_memory() {
    let mut refusals = Refusals::default();
    for claimed in [0_u64, 2, 100_000_001, 1 << 39] {
        let model = TinyModel::new();
        let path = model.folder.write("model.safetensors", [&claimed.to_le_bytes()[..], b"{}"].concat());
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        refusals.check(&claimed.to_string(), &["model.safetensors"], || crate::invalid_models::read(&model));
    }
    refusals.finish(4);
}

//! Checks that dtr refuses forged GGUF files, and allocates no memory for the sizes that these files claim.

use std::fs::{self, File};

use dtr_model::{BaseModel, LoadedModel};

use crate::refusals::Refusals;
use crate::root;
use crate::temp_folder::TempFolder;

/// The bytes of a forged GGUF file. Each method appends a part.
#[derive(Clone, Default)]
struct Forgery(Vec<u8>);

impl Forgery {
    /// Begins a file of version 3 that claims these numbers of tensors and metadata entries.
    fn new(num_tensors: u64, num_entries: u64) -> Self {
        Self::default().bytes(b"GGUF").u32(3).u64(num_tensors).u64(num_entries)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    fn text(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    /// Adds a metadata entry with a text.
    fn entry(self, key: &str, text: &str) -> Self {
        self.text(key).u32(8).text(text)
    }

    /// Adds a metadata entry with a u32.
    fn size(self, key: &str, size: u32) -> Self {
        self.text(key).u32(4).u32(size)
    }

    /// Adds the description of a tensor.
    fn tensor(self, name: &str, dimensions: &[u64], ggml_type: u32, start: u64) -> Self {
        let this = self.text(name).u32(dimensions.len() as u32);
        dimensions.iter().fold(this, |this, size| this.u64(*size)).u32(ggml_type).u64(start)
    }

    /// Adds zeros up to a multiple of 32 bytes, then `num_bytes` zeros.
    fn values(mut self, num_bytes: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + num_bytes, 0);
        self
    }
}

/// Returns a file with one tensor `a`, followed by `num_bytes` bytes of values.
fn one_tensor(dimensions: &[u64], ggml_type: u32, start: u64, num_bytes: usize) -> Forgery {
    Forgery::new(1, 0).tensor("a", dimensions, ggml_type, start).values(num_bytes)
}

/// Returns a file with two tensors of two values each. The second tensor starts at `start`.
fn two_tensors(names: [&str; 2], start: u64, num_bytes: usize) -> Forgery {
    let file = Forgery::new(2, 0).tensor(names[0], &[2], 0, 0);
    file.tensor(names[1], &[2], 0, start).values(num_bytes)
}

/// Returns files with invalid structure: a name, the file, and a part of the expected error.
fn containers() -> Vec<(&'static str, Forgery, &'static str)> {
    let array = |element: u32, count: u64| Forgery::new(0, 1).text("k").u32(9).u32(element).u64(count);
    vec![
        ("no byte", Forgery::default(), "does not begin as a GGUF file"),
        ("three bytes", Forgery::default().bytes(b"GGU"), "does not begin as a GGUF file"),
        ("a pickle", Forgery::default().bytes(b"\x80\x02}q\x00(X\x06\x00\x00\x00"), "does not begin"),
        ("the magic alone", Forgery::default().bytes(b"GGUF"), "ends within its header"),
        ("version 1", Forgery::default().bytes(b"GGUF").u32(1).u64(0).u64(0), "the version 1"),
        ("version 4", Forgery::default().bytes(b"GGUF").u32(4).u64(0).u64(0), "the version 4"),
        ("big-endian", Forgery::default().bytes(b"GGUF\0\0\0\x03").u64(0), "big-endian"),
        ("2^64 - 1 tensors", Forgery::new(u64::MAX, 0), "claims 18446744073709551615 tensors"),
        ("more tensors than bytes", Forgery::new(9, 0).values(32), "claims 9 tensors"),
        ("2^64 - 1 entries", Forgery::new(0, u64::MAX), "claims 18446744073709551615 entries"),
        ("more entries than bytes", Forgery::new(0, 9).values(32), "claims 9 entries"),
        ("a key of 2^64 - 1 bytes", Forgery::new(0, 1).u64(u64::MAX).values(32), "bytes of a text"),
        ("a key that is too long", Forgery::new(0, 1).u64(1 << 16).values(1 << 17), "bytes of a text"),
        ("a key that is not UTF-8", Forgery::new(0, 1).u64(1).bytes(b"\xff").values(32), "is not UTF-8"),
        ("a key alone", Forgery::new(0, 1).text("general.architecture"), "ends within its header"),
        ("a value of type 13", Forgery::new(0, 1).text("k").u32(13).values(32), "unknown type 13"),
        ("a flag of 2", Forgery::new(0, 1).text("k").u32(7).bytes(b"\x02").values(32), "has 2 as a flag"),
        ("a text beyond the file", Forgery::new(0, 1).text("k").u32(8).u64(1 << 40), "bytes of a text"),
        ("an array of arrays", array(9, 1).values(32), "array of arrays"),
        ("an array of type 13", array(13, 1).values(32), "array of the unknown type 13"),
        ("an array of 2^64 - 1 texts", array(8, u64::MAX).values(32), "values of an array"),
        ("an array of 2^61 numbers", array(10, 1 << 61).values(32), "values of an array"),
        ("an array that is too long", array(0, 1 << 23).values(1 << 24), "claims 8388608 values"),
        ("an array that is cut", array(8, 2).text("one").bytes(&[0; 5]), "ends within its header"),
        (
            "an array of large numbers",
            array(10, 1).u64(u64::MAX).values(0),
            "18446744073709551615 in an array",
        ),
        ("a key twice", Forgery::new(0, 2).entry("k", "a").entry("k", "b").values(32), "defines `k` twice"),
        ("an alignment of 0", Forgery::new(0, 1).size("general.alignment", 0).values(0), "has 0 as"),
        ("an alignment of 48", Forgery::new(0, 1).size("general.alignment", 48).values(0), "has 48 as"),
        (
            "an alignment of 2^31",
            Forgery::new(0, 1).size("general.alignment", 1 << 31).values(0),
            "a power of 2",
        ),
        (
            "an alignment by name",
            Forgery::new(0, 1).entry("general.alignment", "a").values(0),
            "has a text as",
        ),
        (
            "a name of 65 bytes",
            Forgery::new(1, 0).tensor(&"a".repeat(65), &[2], 0, 0).values(32),
            "of a text",
        ),
        ("no dimension", one_tensor(&[], 0, 0, 32), "with 0 dimensions"),
        ("five dimensions", one_tensor(&[1; 5], 0, 0, 32), "with 5 dimensions"),
        (
            "2^32 - 1 dimensions",
            Forgery::new(1, 0).text("a").u32(u32::MAX).values(32),
            "4294967295 dimensions",
        ),
        ("a dimension of 0", one_tensor(&[0], 0, 0, 0), "does not fit F32"),
        ("dimensions beyond numbers", one_tensor(&[1 << 32, 1 << 32], 0, 0, 32), "does not fit F32"),
        ("bytes beyond numbers", one_tensor(&[1 << 62], 0, 0, 32), "does not fit F32"),
        ("values beyond numbers", one_tensor(&[1 << 62], 2, 0, 32), "does not fit Q4_0"),
        ("a row of half a block", one_tensor(&[48], 2, 0, 64), "does not fit Q4_0"),
        ("the type Q4_2", one_tensor(&[32], 4, 0, 64), "of the type 4, which is not supported"),
        ("the type IQ2_XXS", one_tensor(&[256], 16, 0, 96), "of the type IQ2_XXS"),
        ("the type 2^32 - 1", one_tensor(&[2], u32::MAX, 0, 32), "of the type 4294967295"),
        ("an offset off the alignment", one_tensor(&[2], 0, 4, 32), "at the offset 4 instead of 0"),
        ("an offset of 2^64 - 32", one_tensor(&[2], 0, u64::MAX - 31, 32), "instead of 0"),
        ("values beyond the file", one_tensor(&[1 << 20], 0, 0, 32), "ends before the last value"),
        ("a value too few", one_tensor(&[2], 0, 0, 4), "header describes"),
        ("a byte too many", one_tensor(&[2], 0, 0, 33), "header describes"),
        ("two tensors in one place", two_tensors(["a", "b"], 0, 64), "`b` at the offset 0 instead of 32"),
        ("two that overlap", two_tensors(["a", "b"], 8, 64), "`b` at the offset 8"),
        ("a gap", two_tensors(["a", "b"], 64, 96), "`b` at the offset 64"),
        ("one name twice", two_tensors(["a", "a"], 32, 64), "two tensors `a`"),
        ("no architecture", Forgery::new(0, 0).values(0), "does not name its architecture"),
    ]
}

/// Returns files with valid structure but an invalid model: a name, the file, and a part of the expected
/// error.
fn models() -> Vec<(&'static str, Forgery, &'static str)> {
    let named = |entries: u64| Forgery::new(1, entries + 1).entry("general.architecture", "llama");
    let with_embedding = |file: Forgery| file.tensor("token_embd.weight", &[2, 2], 0, 0).values(16);
    let number = |key: &str| Forgery::new(1, 1).size(key, 1);
    let adapter = Forgery::new(0, 1).entry("general.type", "adapter").values(0);
    vec![
        ("an architecture that is a number", with_embedding(number("general.architecture")), "has 1 as"),
        ("an adapter", adapter, "holds no model"),
        ("a part", Forgery::new(0, 1).size("split.count", 2).values(0), "is a part of a split file"),
        (
            "no embedding",
            Forgery::new(0, 1).entry("general.architecture", "llama").values(0),
            "token_embd.weight",
        ),
        ("no settings", with_embedding(named(0)), "lacks `llama."),
        ("experts", with_embedding(named(1).size("llama.expert_count", 8)), "has 8 experts"),
        (
            "a list of heads",
            {
                let heads = named(1).text("llama.attention.head_count").u32(9).u32(4).u64(1).u32(4);
                with_embedding(heads)
            },
            "an array as `llama.attention.head_count`",
        ),
        (
            "half of each head",
            with_embedding(
                named(3)
                    .size("llama.attention.head_count", 1)
                    .size("llama.attention.key_length", 4)
                    .size("llama.rope.dimension_count", 2),
            ),
            "has heads of width 4 and 2",
        ),
    ]
}

#[test]
fn forged_files_are_refused() {
    let mut refusals = Refusals::default();
    let folder = TempFolder::new();
    for (case, file, text) in containers().into_iter().chain(models()) {
        let path = folder.write("forged.gguf", &file.0);
        let texts = [&path.display().to_string(), text];
        refusals.check(case, &texts, || BaseModel::read_config(&path));
        refusals.check(case, &texts, || LoadedModel::read(&path, &burn::tensor::Device::flex()).map(drop));
    }
    refusals.finish(110);
}

/// Returns the bytes of a fixture in which `to` replaces the first `from`.
fn replaced(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
    let bytes = fs::read(root().join("tests/fixtures/gguf").join(name)).unwrap();
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .expect("the fixture contains the replaced bytes");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn changed_models_are_refused() {
    let mut refusals = Refusals::default();
    let folder = TempFolder::new();
    for (case, name, from, to, text) in [
        ("an unknown tensor", "qwen3.gguf", "blk.1.attn_q.weight", "blk.1.attn_z.weight", "attn_z.weight"),
        ("a layer too many", "qwen3.gguf", "blk.1.attn_q.weight", "blk.7.attn_q.weight", "blk.7.attn_q"),
        ("a tensor twice", "qwen3.gguf", "blk.1.attn_q.weight", "blk.0.attn_q.weight", "two tensors"),
        ("a layer called 01", "qwen3.gguf", "k.1.attn_output.w", "k.0.attn_output.w", "two tensors"),
        ("two that swap", "qwen3.gguf", "blk.1.ffn_down.weight", "blk.1.ffn_gate.weight", "two tensors"),
        (
            "another pre-tokenizer",
            "qwen2.gguf",
            "\u{5}\0\0\0\0\0\0\0qwen2\u{15}",
            "\u{5}\0\0\0\0\0\0\0qwen9\u{15}",
            "pre-tokenizer \"qwen9\"",
        ),
        ("another kind", "qwen2.gguf", "\u{4}\0\0\0\0\0\0\0gpt2", "\u{4}\0\0\0\0\0\0\0bert", "kind \"bert\""),
        (
            "no tokens",
            "qwen2.gguf",
            "tokenizer.ggml.tokens",
            "tokenizer.ggml.tokenz",
            "lacks `tokenizer.ggml.tokens`",
        ),
        (
            "no merges",
            "qwen2.gguf",
            "tokenizer.ggml.merges",
            "tokenizer.ggml.merge5",
            "lacks `tokenizer.ggml.merges`",
        ),
        (
            "no scores",
            "llama.gguf",
            "tokenizer.ggml.scores",
            "tokenizer.ggml.score5",
            "lacks `tokenizer.ggml.scores`",
        ),
        (
            "no rms epsilon",
            "llama.gguf",
            "layer_norm_rms_epsilon",
            "layer_norm_rms_epsilom",
            "layer_norm_rms_epsilon",
        ),
    ] {
        let path = folder.write("changed.gguf", replaced(name, from.as_bytes(), to.as_bytes()));
        let texts = [&path.display().to_string(), text];
        refusals.check(case, &texts, || {
            BaseModel::read_tokenizer(&path)?;
            BaseModel::check_weights(&path)
        });
    }
    refusals.finish(11);
}

/// Each file is a terabyte long. The files are sparse, so they occupy almost no disk space.
#[test]
fn a_sparse_file_costs_no_memory() {
    let mut refusals = Refusals::default();
    let folder = TempFolder::new();
    let array = |element: u32, count: u64| Forgery::new(0, 1).text("k").u32(9).u32(element).u64(count);
    for (case, file) in [
        ("texts", array(8, 1 << 22)),
        ("bytes", array(0, 1 << 22)),
        ("a text", Forgery::new(0, 1).text("k").u32(8).u64(1 << 39)),
        ("tensors", Forgery::new(1 << 16, 0)),
        ("values", Forgery::new(1, 0).tensor("a", &[1 << 30], 0, 0)),
    ] {
        let path = folder.write("sparse.gguf", &file.0);
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        refusals.check(case, &["sparse.gguf"], || BaseModel::read_config(&path));
    }
    refusals.finish(5);
}

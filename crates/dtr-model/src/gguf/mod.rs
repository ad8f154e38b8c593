//! Reads models from GGUF files, the format of llama.cpp.
//!
//! A GGUF file holds metadata and tensors. The tensors may be quantised. [`GgufModel`] turns the metadata
//! into the text files of a Hugging Face directory (`config.json`, `tokenizer.json` and so on).
//! [`GgufReader`] reads the tensors under their names in transformers. So the checks of models in
//! directories also apply to GGUF files.
//!
//! dtr has its own reader of the format, which needs no additional dependency. The reader sets hard limits on
//! every count and length, because a file may be hostile.

mod architecture;
mod byte_reader;
mod dequantize;
mod ggml_type;
mod header;
mod metadata;
mod model;
mod reader;
mod tensor_names;
mod tensor_values;
mod tokenizer;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use model::GgufModel;
pub(crate) use reader::GgufReader;
pub(crate) use tensor_values::GgufTensor;
pub(crate) use tokenizer::TokenizerFiles;
pub(crate) use writer::{MetadataValue, write_gguf_file};

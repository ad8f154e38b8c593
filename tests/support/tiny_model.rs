//! A small model in a temporary folder.

use burn::tensor::Device;
use dtr::data::synthetic_tokenizer;
use dtr_core::seed::Seed;
use dtr_model::{Decoder, DecoderShape, RandomParams, Tokenizer, write_base_model};

use crate::temp_folder::TempFolder;

/// A directory with a Llama-style model of two layers and random weights.
pub struct TinyModel {
    pub folder: TempFolder,
}

impl TinyModel {
    pub fn new() -> Self {
        let architecture = DecoderShape {
            hidden_size: 16,
            intermediate_size: 16,
            num_layers: 2,
            num_heads: 2,
            num_kv_heads: 1,
            head_dim: 4,
            tokenizer: None,
        };
        let tokenizer = Tokenizer::from(synthetic_tokenizer().unwrap());
        let config = architecture.llama_config(tokenizer.vocab_size(), 64);
        let mut decoder = Decoder::new(&config, &mut RandomParams::new(Seed(1), &Device::flex())).unwrap();
        let folder = TempFolder::new();
        write_base_model(&mut decoder, &tokenizer, folder.root()).unwrap();
        Self { folder }
    }
}

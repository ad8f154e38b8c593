//! Small random models for the tests of this crate and of those that build on it.

use burn::tensor::Device;
use dtr_core::seed::Seed;

use crate::{
    Architecture, Block, Config, Decoder, GdnConfig, Geometry, GlaConfig, Init, JetConfig, Random, Tokenizer,
    Twins, Variant,
};

/// Returns a shape of three layers.
pub fn architecture() -> Architecture {
    Architecture {
        hidden_size: 32,
        intermediate_size: 48,
        num_layers: 3,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        tokenizer: None,
    }
}

/// Returns a decoder with random weights, with biases on q, k and v or norms on q and k as asked.
pub fn decoder(qkv_bias: bool, qk_norm: bool) -> Decoder {
    let config = Config { qkv_bias, qk_norm, ..Config::llama(&architecture(), 50, 256) };
    Decoder::new(&config, &mut Random::new(Seed(3), &Device::flex()))
        .expect("random parameters fit every shape")
}

/// Returns one variant of each linear block, and some with other settings.
pub fn variants() -> Vec<Variant> {
    let variant = |block: Block| Variant { block, geometry: Geometry::default(), init: Init::Copy };
    let mut rotated = variant(Block::Gla(GlaConfig::default()));
    rotated.geometry.rope = true;
    rotated.geometry.output_gate = false;
    vec![
        variant(Block::Gla(GlaConfig::default())),
        variant(Block::Gdn(GdnConfig::default())),
        variant(Block::Gdn(GdnConfig { conv_size: 0, allow_neg_eigval: true })),
        variant(Block::Jet(JetConfig::default())),
        rotated,
    ]
}

/// Returns random twins of `base`.
pub fn twins(variant: &Variant, base: &Decoder) -> Twins {
    Twins::new(variant, base, &mut Random::new(Seed(5), &base.device()))
        .expect("random parameters fit every shape")
}

/// Returns the tokenizer of the bundled base.
pub fn tokenizer() -> Tokenizer {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer.json");
    Tokenizer::read(&path).expect("the bundled tokenizer is whole")
}

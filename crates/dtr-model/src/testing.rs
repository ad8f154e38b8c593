//! Small random models for tests and examples.

use burn::tensor::Device;
use dtr_core::seed::Seed;

use crate::{
    BlockConfig, Decoder, DecoderConfig, DecoderShape, GdnConfig, GeometryConfig, GlaConfig, Initializer,
    JetConfig, ParamMut, ParamSource, Parameters, PortableFormat, RandomParams, Tokenizer, TwinInit,
    TwinVariant, Twins,
};

/// Returns the shape of a decoder with three layers.
pub fn shape() -> DecoderShape {
    DecoderShape {
        hidden_size: 32,
        intermediate_size: 48,
        num_layers: 3,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        tokenizer: None,
    }
}

/// Returns a decoder with random weights, optionally with biases on q, k and v (Qwen2) or norms on q and k
/// (Qwen3).
pub fn decoder(qkv_bias: bool, qk_norm: bool) -> Decoder {
    let config = DecoderConfig { qkv_bias, qk_norm, ..shape().llama_config(50, 256) };
    Decoder::new(&config, &mut RandomParams::new(Seed(3), &Device::flex()))
        .expect("random parameters fit every shape")
}

/// Returns one variant of each kind of block with default settings, and variants with other settings. One
/// variant has neither biases nor norms of q and k, and one has both, whatever its base has.
pub fn variants() -> Vec<TwinVariant> {
    let variant =
        |block: BlockConfig| TwinVariant { block, geometry: GeometryConfig::default(), init: TwinInit::Copy };
    let mut rotated = variant(BlockConfig::Gla(GlaConfig::default()));
    rotated.geometry.rope = true;
    rotated.geometry.output_gate = false;
    let mut portable = variant(BlockConfig::Gdn(GdnConfig::default()));
    portable.geometry.portable = Some(PortableFormat::Qwen35);
    let mut normalised = variant(BlockConfig::Jet(JetConfig::default()));
    normalised.geometry.qkv_bias = Some(true);
    normalised.geometry.qk_norm = Some(true);
    vec![
        variant(BlockConfig::Gla(GlaConfig::default())),
        variant(BlockConfig::Gdn(GdnConfig::default())),
        variant(BlockConfig::Gdn(GdnConfig { conv_size: 0, allow_neg_eigval: true })),
        variant(BlockConfig::Jet(JetConfig::default())),
        rotated,
        portable,
        normalised,
    ]
}

/// Returns random twins of `base`.
pub fn twins(variant: &TwinVariant, base: &Decoder) -> Twins {
    Twins::new(variant, base, &mut RandomParams::new(Seed(5), &base.device()))
        .expect("random parameters fit every shape")
}

/// Returns random twins of `base` whose short convolutions are random too. The convolutions of [`twins`] pass
/// the current token through, so that their states have no effect.
pub fn twins_with_random_convolutions(variant: &TwinVariant, base: &Decoder) -> Twins {
    let mut twins = twins(variant, base);
    let params: &mut dyn ParamSource = &mut RandomParams::new(Seed(9), &base.device());
    let initializer = || Initializer::Normal(0.5);
    twins.visit(&mut |name, param| match param {
        ParamMut::Matrix(kernel) if name.contains("conv1d") => {
            *kernel = params.matrix(name, kernel.dims(), initializer()).expect("parameters are random");
        }
        ParamMut::Vector(bias) if name.contains("conv1d") => {
            *bias = params.vector(name, bias.dims()[0], initializer()).expect("parameters are random");
        }
        _ => {}
    });
    twins
}

/// Returns the tokenizer of the bundled base model.
pub fn bundled_tokenizer() -> Tokenizer {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini/tokenizer.json");
    Tokenizer::read(&path).expect("the bundled tokenizer is valid")
}

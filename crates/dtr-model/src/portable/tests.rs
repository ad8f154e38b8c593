//! Tests of the conditions of each format.

use super::HybridFormat;
use super::constraints::portable_constraints;
use crate::config::ModelType;
use crate::testing::shape;
use crate::{
    BlockConfig, DecoderConfig, GdnConfig, GeometryConfig, GlaConfig, JetConfig, PortableFormat, TwinInit,
    TwinVariant,
};
use dtr_ops::RopeScaling;

fn base(model_type: ModelType) -> DecoderConfig {
    let (qkv_bias, qk_norm) = (model_type == ModelType::Qwen2, model_type == ModelType::Qwen3);
    DecoderConfig { model_type, qkv_bias, qk_norm, ..shape().llama_config(50, 256) }
}

fn variant(block: BlockConfig, format: PortableFormat) -> TwinVariant {
    let geometry = GeometryConfig { portable: Some(format), ..GeometryConfig::default() };
    TwinVariant { block, geometry, init: TwinInit::Copy }
}

fn failed(format: PortableFormat, base: &DecoderConfig, variant: &TwinVariant) -> Vec<&'static str> {
    let constraints = portable_constraints(format, base, variant);
    constraints.into_iter().filter(|one| !one.is_met).map(|one| one.name).collect()
}

#[test]
fn the_preset_of_a_format_meets_its_conditions() {
    let gdn = BlockConfig::Gdn(GdnConfig::default());
    let gla = BlockConfig::Gla(GlaConfig::default());
    let jet = BlockConfig::Jet(JetConfig::default());
    for (format, model_type, block) in [
        (PortableFormat::Qwen35, ModelType::Qwen3, &gdn),
        (PortableFormat::JetNemotron, ModelType::Qwen2, &jet),
        (PortableFormat::JetNemotron, ModelType::Llama, &jet),
        (PortableFormat::Fla, ModelType::Qwen2, &gdn),
        (PortableFormat::Fla, ModelType::Llama, &gla),
    ] {
        let (base, mut variant) = (base(model_type), variant(block.clone(), format));
        assert!(failed(format, &base, &variant).is_empty());
        HybridFormat::Portable(format).check(&base, &variant).unwrap();
        // Without the preset, the twins inherit biases of Qwen2 and norms of Qwen3.
        variant.geometry.portable = None;
        let inherited = match model_type {
            ModelType::Llama => vec![],
            ModelType::Qwen2 => vec!["qkv-bias"],
            ModelType::Qwen3 => vec!["qk-norm"],
        };
        assert_eq!(failed(format, &base, &variant), inherited);
        variant.geometry.qkv_bias = Some(false);
        variant.geometry.qk_norm = Some(false);
        assert!(failed(format, &base, &variant).is_empty());
    }
}

#[test]
fn every_condition_that_fails_is_named() {
    let format = PortableFormat::Qwen35;
    let mut llama = base(ModelType::Llama);
    llama.rope_scaling = RopeScaling::Factors(vec![2.0; 4]);
    let gdn = GdnConfig { conv_size: 5, allow_neg_eigval: true };
    let mut twin = variant(BlockConfig::Gdn(gdn), format);
    twin.geometry.rope = true;
    twin.geometry.output_gate = false;
    twin.geometry.qk_norm = Some(true);
    let expected =
        ["base", "rope_scaling", "output-gate", "conv-size", "allow-neg-eigval", "qk-norm", "rope"];
    assert_eq!(failed(format, &llama, &twin), expected);
    let text = HybridFormat::Portable(format).check(&llama, &twin).unwrap_err().to_string();
    assert!(text.contains("`base` must be qwen3, not llama"), "{text}");
    assert!(text.contains("`conv-size` must be 0, 2, 3 or 4, not 5"), "{text}");
    let gla = variant(BlockConfig::Gla(GlaConfig::default()), format);
    assert_eq!(failed(format, &base(ModelType::Qwen3), &gla), ["block"]);
}

#[test]
fn conditions_of_jet_nemotron_and_fla_fail_by_name() {
    let mut base = base(ModelType::Qwen2);
    base.head_dim = 16;
    base.rope_theta = 0.5;
    base.rope_scaling = RopeScaling::Factors(vec![2.0; 8]);
    let jet = JetConfig { conv_size: 1, generator_reduction: 1 };
    let mut twin = variant(BlockConfig::Jet(jet), PortableFormat::JetNemotron);
    twin.geometry.num_heads = Some(5);
    twin.geometry.num_kv_heads = Some(2);
    twin.geometry.value_dim = Some(20);
    assert_eq!(
        failed(PortableFormat::JetNemotron, &base, &twin),
        ["head_dim", "rope_theta", "rope_scaling", "conv-size", "generator-reduction"]
    );
    let gla = GlaConfig { gate_low_rank_dim: 4, gate_logit_normalizer: 2.0 };
    assert_eq!(
        failed(PortableFormat::Fla, &base, &variant(BlockConfig::Gla(gla), PortableFormat::Fla)),
        ["head_dim", "rope_scaling", "gate-low-rank-dim", "gate-logit-normalizer"]
    );
}

#[test]
fn llama_cpp_needs_equal_widths_of_keys_and_values() {
    let mut twin = variant(BlockConfig::Gdn(GdnConfig::default()), PortableFormat::Qwen35);
    let qwen3 = base(ModelType::Qwen3);
    HybridFormat::Gguf.check(&qwen3, &twin).unwrap();
    twin.geometry.value_dim = Some(16);
    HybridFormat::Portable(PortableFormat::Qwen35).check(&qwen3, &twin).unwrap();
    let text = HybridFormat::Gguf.check(&qwen3, &twin).unwrap_err().to_string();
    assert!(text.contains("`value-dim` must be 8, as `key-dim`, not 16"), "{text}");
    HybridFormat::Transformers.check(&qwen3, &twin).unwrap();
}

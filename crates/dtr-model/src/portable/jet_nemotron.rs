//! A hybrid of a Llama or Qwen2 base and JetBlock as a Jet-Nemotron model (`JetNemotronForCausalLM` of
//! SGLang).
//!
//! Full attention of Jet-Nemotron always has biases of queries, keys and values. For a Llama base, they are
//! zero. In a JetBlock, each query head has its own key and value head, so that shared heads are repeated.

use serde_json::{Value, json};

use super::generator_reduction::generator_reduction;
use super::hybrid_tensors::{EMBEDDING, HEAD, HybridTensors, LAST_NORM, LAYER_NORMS, MLP};
use crate::directory::{Segment, TensorSource};
use crate::{BlockConfig, JetConfig};
use dtr_core::error::Result;
use dtr_ops::RopeScaling;

fn jet<'a>(hybrid: &HybridTensors<'a>) -> &'a JetConfig {
    match &hybrid.variant.block {
        BlockConfig::Jet(jet) => jet,
        _ => unreachable!("the constraints require a JetBlock"),
    }
}

/// Returns the fields of `config.json` that are specific to the format.
pub(super) fn config(hybrid: &HybridTensors<'_>) -> Value {
    let (config, geometry, jet) = (hybrid.config, &hybrid.geometry, jet(hybrid));
    let layer_type = |layer| if hybrid.is_linear(layer) { "jet" } else { "attn" };
    let reduction = generator_reduction(jet, geometry).expect("the constraints require a divisor");
    json!({
        "architectures": ["JetNemotronForCausalLM"],
        "model_type": "jet_nemotron",
        "layer_types": (0..config.num_layers).map(layer_type).collect::<Vec<_>>(),
        "efficient_attention_config": {
            "jet": {
                "mode": "chunk",
                "expand_v": expansion(geometry.value_dim, geometry.key_dim),
                "num_heads": geometry.num_heads,
                "head_dim": geometry.key_dim,
                "norm_eps": config.norm_epsilon.to_string(),
                "conv_size": jet.conv_size,
                "dconv_generator_reduction": reduction,
                "dconv_implementation": "triton",
            },
        },
        "rope_theta": config.rope_theta,
        "rope_scaling": rope_scaling(&config.rope_scaling),
    })
}

/// Returns the factor by which `from` is multiplied to give `to`. Other software truncates the product.
pub(super) fn expansion(to: usize, from: usize) -> f64 {
    let factor = to as f64 / from as f64;
    if (factor * from as f64) as usize == to { factor } else { factor.next_up() }
}

fn rope_scaling(scaling: &RopeScaling) -> Value {
    match scaling {
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_position,
        }),
        _ => Value::Null,
    }
}

/// Returns the tensors of the Jet-Nemotron model.
///
/// # Errors
/// Fails when the hybrid lacks a tensor.
pub(super) fn tensors(hybrid: &HybridTensors<'_>) -> Result<Vec<TensorSource>> {
    let mut tensors = vec![hybrid.renamed(EMBEDDING, EMBEDDING)?, hybrid.renamed(LAST_NORM, LAST_NORM)?];
    if !hybrid.config.tied_head {
        tensors.push(hybrid.renamed(HEAD, HEAD)?);
    }
    for layer in 0..hybrid.config.num_layers {
        for part in LAYER_NORMS.into_iter().chain(MLP) {
            let name = format!("model.layers.{layer}.{part}");
            tensors.push(hybrid.renamed(&name, &name)?);
        }
        let prefix = format!("model.layers.{layer}.self_attn");
        tensors.extend(match hybrid.is_linear(layer) {
            true => jet_block(hybrid, layer, &prefix)?,
            false => full_attention(hybrid, &prefix)?,
        });
    }
    Ok(tensors)
}

fn full_attention(hybrid: &HybridTensors<'_>, prefix: &str) -> Result<Vec<TensorSource>> {
    let mut tensors = Vec::new();
    for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        let name = format!("{prefix}.{part}.weight");
        tensors.push(hybrid.renamed(&name, &name)?);
        let (num_rows, dtype) = (hybrid.find(&name)?.shape()[0], hybrid.find(&name)?.dtype());
        let bias = format!("{prefix}.{part}.bias");
        match (part, hybrid.config.qkv_bias) {
            ("o_proj", _) => {}
            (_, true) => tensors.push(hybrid.renamed(&bias, &bias)?),
            (_, false) => {
                let zeros = vec![Segment::Constant(vec![0.0; num_rows])];
                tensors.push(TensorSource::computed(bias, vec![num_rows], zeros).cast(dtype));
            }
        }
    }
    Ok(tensors)
}

fn jet_block(hybrid: &HybridTensors<'_>, layer: usize, prefix: &str) -> Result<Vec<TensorSource>> {
    let renamed = |part: &str, to: &str| {
        let name = hybrid.twin_part(layer, part)?.name.clone();
        hybrid.renamed(&name, &format!("{prefix}.{to}"))
    };
    let repeated = |part: &str, to: &str, rows: usize| {
        let row_shape = hybrid.twin_part(layer, part)?.shape()[1..].to_vec();
        let shape = [vec![hybrid.geometry.num_heads * rows], row_shape].concat();
        let segments = hybrid.for_query_heads(layer, part, rows)?;
        Ok(TensorSource::computed(format!("{prefix}.{to}"), shape, segments))
    };
    let (key_dim, value_dim) = (hybrid.geometry.key_dim, hybrid.geometry.value_dim);
    let taps = value_dim * jet(hybrid).conv_size;
    let generator = "dynamic_conv1d.kernel_generator";
    let mut tensors = vec![
        repeated("k_proj.weight", "k_proj.weight", key_dim)?,
        repeated("v_proj.weight", "v_proj.weight", value_dim)?,
        renamed("dynamic_conv1d.w1.weight", &format!("{generator}.w1.weight"))?,
        repeated("dynamic_conv1d.w2.weight", &format!("{generator}.w2.weight"), taps)?,
        repeated("dynamic_conv1d.w2.bias", &format!("{generator}.w2.bias"), taps)?,
    ];
    for part in ["q_proj.weight", "a_proj.weight", "b_proj.weight", "g_proj.weight", "o_proj.weight"]
        .into_iter()
        .chain(["o_norm.weight", "A_log", "dt_bias"])
    {
        tensors.push(renamed(part, part)?);
    }
    Ok(tensors)
}

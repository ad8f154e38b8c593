//! A hybrid of a Llama or Qwen2 base as a model of flash-linear-attention: `GatedDeltaNetForCausalLM` or
//! `GLAForCausalLM` with full attention in some layers.
//!
//! In GLA, query heads may share key/value heads, as in dtr. In Gated DeltaNet, each query head has its own
//! key and value head, so that shared heads are repeated.

use serde_json::{Value, json};

use super::hybrid_tensors::{EMBEDDING, HEAD, HybridTensors, LAST_NORM, MLP};
use super::jet_nemotron::expansion;
use crate::BlockConfig;
use crate::directory::{Segment, TensorSource};
use dtr_core::error::Result;

/// The parts of a layer whose names differ: in dtr, and in flash-linear-attention.
const NORMS: [(&str, &str); 2] =
    [("input_layernorm.weight", "attn_norm.weight"), ("post_attention_layernorm.weight", "mlp_norm.weight")];

/// Returns the fields of `config.json` that are specific to the format.
pub(super) fn config(hybrid: &HybridTensors<'_>) -> Value {
    let (config, geometry) = (hybrid.config, &hybrid.geometry);
    let layers: Vec<usize> = (0..config.num_layers).filter(|&layer| !hybrid.is_linear(layer)).collect();
    let attention = json!({
        "layers": layers,
        "num_heads": config.num_heads,
        "num_kv_heads": config.num_kv_heads,
        "qkv_bias": config.qkv_bias,
        "window_size": null,
        "rope_theta": config.rope_theta,
    });
    let mut fields = match &hybrid.variant.block {
        BlockConfig::Gla(_) => json!({
            "architectures": ["GLAForCausalLM"],
            "model_type": "gla",
            "expand_k": expansion(geometry.num_heads * geometry.key_dim, config.hidden_size),
            "expand_v": expansion(geometry.num_heads * geometry.value_dim, config.hidden_size),
            "num_heads": geometry.num_heads,
            "num_kv_heads": geometry.num_kv_heads,
            "use_short_conv": false,
            "use_output_gate": geometry.output_gate,
        }),
        BlockConfig::Gdn(gdn) => json!({
            "architectures": ["GatedDeltaNetForCausalLM"],
            "model_type": "gated_deltanet",
            "head_dim": geometry.key_dim,
            "expand_v": expansion(geometry.value_dim, geometry.key_dim),
            "num_heads": geometry.num_heads,
            "num_v_heads": null,
            "use_short_conv": gdn.conv_size > 0,
            "conv_size": gdn.conv_size.max(1),
            "allow_neg_eigval": gdn.allow_neg_eigval,
            "use_gate": geometry.output_gate,
        }),
        BlockConfig::Jet(_) => unreachable!("the constraints refuse a JetBlock"),
    };
    let shared = json!({
        "attn_mode": "chunk",
        "attn": if layers.is_empty() { Value::Null } else { attention },
        "hidden_act": "swish",
        "hidden_ratio": null,
        "norm_eps": config.norm_epsilon,
    });
    if let (Value::Object(fields), Value::Object(shared)) = (&mut fields, shared) {
        fields.extend(shared);
    }
    fields
}

/// Returns the tensors of the model.
///
/// # Errors
/// Fails when the hybrid lacks a tensor.
pub(super) fn tensors(hybrid: &HybridTensors<'_>) -> Result<Vec<TensorSource>> {
    let mut tensors =
        vec![hybrid.renamed(EMBEDDING, "model.embeddings.weight")?, hybrid.renamed(LAST_NORM, LAST_NORM)?];
    if !hybrid.config.tied_head {
        tensors.push(hybrid.renamed(HEAD, HEAD)?);
    }
    for layer in 0..hybrid.config.num_layers {
        let prefix = format!("model.layers.{layer}");
        for (from, to) in NORMS.into_iter().chain(MLP.map(|part| (part, part))) {
            tensors.push(hybrid.renamed(&format!("{prefix}.{from}"), &format!("{prefix}.{to}"))?);
        }
        tensors.extend(match hybrid.is_linear(layer) {
            true => linear_attention(hybrid, layer, &format!("{prefix}.attn"))?,
            false => full_attention(hybrid, &prefix)?,
        });
    }
    Ok(tensors)
}

fn full_attention(hybrid: &HybridTensors<'_>, prefix: &str) -> Result<Vec<TensorSource>> {
    let mut parts = vec!["q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"];
    if hybrid.config.qkv_bias {
        parts.extend(["q_proj.bias", "k_proj.bias", "v_proj.bias"]);
    }
    let renamed =
        |part: &str| hybrid.renamed(&format!("{prefix}.self_attn.{part}"), &format!("{prefix}.attn.{part}"));
    parts.into_iter().map(renamed).collect()
}

fn linear_attention(hybrid: &HybridTensors<'_>, layer: usize, prefix: &str) -> Result<Vec<TensorSource>> {
    let renamed = |part: &str, to: &str| {
        let name = hybrid.twin_part(layer, part)?.name.clone();
        hybrid.renamed(&name, &format!("{prefix}.{to}"))
    };
    let has_gate = hybrid.geometry.output_gate;
    let mut tensors =
        vec![renamed("q_proj.weight", "q_proj.weight")?, renamed("o_proj.weight", "o_proj.weight")?];
    if has_gate {
        tensors.push(renamed("g_proj.weight", "g_proj.weight")?);
    }
    match &hybrid.variant.block {
        BlockConfig::Gla(_) => {
            let norm = if has_gate { "g_norm_swish_gate.weight" } else { "g_norm.weight" };
            tensors.push(renamed("o_norm.weight", norm)?);
            for part in ["k_proj.weight", "v_proj.weight", "gk_proj.0.weight"]
                .into_iter()
                .chain(["gk_proj.1.weight", "gk_proj.1.bias"])
            {
                tensors.push(renamed(part, part)?);
            }
        }
        _ => {
            for part in ["a_proj.weight", "b_proj.weight", "A_log", "dt_bias", "o_norm.weight"] {
                tensors.push(renamed(part, part)?);
            }
            tensors.extend(repeated_keys_and_values(hybrid, layer, prefix)?);
        }
    }
    Ok(tensors)
}

/// Returns the projections of keys and values of Gated DeltaNet for the query heads, and the kernels of the
/// convolutions, `[channels, 1, width]`.
fn repeated_keys_and_values(
    hybrid: &HybridTensors<'_>,
    layer: usize,
    prefix: &str,
) -> Result<Vec<TensorSource>> {
    let geometry = &hybrid.geometry;
    let mut tensors = Vec::new();
    let has_kernels = matches!(&hybrid.variant.block, BlockConfig::Gdn(gdn) if gdn.conv_size > 0);
    for (part, rows, group) in [
        ("q_conv1d", geometry.key_dim, 1),
        ("k_conv1d", geometry.key_dim, geometry.heads_per_kv_head()),
        ("v_conv1d", geometry.value_dim, geometry.heads_per_kv_head()),
        ("k_proj", geometry.key_dim, geometry.heads_per_kv_head()),
        ("v_proj", geometry.value_dim, geometry.heads_per_kv_head()),
    ] {
        let is_kernel = part.ends_with("conv1d");
        if is_kernel && !has_kernels {
            continue;
        }
        let tensor = hybrid.twin_part(layer, &format!("{part}.weight"))?;
        let (channels, width) = (group * tensor.shape()[0], tensor.row_len());
        let shape = if is_kernel { vec![channels, 1, width] } else { vec![channels, width] };
        let segments = Segment::repeat_heads(tensor, rows, group);
        tensors.push(TensorSource::computed(format!("{prefix}.{part}.weight"), shape, segments));
    }
    Ok(tensors)
}

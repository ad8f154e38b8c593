//! A hybrid of a Qwen3 base and Gated DeltaNet as a Qwen3.5 model (`Qwen3_5ForCausalLM` of transformers).
//!
//! Full attention of Qwen3.5 has an output gate, `sigmoid(g)`. Gates with zero weights are exactly 0.5, and
//! the output projection is doubled. Norms of Qwen3.5 multiply by `1 + w`, except the norm after the
//! recurrence. In linear layers, each query head has its own key and value head, so that shared heads are
//! repeated.

use serde_json::{Value, json};

use super::hybrid_tensors::{EMBEDDING, HEAD, HybridTensors, LAST_NORM, LAYER_NORMS, MLP};
use crate::BlockConfig;
use crate::directory::{ElementMap, Segment, TensorSource};
use dtr_core::error::Result;

/// The width of the convolutions if the twins have none. Their kernels then pass the current token through.
const IDENTITY_CONV_SIZE: usize = 4;

/// Returns the width of the convolutions in the exported model.
pub(super) fn conv_size(hybrid: &HybridTensors<'_>) -> usize {
    match &hybrid.variant.block {
        BlockConfig::Gdn(gdn) if gdn.conv_size > 0 => gdn.conv_size,
        _ => IDENTITY_CONV_SIZE,
    }
}

/// Returns the fields of `config.json` that are specific to the format.
pub(super) fn config(hybrid: &HybridTensors<'_>) -> Value {
    let (config, geometry) = (hybrid.config, &hybrid.geometry);
    let layer_type = |layer| if hybrid.is_linear(layer) { "linear_attention" } else { "full_attention" };
    json!({
        "architectures": ["Qwen3_5ForCausalLM"],
        "model_type": "qwen3_5_text",
        "head_dim": config.head_dim,
        "attention_bias": false,
        "layer_types": (0..config.num_layers).map(layer_type).collect::<Vec<_>>(),
        "linear_conv_kernel_dim": conv_size(hybrid),
        "linear_key_head_dim": geometry.key_dim,
        "linear_value_head_dim": geometry.value_dim,
        "linear_num_key_heads": geometry.num_heads,
        "linear_num_value_heads": geometry.num_heads,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "partial_rotary_factor": 1.0,
        },
        // Some converters of llama.cpp read this key here, and rotate a quarter of each head without it.
        "partial_rotary_factor": 1.0,
    })
}

/// Returns the tensors of the Qwen3.5 model.
///
/// # Errors
/// Fails when the hybrid lacks a tensor.
pub(super) fn tensors(hybrid: &HybridTensors<'_>) -> Result<Vec<TensorSource>> {
    let mut tensors = vec![hybrid.renamed(EMBEDDING, EMBEDDING)?, centred_norm(hybrid, LAST_NORM)?];
    if !hybrid.config.tied_head {
        tensors.push(hybrid.renamed(HEAD, HEAD)?);
    }
    for layer in 0..hybrid.config.num_layers {
        let prefix = format!("model.layers.{layer}");
        for part in LAYER_NORMS {
            tensors.push(centred_norm(hybrid, &format!("{prefix}.{part}"))?);
        }
        for part in MLP {
            let name = format!("{prefix}.{part}");
            tensors.push(hybrid.renamed(&name, &name)?);
        }
        tensors.extend(match hybrid.is_linear(layer) {
            true => linear_attention(hybrid, layer, &format!("{prefix}.linear_attn"))?,
            false => full_attention(hybrid, &format!("{prefix}.self_attn"))?,
        });
    }
    Ok(tensors)
}

/// Returns the weight of a norm that multiplies by `1 + w`. It stays in F32, because `w` rounded to 16 bits
/// can give another `1 + w`.
fn centred_norm(hybrid: &HybridTensors<'_>, name: &str) -> Result<TensorSource> {
    Ok(hybrid.mapped(name, ElementMap::MinusOne, name)?.in_f32())
}

fn full_attention(hybrid: &HybridTensors<'_>, prefix: &str) -> Result<Vec<TensorSource>> {
    let name = |part: &str| format!("{prefix}.{part}.weight");
    let copied = |part: &str| hybrid.renamed(&name(part), &name(part));
    Ok(vec![
        gated_queries(hybrid, &name("q_proj"), &name("q_proj"))?,
        copied("k_proj")?,
        copied("v_proj")?,
        hybrid.mapped(&name("o_proj"), ElementMap::Double, &name("o_proj"))?,
        centred_norm(hybrid, &name("q_norm"))?,
        centred_norm(hybrid, &name("k_norm"))?,
    ])
}

/// Returns the projection of queries and gates, `[2·h·k, d]`: for each head, the rows of its queries, and
/// zeros for its gates.
pub(super) fn gated_queries(hybrid: &HybridTensors<'_>, from: &str, to: &str) -> Result<TensorSource> {
    let queries = hybrid.find(from)?;
    let (width, rows) = (queries.row_len(), hybrid.config.head_dim);
    let gate = || Segment::Constant(vec![0.0; rows * width]);
    let heads = Segment::repeat_heads(queries, rows, 1);
    let segments = heads.into_iter().flat_map(|head| [head, gate()]).collect();
    Ok(TensorSource::computed(to.to_owned(), vec![2 * queries.shape()[0], width], segments))
}

fn linear_attention(hybrid: &HybridTensors<'_>, layer: usize, prefix: &str) -> Result<Vec<TensorSource>> {
    let renamed = |part: &str, to: &str| {
        let name = hybrid.twin_part(layer, part)?.name.clone();
        hybrid.renamed(&name, &format!("{prefix}.{to}"))
    };
    Ok(vec![
        joined_projections(hybrid, layer, format!("{prefix}.in_proj_qkv.weight"))?,
        joined_kernels(hybrid, layer, format!("{prefix}.conv1d.weight"), true)?,
        renamed("g_proj.weight", "in_proj_z.weight")?,
        renamed("b_proj.weight", "in_proj_b.weight")?,
        renamed("a_proj.weight", "in_proj_a.weight")?,
        renamed("A_log", "A_log")?,
        renamed("dt_bias", "dt_bias")?,
        renamed("o_norm.weight", "norm.weight")?,
        renamed("o_proj.weight", "out_proj.weight")?,
    ])
}

/// Returns the projections of queries, keys and values, one after another, `[2·h·k + h·v, d]`.
pub(super) fn joined_projections(
    hybrid: &HybridTensors<'_>,
    layer: usize,
    name: String,
) -> Result<TensorSource> {
    let geometry = &hybrid.geometry;
    let mut segments = vec![Segment::all(hybrid.twin_part(layer, "q_proj.weight")?)];
    segments.extend(hybrid.for_query_heads(layer, "k_proj.weight", geometry.key_dim)?);
    segments.extend(hybrid.for_query_heads(layer, "v_proj.weight", geometry.value_dim)?);
    Ok(TensorSource::computed(name, vec![num_channels(hybrid), geometry.hidden_size], segments))
}

/// Returns the kernels on queries, keys and values, one after another, `[channels, 1, width]`, or
/// `[channels, width]` without `has_middle`.
pub(super) fn joined_kernels(
    hybrid: &HybridTensors<'_>,
    layer: usize,
    name: String,
    has_middle: bool,
) -> Result<TensorSource> {
    let (geometry, width, channels) = (&hybrid.geometry, conv_size(hybrid), num_channels(hybrid));
    let has_kernels = matches!(&hybrid.variant.block, BlockConfig::Gdn(gdn) if gdn.conv_size > 0);
    let segments = match has_kernels {
        false => vec![Segment::identity_kernels(channels, width)],
        true => {
            let mut segments = vec![Segment::all(hybrid.twin_part(layer, "q_conv1d.weight")?)];
            segments.extend(hybrid.for_query_heads(layer, "k_conv1d.weight", geometry.key_dim)?);
            segments.extend(hybrid.for_query_heads(layer, "v_conv1d.weight", geometry.value_dim)?);
            segments
        }
    };
    let shape = if has_middle { vec![channels, 1, width] } else { vec![channels, width] };
    Ok(TensorSource::computed(name, shape, segments))
}

/// Returns the number of channels of queries, keys and values over all query heads.
fn num_channels(hybrid: &HybridTensors<'_>) -> usize {
    let geometry = &hybrid.geometry;
    geometry.num_heads * (2 * geometry.key_dim + geometry.value_dim)
}

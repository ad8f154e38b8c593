//! A hybrid of a Qwen3 base and Gated DeltaNet as a GGUF file of the architecture `qwen35` of llama.cpp.
//!
//! The tensors are those of the Qwen3.5 model under other names, with three differences, as in the converter
//! of llama.cpp: norms multiply by `w`, the decay is stored as `−exp(A_log)`, and kernels have two dimensions.

use safetensors::Dtype;

use super::hybrid_tensors::{EMBEDDING, HEAD, HybridTensors, LAST_NORM};
use super::qwen3_5::{conv_size, gated_queries, joined_kernels, joined_projections};
use crate::directory::{ElementMap, TensorSource};
use crate::gguf::MetadataValue;
use dtr_core::error::Result;

/// The parts of a layer that keep their values: in dtr, and in GGUF files.
const LAYER_PARTS: [(&str, &str); 3] = [
    ("mlp.gate_proj.weight", "ffn_gate.weight"),
    ("mlp.up_proj.weight", "ffn_up.weight"),
    ("mlp.down_proj.weight", "ffn_down.weight"),
];

/// The norms of a layer: in dtr, and in GGUF files.
const LAYER_NORMS: [(&str, &str); 2] = [
    ("input_layernorm.weight", "attn_norm.weight"),
    ("post_attention_layernorm.weight", "post_attention_norm.weight"),
];

/// The parts of a twin that keep their values: in dtr, and in GGUF files.
const TWIN_PARTS: [(&str, &str); 4] = [
    ("g_proj.weight", "attn_gate.weight"),
    ("b_proj.weight", "ssm_beta.weight"),
    ("a_proj.weight", "ssm_alpha.weight"),
    ("o_proj.weight", "ssm_out.weight"),
];

/// Returns the metadata of the model, without those of its tokenizer. `dtype` is the dtype of the embedding.
pub(crate) fn metadata(hybrid: &HybridTensors<'_>, dtype: Dtype) -> Vec<(String, MetadataValue)> {
    use MetadataValue::{BoolList, F32, I32List, Text, U32};
    let (config, geometry) = (hybrid.config, &hybrid.geometry);
    let number = |number: usize| U32(number as u32);
    let file_type = match dtype {
        Dtype::F16 => 1,
        Dtype::BF16 => 32,
        _ => 0,
    };
    let is_linear = (0..config.num_layers).map(|layer| hybrid.is_linear(layer)).collect();
    let of_model = [
        ("block_count", number(config.num_layers)),
        ("context_length", number(config.max_positions)),
        ("embedding_length", number(config.hidden_size)),
        ("feed_forward_length", number(config.intermediate_size)),
        ("attention.head_count", number(config.num_heads)),
        ("attention.head_count_kv", number(config.num_kv_heads)),
        ("attention.key_length", number(config.head_dim)),
        ("attention.value_length", number(config.head_dim)),
        ("attention.layer_norm_rms_epsilon", F32(config.norm_epsilon as f32)),
        ("attention.recurrent_layers", BoolList(is_linear)),
        ("rope.freq_base", F32(config.rope_theta as f32)),
        ("rope.dimension_count", number(config.head_dim)),
        ("rope.dimension_sections", I32List(position_sections(config.head_dim / 2))),
        ("ssm.conv_kernel", number(conv_size(hybrid))),
        ("ssm.state_size", number(geometry.key_dim)),
        ("ssm.group_count", number(geometry.num_heads)),
        ("ssm.time_step_rank", number(geometry.num_heads)),
        ("ssm.inner_size", number(geometry.num_heads * geometry.value_dim)),
    ];
    let general = [
        ("general.architecture".to_owned(), Text("qwen35".to_owned())),
        ("general.type".to_owned(), Text("model".to_owned())),
        ("general.file_type".to_owned(), U32(file_type)),
    ];
    let of_model = of_model.into_iter().map(|(key, value)| (format!("qwen35.{key}"), value));
    general.into_iter().chain(of_model).collect()
}

/// Returns the number of rotary frequencies that belong to each of the positions time, height, width and
/// others. In a text, the first three positions are equal. llama.cpp takes them in turn, and requires this
/// list. Its converter writes the list for 32 frequencies, and llama.cpp fails if a head has fewer.
fn position_sections(num_frequencies: usize) -> Vec<i32> {
    let count = num_frequencies as i32;
    vec![(count + 2) / 3, (count + 1) / 3, count / 3, 0]
}

/// Returns the tensors of the model. The embedding is the first tensor. llama.cpp reads norms, gates and
/// kernels in F32.
///
/// # Errors
/// Fails when the hybrid lacks a tensor.
pub(crate) fn tensors(hybrid: &HybridTensors<'_>) -> Result<Vec<TensorSource>> {
    let mut tensors = vec![
        hybrid.renamed(EMBEDDING, "token_embd.weight")?,
        hybrid.renamed(LAST_NORM, "output_norm.weight")?.in_f32(),
    ];
    if !hybrid.config.tied_head {
        tensors.push(hybrid.renamed(HEAD, "output.weight")?);
    }
    for layer in 0..hybrid.config.num_layers {
        let (from, to) = (format!("model.layers.{layer}"), format!("blk.{layer}"));
        for (own, other) in LAYER_NORMS {
            let norm = hybrid.renamed(&format!("{from}.{own}"), &format!("{to}.{other}"))?;
            tensors.push(norm.in_f32());
        }
        for (own, other) in LAYER_PARTS {
            tensors.push(hybrid.renamed(&format!("{from}.{own}"), &format!("{to}.{other}"))?);
        }
        tensors.extend(match hybrid.is_linear(layer) {
            true => linear_attention(hybrid, layer, &to)?,
            false => full_attention(hybrid, &format!("{from}.self_attn"), &to)?,
        });
    }
    Ok(tensors)
}

fn full_attention(hybrid: &HybridTensors<'_>, from: &str, to: &str) -> Result<Vec<TensorSource>> {
    let renamed = |own: &str, other: &str| {
        hybrid.renamed(&format!("{from}.{own}.weight"), &format!("{to}.{other}.weight"))
    };
    let (output, renamed_output) = (format!("{from}.o_proj.weight"), format!("{to}.attn_output.weight"));
    Ok(vec![
        gated_queries(hybrid, &format!("{from}.q_proj.weight"), &format!("{to}.attn_q.weight"))?,
        renamed("k_proj", "attn_k")?,
        renamed("v_proj", "attn_v")?,
        hybrid.mapped(&output, ElementMap::Double, &renamed_output)?,
        renamed("q_norm", "attn_q_norm")?.in_f32(),
        renamed("k_norm", "attn_k_norm")?.in_f32(),
    ])
}

fn linear_attention(hybrid: &HybridTensors<'_>, layer: usize, to: &str) -> Result<Vec<TensorSource>> {
    let name = |part: &str| Ok::<_, dtr_core::error::Error>(hybrid.twin_part(layer, part)?.name.clone());
    let decay = hybrid.mapped(&name("A_log")?, ElementMap::NegativeExp, &format!("{to}.ssm_a"))?;
    let mut tensors = vec![
        joined_projections(hybrid, layer, format!("{to}.attn_qkv.weight"))?,
        joined_kernels(hybrid, layer, format!("{to}.ssm_conv1d.weight"), false)?.in_f32(),
        decay.in_f32(),
        hybrid.renamed(&name("dt_bias")?, &format!("{to}.ssm_dt.bias"))?.in_f32(),
        hybrid.renamed(&name("o_norm.weight")?, &format!("{to}.ssm_norm.weight"))?.in_f32(),
    ];
    for (own, other) in TWIN_PARTS {
        tensors.push(hybrid.renamed(&name(own)?, &format!("{to}.{other}"))?);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sections_cover_all_frequencies() {
        // The list of Qwen3.5, whose heads have 32 rotary frequencies.
        assert_eq!(position_sections(32), [11, 11, 10, 0]);
        assert_eq!(position_sections(64), [22, 21, 21, 0]);
        assert_eq!(position_sections(8), [3, 3, 2, 0]);
    }
}

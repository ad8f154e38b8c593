//! Formats of other software that can express some hybrids without own code.
//!
//! A hybrid is expressed without loss or refused. [`HybridFormat::constraints`] lists the conditions of a format.
//! The modules of the formats map a hybrid's tensors to those of the format, as functions of their rows.

mod constraints;
mod fla;
mod format;
mod generator_reduction;
mod hybrid_tensors;
mod jet_nemotron;
mod qwen3_5;
pub(crate) mod qwen3_5_gguf;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

pub use constraints::Constraint;
pub use format::HybridFormat;
pub(crate) use hybrid_tensors::{EMBEDDING, HEAD, HybridTensors};

use crate::PortableFormat;
use crate::directory::TensorSource;
use dtr_core::error::Result;

/// Returns the fields of `config.json` that are specific to `format`, and the tensors of the hybrid. The
/// embedding is the first tensor. The hybrid must meet the conditions of the format.
///
/// # Errors
/// Fails when the hybrid lacks a tensor.
pub(crate) fn express(
    format: PortableFormat,
    hybrid: &HybridTensors<'_>,
) -> Result<(Map<String, Value>, Vec<TensorSource>)> {
    let (fields, tensors) = match format {
        PortableFormat::Qwen35 => (qwen3_5::config(hybrid), qwen3_5::tensors(hybrid)?),
        PortableFormat::JetNemotron => (jet_nemotron::config(hybrid), jet_nemotron::tensors(hybrid)?),
        PortableFormat::Fla => (fla::config(hybrid), fla::tensors(hybrid)?),
    };
    let Value::Object(mut fields) = fields else { unreachable!("the fields are an object") };
    if format != PortableFormat::Fla {
        let config = hybrid.config;
        fields.insert("hidden_act".to_owned(), json!("silu"));
        fields.insert("rms_norm_eps".to_owned(), json!(config.norm_epsilon));
        fields.insert("num_attention_heads".to_owned(), json!(config.num_heads));
        fields.insert("num_key_value_heads".to_owned(), json!(config.num_kv_heads));
    }
    Ok((fields, tensors))
}

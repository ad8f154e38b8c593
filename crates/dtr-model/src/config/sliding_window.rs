//! Checks the layers with sliding-window attention. Such a layer attends only to the latest tokens.
//!
//! In a Qwen model, dtr supports such a layer only if its window holds the whole context. The layer then
//! computes full attention. In a Llama model, the window only limits the cache.

use serde_json::Value;

use super::ModelType;
use super::fields::{ConfigFields, FieldResult, whole_number};

/// The value in `layer_types` for a layer with full attention. transformers defines these values.
pub(crate) const FULL_ATTENTION: &str = "full_attention";

/// The value in `layer_types` for a layer with sliding-window attention.
pub(crate) const SLIDING_ATTENTION: &str = "sliding_attention";

/// The value in `layer_types` for a layer whose attention dtr replaced.
pub(crate) const LINEAR_ATTENTION: &str = "linear_attention";

/// The default window of a Qwen's layers with sliding-window attention, in tokens.
const DEFAULT_SLIDING_WINDOW: usize = 4096;

/// The default index of a Qwen's first layer with sliding-window attention.
const DEFAULT_MAX_WINDOW_LAYERS: i64 = 28;

/// Checks that every layer attends to the whole context of `max_positions` tokens. Returns the most tokens
/// that the cache may hold during generation, or `None` if the cache may hold the whole context.
///
/// Only a Llama can have such a limit. In transformers, a Llama's attention ignores the window, but a Llama's
/// cache drops older tokens.
pub(super) fn checked_cache_limit(
    fields: &ConfigFields<'_>,
    num_layers: usize,
    max_positions: usize,
) -> FieldResult<Option<usize>> {
    let types = layer_types(fields, num_layers)?;
    match fields.model_type {
        ModelType::Llama => {
            let window = cache_window(fields, types.as_deref())?;
            Ok(window.filter(|window| *window < max_positions))
        }
        ModelType::Qwen2 | ModelType::Qwen3 => {
            check_qwen_layers(fields, types.as_deref(), num_layers, max_positions).map(|()| None)
        }
    }
}

/// Returns the type of each layer, or `None` if the file does not list the types.
fn layer_types<'a>(fields: &ConfigFields<'a>, num_layers: usize) -> FieldResult<Option<Vec<&'a str>>> {
    let Some(listed) = fields.get("layer_types").filter(|value| !value.is_null()) else { return Ok(None) };
    let types = listed.as_array().filter(|types| types.len() == num_layers);
    let types = types.ok_or_else(|| format!("does not list {num_layers} layers in `layer_types`"))?;
    let is_chunked = fields.model_type == ModelType::Llama;
    let of_layer = |(layer, value): (usize, &'a Value)| match value.as_str() {
        Some(name @ (FULL_ATTENTION | SLIDING_ATTENTION | LINEAR_ATTENTION)) => Ok(name),
        Some(name @ "chunked_attention") if is_chunked => Ok(name),
        _ => Err(format!("has the unsupported type {value} in layer {layer}")),
    };
    types.iter().enumerate().map(of_layer).collect::<FieldResult<_>>().map(Some)
}

/// Returns the most tokens that a Llama's cache may hold, or `None` if there is no limit.
fn cache_window(fields: &ConfigFields<'_>, types: Option<&[&str]>) -> FieldResult<Option<usize>> {
    let window = |key: &str| match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => whole_number(key, value).map(Some),
    };
    let Some(types) = types else {
        return Ok(window("sliding_window")?.or(window("attention_chunk_size")?));
    };
    let mut smallest: Option<usize> = None;
    for (name, key) in [(SLIDING_ATTENTION, "sliding_window"), ("chunked_attention", "attention_chunk_size")]
    {
        if types.contains(&name) {
            let size = window(key)?.ok_or_else(|| format!("has layers of type `{name}` and no `{key}`"))?;
            smallest = Some(smallest.map_or(size, |smallest| smallest.min(size)));
        }
    }
    Ok(smallest)
}

/// Checks that the window of a Qwen's layers with sliding-window attention holds the whole context.
fn check_qwen_layers(
    fields: &ConfigFields<'_>,
    types: Option<&[&str]>,
    num_layers: usize,
    max_positions: usize,
) -> FieldResult<()> {
    let window = match (fields.flag("use_sliding_window")?, fields.get("sliding_window")) {
        (false, _) | (true, Some(Value::Null)) => None,
        (true, None) => Some(DEFAULT_SLIDING_WINDOW),
        (true, Some(value)) => Some(whole_number("sliding_window", value)?),
    };
    let is_sliding = match types {
        Some(types) => types.contains(&SLIDING_ATTENTION),
        None => window.is_some() && max_window_layers(fields)? < num_layers as i64,
    };
    match window {
        _ if !is_sliding => Ok(()),
        Some(window) if window >= max_positions => Ok(()),
        Some(window) => Err(format!(
            "asks for sliding-window attention, which is not supported: its window is {window} of \
             {max_positions} tokens"
        )),
        None => Err("has sliding layers and no window: `use_sliding_window` is not set".to_owned()),
    }
}

/// Returns the index of the first layer with sliding-window attention.
fn max_window_layers(fields: &ConfigFields<'_>) -> FieldResult<i64> {
    match fields.get("max_window_layers") {
        None => Ok(DEFAULT_MAX_WINDOW_LAYERS),
        Some(value) => value
            .as_i64()
            .ok_or_else(|| format!("has {value} as `max_window_layers`, which must be a whole number")),
    }
}

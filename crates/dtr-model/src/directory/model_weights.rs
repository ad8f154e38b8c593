//! Opens the weight files of a model. The names and the sharing of tensors follow transformers 5.17.

use std::path::Path;

use burn::tensor::Device;

use super::weight_files::weight_files;
use crate::{DecoderConfig, SafetensorsReader};
use dtr_core::error::Result;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Opens the weights in `directory`. Changes stored names to the names in the model. Sets `config.tied_head`
/// to `false` if the weights hold a head that differs from the embedding.
///
/// # Errors
/// Fails when a file is missing or damaged, or when two tensors get the same name.
pub(super) fn open_model_weights(
    directory: &Path,
    config: &mut DecoderConfig,
    device: &Device,
) -> Result<SafetensorsReader> {
    let mut weights =
        SafetensorsReader::open(&weight_files(directory)?, device)?.with_names(model_tensor_name)?;
    weights.ignore_if(is_rotary_buffer);
    resolve_tied_head(&mut weights, config)?;
    Ok(weights)
}

/// Returns the model's name for a tensor whose name in a file is `stored`. If the file was saved without an
/// output head, its names lack the prefix `model.`.
pub(super) fn model_tensor_name(stored: String) -> String {
    match stored.as_str() {
        "model.lm_head.weight" => HEAD.to_owned(),
        "embed_tokens.weight" | "norm.weight" => format!("model.{stored}"),
        name if name.starts_with("layers.") => format!("model.{stored}"),
        _ => stored,
    }
}

/// Returns whether a tensor holds rotary frequencies. Old files store them for each layer, but this crate
/// computes them.
pub(super) fn is_rotary_buffer(name: &str) -> bool {
    name.contains("rotary_emb.inv_freq")
}

/// Decides whether the output head shares the embedding's weight. Does nothing unless the configuration ties
/// the two. If both weights are stored and differ, the head stays separate. If only the head is stored, its
/// weight is also the embedding.
fn resolve_tied_head(weights: &mut SafetensorsReader, config: &mut DecoderConfig) -> Result<()> {
    if !config.tied_head {
        return Ok(());
    }
    match (weights.has(EMBEDDING), weights.has(HEAD)) {
        (true, true) if weights.are_equal(EMBEDDING, HEAD)? => weights.ignore_if(|name| name == HEAD),
        (true, true) => config.tied_head = false,
        (false, true) => weights.rename(HEAD, EMBEDDING),
        (_, false) => {}
    }
    Ok(())
}

/// Returns a note for the user about the stored tensors `names` that the model in `directory` does not use.
/// Returns `None` if `names` is empty.
pub fn unused_tensors_note(directory: &Path, names: &[String]) -> Option<String> {
    let first = names.first()?;
    Some(format!(
        "note: `{}` holds {} tensor(s) that its `config.json` does not ask for, such as `{first}`; they are \
         ignored, as in transformers",
        directory.display(),
        names.len()
    ))
}

//! Opening the weight files of a model: the names and the sharing of tensors, as in transformers 5.17.

use std::path::Path;

use burn::tensor::Device;

use super::weight_files::weight_files;
use crate::{DecoderConfig, SafetensorsReader};
use dtr_core::error::Result;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Opens the weights in `directory`. Their names become those of the model, and `config.tied_head` says
/// whether the model uses its embedding as its output head.
///
/// # Errors
/// Fails when a file is missing or damaged, or two tensors get one name.
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

/// Returns the name of a stored tensor in the model. Files of a model without its output head lack the prefix
/// `model.`.
pub(super) fn model_tensor_name(stored: String) -> String {
    match stored.as_str() {
        "model.lm_head.weight" => HEAD.to_owned(),
        "embed_tokens.weight" | "norm.weight" => format!("model.{stored}"),
        name if name.starts_with("layers.") => format!("model.{stored}"),
        _ => stored,
    }
}

/// Returns whether a tensor holds rotary frequencies. Old files store them for each layer; models compute
/// them.
pub(super) fn is_rotary_buffer(name: &str) -> bool {
    name.contains("rotary_emb.inv_freq")
}

/// Decides whether the output head is the embedding. A head that is stored beside the embedding and differs
/// from it stays, although the configuration ties the two. A head that is stored alone is the embedding too.
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

/// Describes the tensors in the files of `directory` that its model does not have. Returns `None` if there
/// are none.
pub fn unused_tensors_note(directory: &Path, names: &[String]) -> Option<String> {
    let first = names.first()?;
    Some(format!(
        "note: `{}` holds {} tensor(s) that its `config.json` does not ask for, such as `{first}`; they are \
         ignored, as in transformers",
        directory.display(),
        names.len()
    ))
}

//! Opens the weights of a model. The names of tensors, and the tying of the output head to the embedding,
//! follow transformers 5.17.

use std::path::Path;

use burn::tensor::{DType, Device};

use super::model_files::ModelFiles;
use super::weight_files::weight_files;
use crate::gguf::GgufReader;
use crate::{DecoderConfig, Initializer, ParamSource, SafetensorsReader};
use dtr_core::error::Result;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// The weights of a model, by their names in the model.
pub(super) enum ModelWeights {
    /// The weights in safetensors files.
    Safetensors(SafetensorsReader),
    /// The weights in a GGUF file.
    Gguf(GgufReader),
}

impl ModelWeights {
    /// Sets the dtype to which parameters are cast.
    pub fn with_dtype(self, dtype: DType) -> Self {
        match self {
            Self::Safetensors(reader) => Self::Safetensors(reader.with_dtype(dtype)),
            Self::Gguf(reader) => Self::Gguf(reader.with_dtype(dtype)),
        }
    }

    /// Checks that the tensor `name` exists and has the shape `shape`. Marks it as read.
    ///
    /// # Errors
    /// Fails when the tensor is missing or has another shape.
    pub fn check(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        match self {
            Self::Safetensors(reader) => reader.check(name, shape),
            Self::Gguf(reader) => reader.check(name),
        }
    }

    /// Returns the names of tensors that the model does not use. Call this function after all other tensors
    /// were read. For a GGUF file, the list is empty, because [`GgufReader`] refuses files with such tensors.
    pub fn unread_names(&self) -> Vec<String> {
        match self {
            Self::Safetensors(reader) => reader.unread_names(),
            Self::Gguf(_) => Vec::new(),
        }
    }

    fn source(&self) -> &dyn ParamSource {
        match self {
            Self::Safetensors(reader) => reader,
            Self::Gguf(reader) => reader,
        }
    }
}

impl ParamSource for ModelWeights {
    fn values(&mut self, name: &str, shape: &[usize], initializer: Initializer) -> Result<Vec<f32>> {
        match self {
            Self::Safetensors(reader) => reader.values(name, shape, initializer),
            Self::Gguf(reader) => reader.values(name, shape, initializer),
        }
    }

    fn device(&self) -> &Device {
        self.source().device()
    }

    fn dtype(&self) -> DType {
        self.source().dtype()
    }
}

/// Opens the weights of the model at `path`, a directory or a GGUF file. Renames stored tensors to the names
/// in the model. Sets `config.tied_head` to `false` if the weights hold a head that differs from the
/// embedding.
///
/// # Errors
/// Fails when a file is missing or damaged, or when two tensors get the same name.
pub(super) fn open_model_weights(
    path: &Path,
    config: &mut DecoderConfig,
    device: &Device,
) -> Result<ModelWeights> {
    if let ModelFiles::Gguf(model) = ModelFiles::open(path)? {
        return model.weights(device).map(ModelWeights::Gguf);
    }
    let mut weights = SafetensorsReader::open(&weight_files(path)?, device)?.with_names(model_tensor_name)?;
    weights.ignore_if(is_rotary_buffer);
    resolve_tied_head(&mut weights, config)?;
    Ok(ModelWeights::Safetensors(weights))
}

/// Converts the name of a tensor in a file to the name that this crate uses. Names in files that were saved
/// without an output head lack the prefix `model.`, so this function adds the prefix.
pub(super) fn model_tensor_name(stored: String) -> String {
    match stored.as_str() {
        "model.lm_head.weight" => HEAD.to_owned(),
        "embed_tokens.weight" | "norm.weight" => format!("model.{stored}"),
        name if name.starts_with("layers.") => format!("model.{stored}"),
        _ => stored,
    }
}

/// Returns whether a tensor holds rotary frequencies. Old files store these frequencies for each layer, but
/// this crate computes them.
pub(super) fn is_rotary_buffer(name: &str) -> bool {
    name.contains("rotary_emb.inv_freq")
}

/// Decides whether the output head shares the embedding's weight. Does nothing if the configuration does not
/// tie the two. If both weights are stored and differ, the head stays separate. If only the head is stored,
/// its weight is also the embedding.
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

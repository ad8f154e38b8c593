//! Writes a hybrid as a Hugging Face directory, from the files of its base and its twins. [`crate`] defines
//! these terms.

use std::path::Path;

use burn::tensor::Device;
use serde_json::json;

use super::TensorSource;
use super::config_json::hybrid_config_json;
use super::model_files::ModelFiles;
use super::model_weights::{is_rotary_buffer, model_tensor_name};
use super::tensor_copy::write_weights;
use super::weight_files::weight_files;
use super::{BaseModel, WeightDtype, read_eos_token_ids};
use crate::mixer::{FULL_ATTENTION_PREFIX, LINEAR_ATTENTION_PREFIX};
use crate::{HybridFormat, Mask, TwinVariant, Twins};
use dtr_core::error::{Error, Result};
use dtr_core::files::{create_folder_atomically, write_bytes_atomically};

/// The most bytes of tensor values in one weight file.
pub(super) const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// The file of the tokenizer, which every base has.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// The file that names the tokenizer's class and its special tokens.
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// The file with the end tokens and the settings of sampling.
const GENERATION_CONFIG_FILE: &str = "generation_config.json";

/// The Python files with which transformers loads a hybrid.
const PYTHON_FILES: [(&str, &str); 2] = [
    ("configuration_dtr.py", include_str!("../../python/configuration_dtr.py")),
    ("modeling_dtr.py", include_str!("../../python/modeling_dtr.py")),
];

/// The files and settings from which a hybrid is written as a Hugging Face directory.
pub struct HybridWriter<'a> {
    /// The base's directory or GGUF file.
    pub base: &'a Path,
    /// The file of all layers' twins, and their variant. The file is not read if `mask` is empty.
    pub twins: (&'a Path, &'a TwinVariant),
    /// The replaced layers.
    pub mask: &'a Mask,
    /// The file of the parameters that were trained after the search, under their names in the hybrid. They
    /// take the place of the base's and the twins' parameters.
    pub tuned: Option<&'a Path>,
    /// The model card, which becomes `README.md`.
    pub model_card: String,
    /// The format of the directory.
    pub format: HybridFormat,
    /// The dtype to which weights are rounded. `None` keeps the dtype of every tensor.
    pub dtype: Option<WeightDtype>,
}

impl HybridWriter<'_> {
    /// Writes the hybrid to `directory`, atomically: `directory` is complete or does not exist. A hybrid in
    /// GGUF is a file.
    ///
    /// If `dtype` is `None`, quantised tensors of a GGUF file become F32, all other tensors keep their dtype,
    /// and no value changes.
    ///
    /// # Errors
    /// Fails when `directory` is not empty, a file is missing, a replaced layer has no twin, or the format
    /// cannot express the hybrid.
    pub fn write(&self, directory: &Path) -> Result<()> {
        self.write_in_shards(directory, MAX_SHARD_BYTES)
    }

    pub(super) fn write_in_shards(&self, directory: &Path, max_shard_bytes: u64) -> Result<()> {
        let files = ModelFiles::open(self.base)?;
        let is_hybrid = self.mask.num_replaced() > 0;
        let (config, tensors) = match self.format {
            HybridFormat::Portable(format) => self.express(&files, format)?,
            HybridFormat::Gguf => return self.write_gguf(&files, directory),
            HybridFormat::Transformers => {
                let config = hybrid_config_json(self.base, self.mask, self.variant(), self.dtype)?;
                (config, self.tensors(&files)?.into_iter().map(|tensor| self.cast(tensor)).collect())
            }
        };
        create_folder_atomically(directory, |folder| {
            write_weights(folder, tensors, max_shard_bytes)?;
            for name in [TOKENIZER_FILE].into_iter().chain(BaseModel::OPTIONAL_FILES) {
                self.copy_file(&files, name, folder)?;
            }
            if is_hybrid {
                write_tokenizer_config(folder)?;
                self.write_generation_config(folder)?;
            }
            if is_hybrid && self.format == HybridFormat::Transformers {
                write_python_files(folder)?;
            }
            write_bytes_atomically(&folder.join("config.json"), config.as_bytes())?;
            write_bytes_atomically(&folder.join("README.md"), self.model_card.as_bytes())
        })
    }

    /// Returns the variant of the twins. `None` if no layer is replaced.
    fn variant(&self) -> Option<&TwinVariant> {
        Some(self.twins.1).filter(|_| self.mask.num_replaced() > 0)
    }

    pub(super) fn cast(&self, tensor: TensorSource) -> TensorSource {
        match self.dtype {
            Some(dtype) => tensor.cast(dtype.of_safetensors()),
            None => tensor,
        }
    }

    /// Writes a generation configuration with the end tokens of the base, unless the base has such a file.
    fn write_generation_config(&self, folder: &Path) -> Result<()> {
        let path = folder.join(GENERATION_CONFIG_FILE);
        let ids = read_eos_token_ids(self.base)?;
        if path.exists() || ids.is_empty() {
            return Ok(());
        }
        let config = json!({ "eos_token_id": if let [id] = ids[..] { json!(id) } else { json!(ids) } });
        let text = serde_json::to_string_pretty(&config).expect("the settings are plain JSON") + "\n";
        write_bytes_atomically(&path, text.as_bytes())
    }

    /// Copies the base's file `name`. Does nothing if the file is optional and missing.
    fn copy_file(&self, files: &ModelFiles, name: &str, folder: &Path) -> Result<()> {
        let text = match files {
            ModelFiles::Gguf(model) => model.file_text(name)?.map(String::into_bytes),
            ModelFiles::Directory(directory) => {
                let path = directory.join(name);
                let is_copied = name == TOKENIZER_FILE || path.exists();
                let read = || std::fs::read(&path).map_err(|cause| Error::io("read", &path, cause));
                is_copied.then(read).transpose()?
            }
        };
        text.map_or(Ok(()), |text| write_bytes_atomically(&folder.join(name), &text))
    }

    /// Returns the tensors of the hybrid. In a replaced layer, the twin's tensors take the place of the
    /// attention's tensors. All other tensors are those of the base.
    pub(super) fn tensors(&self, files: &ModelFiles) -> Result<Vec<TensorSource>> {
        let mut tensors = base_tensor_sources(files)?;
        for layer in self.mask.layers() {
            let replaced = format!("model.layers.{layer}.{FULL_ATTENTION_PREFIX}.");
            tensors.retain(|tensor| !tensor.name.starts_with(&replaced));
            tensors.extend(self.twin_tensors(layer)?);
        }
        replace_tensors(&mut tensors, self.tuned.map_or(Ok(Vec::new()), TensorSource::list)?)?;
        Ok(tensors)
    }

    /// Returns the tensors of a layer's twin, under their names in the hybrid.
    fn twin_tensors(&self, layer: u32) -> Result<Vec<TensorSource>> {
        let prefix = format!("{}.", Twins::layer_name(layer as usize));
        let rename = |mut tensor: TensorSource| {
            let part = tensor.name.strip_prefix(&prefix)?.to_owned();
            tensor.name = format!("model.layers.{layer}.{LINEAR_ATTENTION_PREFIX}.{part}");
            Some(tensor)
        };
        let twin: Vec<TensorSource> =
            TensorSource::list(self.twins.0)?.into_iter().filter_map(rename).collect();
        match twin.is_empty() {
            true => Err(Error::failed(format!("`{}` has no twin of layer {layer}", self.twins.0.display()))),
            false => Ok(twin),
        }
    }
}

/// Replaces tensors of a model by those of `tuned`, which have the same names.
///
/// # Errors
/// Fails if `tensors` has no tensor of a name in `tuned`.
pub(super) fn replace_tensors(tensors: &mut [TensorSource], tuned: Vec<TensorSource>) -> Result<()> {
    for tuned in tuned {
        match tensors.iter_mut().find(|tensor| tensor.name == tuned.name) {
            Some(tensor) => *tensor = tuned,
            None => return Err(Error::failed(format!("the model has no tensor `{}`", tuned.name))),
        }
    }
    Ok(())
}

/// Writes the settings of the tokenizer in `folder`, unless the base has such settings. transformers cannot
/// load a tokenizer of a hybrid without them.
fn write_tokenizer_config(folder: &Path) -> Result<()> {
    let path = folder.join(TOKENIZER_CONFIG_FILE);
    if path.exists() {
        return Ok(());
    }
    let mut config = json!({ "tokenizer_class": "PreTrainedTokenizerFast" });
    let tokenizer = BaseModel::read_tokenizer(folder)?;
    // If the file of special tokens exists, transformers reads their names from that file.
    let has_token_names = folder.join("special_tokens_map.json").exists();
    if let Some(token) = tokenizer.prefix_token_text().filter(|_| !has_token_names) {
        config["bos_token"] = token.into();
    }
    let text = serde_json::to_string_pretty(&config).expect("the settings are plain JSON") + "\n";
    write_bytes_atomically(&path, text.as_bytes())
}

/// Writes the Python files with which transformers loads a hybrid.
fn write_python_files(folder: &Path) -> Result<()> {
    PYTHON_FILES
        .iter()
        .try_for_each(|(name, text)| write_bytes_atomically(&folder.join(name), text.as_bytes()))
}

/// Returns the tensors of a base, under their names in the model.
pub(super) fn base_tensor_sources(files: &ModelFiles) -> Result<Vec<TensorSource>> {
    let directory = match files {
        ModelFiles::Directory(directory) => directory,
        ModelFiles::Gguf(model) => {
            let tensors = model.weights(&Device::flex())?.into_tensors();
            return Ok(tensors
                .into_iter()
                .map(|(name, tensor)| TensorSource::from_gguf(name, tensor))
                .collect());
        }
    };
    let mut tensors = Vec::new();
    for file in weight_files(directory)? {
        tensors.extend(TensorSource::list(&file)?);
    }
    for tensor in &mut tensors {
        tensor.name = model_tensor_name(std::mem::take(&mut tensor.name));
    }
    tensors.retain(|tensor| !is_rotary_buffer(&tensor.name));
    Ok(tensors)
}

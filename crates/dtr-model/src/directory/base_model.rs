//! Reads a base from a Hugging Face directory or a GGUF file, and writes a base as a Hugging Face directory.
//! A base is a decoder with full attention in every layer.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use burn::tensor::{DType, Device};

use super::model_files::{ModelFiles, is_gguf};
use super::model_weights::open_model_weights;
use super::reader_version::reader_version;
use super::weight_files::{INDEX_FILE, WEIGHTS_FILE, is_pickle, shard_names, weight_files};
use super::{ConfigJson, LoadedModel};
use crate::tokenizer::prefix_token::{SPECIAL_TOKEN_FILES, depends_on_special_token_files};
use crate::weights::base_tensors;
use crate::{Decoder, DecoderConfig, Mask, NamedTensors, Tokenizer};
use dtr_core::error::{Error, Result};
use dtr_core::files::{Digest, digest_file, write_bytes_atomically};

/// The name that stands for every GGUF file in digests. Digests leave out the real name of the file, because
/// it does not change results.
const GGUF_NAME: &str = "model.gguf";

/// A base that was read from a Hugging Face directory or a GGUF file.
///
/// ```
/// # fn main() -> dtr_core::error::Result<()> {
/// # let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini");
/// use burn::tensor::Device;
/// use dtr_model::{BaseModel, Hybrid};
///
/// let base = BaseModel::read(&directory, &Device::flex())?;
/// let ids = base.tokenizer.encode("where is the lamp?", true)?;
/// // Hidden states, `[1, t, hidden_size]`.
/// let hidden = Hybrid::from_base(&base.decoder).forward_hidden(&[ids], None, None);
/// # Ok(())
/// # }
/// ```
pub struct BaseModel {
    /// The decoder with full attention.
    pub decoder: Decoder,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
}

impl BaseModel {
    /// The name of the weight file of a model without shards.
    pub const WEIGHTS_FILE: &str = WEIGHTS_FILE;
    /// The name of the file that lists the weight files of a model with shards, and the tensors in each file.
    pub const INDEX_FILE: &str = INDEX_FILE;
    /// The names of the files that every base has in addition to its weights.
    pub const REQUIRED_FILES: [&str; 2] = ["config.json", "tokenizer.json"];
    /// The names of files with tokenizer and generation settings that a base may have.
    pub const OPTIONAL_FILES: [&str; 4] =
        ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"];

    /// Reads `config.json`, the weights and `tokenizer.json` of `directory` onto `device` in f32.
    ///
    /// # Errors
    /// Fails when [`LoadedModel::read`] fails, or when `directory` holds a hybrid.
    pub fn read(directory: &Path, device: &Device) -> Result<Self> {
        Self::read_with_dtype(directory, device, DType::F32)
    }

    /// Reads a base as [`BaseModel::read`] does and casts its parameters to `dtype`.
    ///
    /// # Errors
    /// Fails when [`BaseModel::read`] fails.
    pub fn read_with_dtype(directory: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let model = LoadedModel::read_with_dtype(directory, device, dtype)?;
        refuse_hybrid(&model.mask, &model.decoder.config, directory)?;
        Ok(Self { decoder: model.decoder, tokenizer: model.tokenizer })
    }

    /// Reads `config.json` of `directory`.
    ///
    /// # Errors
    /// Fails when the file cannot be read, names an unsupported architecture, or describes a hybrid.
    pub fn read_config(directory: &Path) -> Result<DecoderConfig> {
        let json = ConfigJson::read(directory)?;
        refuse_hybrid(&json.mask, &json.config, directory)?;
        Ok(json.config)
    }

    /// Compares the headers of the weight files in `directory` with its `config.json`. Does not read the
    /// values of tensors, with one exception. If `config.json` ties the output head to the embedding, but the
    /// weights of both are stored, the function compares these weights.
    ///
    /// Returns the names of stored tensors that the model does not use. dtr ignores these tensors, as
    /// transformers does.
    ///
    /// # Errors
    /// Fails when a tensor is missing or repeated, or has a wrong shape or an unsupported dtype.
    pub fn check_weights(directory: &Path) -> Result<Vec<String>> {
        let mut config = Self::read_config(directory)?;
        let mut weights = open_model_weights(directory, &mut config, &Device::flex())?;
        for (name, shape) in base_tensors(&config) {
            weights.check(&name, &shape)?;
        }
        Ok(weights.unread_names())
    }

    /// Reads the tokenizer of `directory`.
    ///
    /// # Errors
    /// Fails when [`Tokenizer::read_directory`] fails.
    pub fn read_tokenizer(directory: &Path) -> Result<Tokenizer> {
        Tokenizer::read_directory(directory)
    }

    /// Returns whether the model at `path` is a GGUF file, not a directory. An existing file counts as a GGUF
    /// file. If nothing exists at `path`, the extension decides.
    pub fn is_gguf(path: &Path) -> bool {
        is_gguf(path)
    }

    /// Returns whether the configuration of the model at `path` is on disk.
    pub fn has_config(path: &Path) -> bool {
        has_file(path, "config.json")
    }

    /// Returns whether the tokenizer of the model at `path` is on disk.
    pub fn has_tokenizer(path: &Path) -> bool {
        has_file(path, "tokenizer.json")
    }

    /// Returns whether `directory` has all files of a base, or is an existing GGUF file.
    pub fn has_all_files(directory: &Path) -> bool {
        if is_gguf(directory) {
            return directory.is_file();
        }
        Self::REQUIRED_FILES.iter().all(|name| has_file(directory, name))
            && weight_files(directory).is_ok_and(|files| files.iter().all(|file| file.is_file()))
    }

    /// Returns whether a file name has an extension of PyTorch's pickle files.
    pub fn is_pickle(name: &str) -> bool {
        is_pickle(name)
    }

    /// Returns the error for weights in the pickle `file`.
    pub fn pickle_error(file: impl Display) -> Error {
        Error::environment(format!("`{file}` is a pickle, which is never read: it can run any program"))
            .hint("convert the weights to `model.safetensors`, if you trust their author")
    }

    /// Reads the names of the shards that the index in `directory` lists.
    ///
    /// # Errors
    /// Fails when the index cannot be read, or names a file that is not a safetensors file in `directory`.
    pub fn read_shard_names(directory: &Path) -> Result<Vec<String>> {
        Ok(shard_names(&directory.join(INDEX_FILE))?.into_iter().collect())
    }

    /// Returns the version of dtr's reader of model directories if earlier versions of dtr read `directory`
    /// differently. Returns `None` if all versions of dtr read the directory in the same way.
    ///
    /// # Errors
    /// Fails when a file cannot be read, or when the model is not supported.
    pub fn reader_version(directory: &Path) -> Result<Option<u32>> {
        reader_version(directory)
    }

    /// Returns the digests of weights, configuration and tokenizer, by file name. Files that name special
    /// tokens are included only if scores depend on these files.
    ///
    /// # Errors
    /// Fails when a file is missing or cannot be read.
    pub fn compute_digests(directory: &Path) -> Result<BTreeMap<String, Digest>> {
        if is_gguf(directory) {
            return Ok(BTreeMap::from([(GGUF_NAME.to_owned(), digest_file(directory)?)]));
        }
        let mut files = weight_files(directory)?;
        files.extend(Self::REQUIRED_FILES.map(|name| directory.join(name)));
        if depends_on_special_token_files(directory)? {
            let names = SPECIAL_TOKEN_FILES.map(|name| directory.join(name));
            files.extend(names.into_iter().filter(|file| file.is_file()));
        }
        let digest = |file: &std::path::PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, digest_file(file)?))
        };
        files.iter().map(digest).collect()
    }

    /// Returns a digest of the optional files, which decide how a chat is rendered and how a text ends.
    /// Returns `None` if the directory has no optional file. Also returns `None` for a GGUF file, because
    /// [`BaseModel::compute_digests`] already covers its header.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn compute_generation_digest(directory: &Path) -> Result<Option<Digest>> {
        let mut text = String::new();
        for name in Self::OPTIONAL_FILES {
            let path = directory.join(name);
            if path.is_file() {
                text += &format!("{name} {}\n", digest_file(&path)?);
            }
        }
        Ok((!text.is_empty()).then(|| Digest::hash(text.as_bytes())))
    }

    /// Returns the digests of all files except weights, by file name. The digest of a missing file is `None`.
    /// For a GGUF file, returns only the digest of its header. The header holds the content of all these
    /// files.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn compute_digests_without_weights(path: &Path) -> Result<BTreeMap<String, Option<Digest>>> {
        if let ModelFiles::Gguf(model) = ModelFiles::open(path)? {
            return Ok(BTreeMap::from([(GGUF_NAME.to_owned(), Some(model.header_digest()?))]));
        }
        let digest = |name: &str| {
            let file = path.join(name);
            let digest = file.exists().then(|| digest_file(&file)).transpose()?;
            Ok((name.to_owned(), digest))
        };
        Self::REQUIRED_FILES.into_iter().chain(Self::OPTIONAL_FILES).map(digest).collect()
    }
}

/// Returns whether the directory `path` has the file `name`. An existing GGUF file provides every file.
fn has_file(path: &Path, name: &str) -> bool {
    if is_gguf(path) { path.is_file() } else { path.join(name).is_file() }
}

/// Writes a base to `directory` in Hugging Face layout, with weights in BF16.
///
/// # Errors
/// Fails when a file cannot be written.
pub fn write_base_model(decoder: &mut Decoder, tokenizer: &Tokenizer, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(|cause| Error::io("create", directory, cause))?;
    let weights = NamedTensors::from_module(decoder).to_bf16_bytes()?;
    write_bytes_atomically(&directory.join(WEIGHTS_FILE), &weights)?;
    let config = serde_json::to_string_pretty(&decoder.config.to_json()).expect("a config is plain JSON");
    write_bytes_atomically(&directory.join("config.json"), format!("{config}\n").as_bytes())?;
    write_bytes_atomically(&directory.join("tokenizer.json"), tokenizer.to_json()?.as_bytes())
}

/// Returns an error if the model is a hybrid. A twin is trained on the full attention of its layer, and the
/// replaced layers of a hybrid have no full attention.
fn refuse_hybrid(mask: &Mask, config: &DecoderConfig, directory: &Path) -> Result<()> {
    match mask.num_replaced() {
        0 => Ok(()),
        num_replaced => Err(Error::manifest(format!(
            "`{}` holds a hybrid, not a base: {num_replaced} of its {} layers are linear",
            directory.display(),
            config.num_layers
        ))
        .hint("name the base of the hybrid; `dtr generate` runs hybrids")),
    }
}

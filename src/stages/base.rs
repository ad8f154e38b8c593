//! The source of a base: a directory or a GGUF file with weights, or a cell that trains the base.
//!
//! A base is the transformer in which a hybrid replaces layers.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::identity::ModelIdentity;
use crate::data::Task;
use crate::manifest::Dtype;
use crate::store::{CellId, CellInputs};
use dtr_core::error::Result;
use dtr_core::files::read_text_file;
use dtr_model::{BaseModel, DecoderConfig};

/// The source of a base model.
#[derive(Clone, Debug, PartialEq)]
pub enum BaseSource {
    /// A Hugging Face directory or a GGUF file. If the base is from the hub, the directory or file is in the
    /// hub's cache.
    Stored {
        /// The path of the directory or the file. If the base is from the hub, the path exists only after the
        /// download.
        path: PathBuf,
        /// The identity of the weights.
        identity: ModelIdentity,
        /// The floating-point type that the base computes in.
        dtype: Dtype,
        /// A local copy of the repository's `config.json`. The copy gives the shape before the download.
        config_copy: Option<PathBuf>,
    },
    /// A base that a pretrain cell trains. Its files are the cell's artifacts.
    Trained {
        /// The pretrain cell.
        cell: CellId,
        /// The shape of the base.
        config: DecoderConfig,
    },
    /// A base that a finetune-base cell makes from another base. Its files are the cell's artifacts.
    Finetuned {
        /// The finetune-base cell.
        cell: CellId,
        /// The base before the fine-tuning.
        original: Box<BaseSource>,
    },
}

/// The description of a base in the specification of a cell that uses the base.
///
/// If a cell trains the base, the specification does not identify the weights. Instead, the cell that uses the
/// base has the cell that trains it as an input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BaseSpec {
    /// The identity of the weights. `None` if a pretrain cell or a finetune-base cell trains the base. The role
    /// of this cell among the inputs is then `base`.
    pub model: Option<ModelIdentity>,
    /// The floating-point type that the base computes in.
    #[serde(skip_serializing_if = "Dtype::is_f32")]
    pub dtype: Dtype,
}

impl BaseSource {
    /// Returns the name of the base in publications, or `None` if a cell trains the base.
    ///
    /// A base from the hub has the name of its repository, without the owner. A base in local files has the
    /// name `declared`, which is its name in the manifest.
    pub fn public_name<'a>(&'a self, declared: &'a str) -> Option<&'a str> {
        match self {
            Self::Stored {
                identity: ModelIdentity::Hub(repo) | ModelIdentity::HubFile { repo, .. }, ..
            } => repo.id.rsplit('/').next(),
            Self::Stored { identity: ModelIdentity::Files { .. }, .. } => Some(declared),
            Self::Trained { .. } | Self::Finetuned { .. } => None,
        }
    }

    /// Returns the identity of the weights, or `None` if a cell trains the base.
    pub(super) fn identity(&self) -> Option<&ModelIdentity> {
        match self {
            Self::Stored { identity, .. } => Some(identity),
            Self::Trained { .. } | Self::Finetuned { .. } => None,
        }
    }

    /// Returns the floating-point type that the base computes in.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Stored { dtype, .. } => *dtype,
            Self::Trained { .. } => Dtype::F32,
            Self::Finetuned { original, .. } => original.dtype(),
        }
    }

    /// Returns the shape of the base, or `None` if its configuration has not been downloaded yet.
    ///
    /// # Errors
    /// Fails if a configuration on disk cannot be read.
    pub fn config(&self) -> Result<Option<DecoderConfig>> {
        match self {
            Self::Trained { config, .. } => Ok(Some(config.clone())),
            Self::Finetuned { original, .. } => original.config(),
            Self::Stored { path, .. } if BaseModel::has_config(path) => {
                BaseModel::read_config(path).map(Some)
            }
            Self::Stored { config_copy, .. } => config_copy.as_deref().map(read_config).transpose(),
        }
    }

    /// Returns the base whose files the manifest names, from which fine-tuning makes this base. If this base is
    /// not fine-tuned, returns this base.
    pub fn original(&self) -> &Self {
        match self {
            Self::Finetuned { original, .. } => original.original(),
            Self::Stored { .. } | Self::Trained { .. } => self,
        }
    }

    /// Returns the base as it appears in the specification of a cell that reads all files of the base.
    pub(super) fn spec_with_generation_files(&self) -> BaseSpec {
        BaseSpec { model: self.identity().cloned(), dtype: self.dtype() }
    }

    /// Returns the base as it appears in the specification of a cell that generates no text.
    pub(super) fn spec(&self) -> BaseSpec {
        let model = self.identity().cloned().map(ModelIdentity::without_generation_files);
        BaseSpec { model, dtype: self.dtype() }
    }

    /// Returns the base as it appears in the specification of a cell that scores the base on `task`.
    pub(super) fn spec_for_task(&self, task: &Task) -> BaseSpec {
        match task.is_generative() {
            true => self.spec_with_generation_files(),
            false => self.spec(),
        }
    }

    /// Returns the inputs of a cell that reads the base. If a cell trains the base, that cell is the input
    /// `base`. A base in a directory or a GGUF file is not a cell, so the function returns no inputs.
    pub(super) fn inputs(&self) -> CellInputs {
        match self {
            Self::Stored { .. } => CellInputs::new(),
            Self::Trained { cell, .. } | Self::Finetuned { cell, .. } => {
                CellInputs::from([("base".to_owned(), cell.clone())])
            }
        }
    }

    /// Returns a key for a cache of loaded bases. Bases with different weights or floating-point types have
    /// different keys.
    pub(super) fn cache_key(&self) -> String {
        let spec = serde_json::to_string(&self.spec()).expect("an identity is plain JSON");
        match self {
            Self::Stored { .. } => spec,
            Self::Trained { cell, .. } | Self::Finetuned { cell, .. } => cell.key.to_string(),
        }
    }
}

/// Reads the configuration in the file at `path`.
///
/// # Errors
/// Fails if the file cannot be read, or if dtr does not support the shape in it.
pub(super) fn read_config(path: &Path) -> Result<DecoderConfig> {
    DecoderConfig::parse(&read_text_file(path)?, path)
}

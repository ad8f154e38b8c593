//! The identities of bases, corpora and tasks. The specification of a cell contains identities, and the key
//! of the cell is a digest of its specification.
//!
//! An identity depends only on content. It leaves out names in the manifest, local paths, and settings that
//! do not change results.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::base_path::base_path;
use super::roads_identity::RoadsIdentity;
use crate::data::documents;
use crate::data::synthetic::{GENERATOR_VERSION, SyntheticLanguage};
use crate::data::{
    Choices, CorpusSource, DocumentUnit, Metric, SyntheticTaskKind, Task, TaskSource, WeightedSource,
};
use crate::data::{GenerativeTask, Shots, Split, TaskFiles};
use crate::hub::{self, FileLocation, PinnedRepo};
use crate::manifest::{ModelConfig, ModelSource};
use dtr_core::error::Result;
use dtr_core::files::{Digest, digest_file};
use dtr_core::seed::Seed;
use dtr_model::BaseModel;

/// The identity of a base that no pretrain cell trains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelIdentity {
    /// A base in a local directory or a local GGUF file.
    Files {
        /// The digests of the files on which the outputs of the base depend, by file name.
        files: BTreeMap<String, Digest>,
        /// A number that increases when a new version of dtr reads these files differently. `None` if all
        /// versions of dtr read these files in the same way.
        #[serde(rename = "reading", skip_serializing_if = "Option::is_none")]
        reader_version: Option<u32>,
        /// The digest of the files that set the chat template and the end of generation. `None` if the
        /// directory has no such file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation_files: Option<Digest>,
    },
    /// A base in a GGUF file of a repository of the hub, at a commit.
    HubFile {
        /// The repository.
        #[serde(flatten)]
        repo: PinnedRepo,
        /// The path of the file in the repository.
        file: String,
    },
    /// A base in a repository of the hub, at a commit. The commit determines the content of the files.
    // This variant is after `HubFile`, because serde reads the first variant whose fields are present.
    Hub(PinnedRepo),
}

impl ModelIdentity {
    /// Computes the identity of a model. Also returns the path of the model's directory or GGUF file. If the
    /// model is on the hub, the path exists only after the download. Returns `None` for a model that a
    /// pretrain cell trains or that has no weights.
    ///
    /// # Errors
    /// Fails if a local file cannot be read, or if the hub does not know a revision.
    pub fn compute(model: &ModelConfig) -> Result<Option<(PathBuf, Self)>> {
        let Some(path) = base_path(&model.source)? else { return Ok(None) };
        let identity = match &model.source {
            ModelSource::Hub(model) => {
                let repo = hub::default_hub().pin_if_reachable(&model.into())?;
                match &model.file {
                    Some(file) => Self::HubFile { repo, file: file.clone() },
                    None => Self::Hub(repo),
                }
            }
            _ => Self::Files {
                files: BaseModel::compute_digests(&path)?,
                reader_version: BaseModel::reader_version(&path)?,
                generation_files: BaseModel::compute_generation_digest(&path)?,
            },
        };
        Ok(Some((path, identity)))
    }

    /// Returns the identity without the files that matter only for generated text.
    pub fn without_generation_files(self) -> Self {
        match self {
            Self::Files { files, reader_version, .. } => {
                Self::Files { files, reader_version, generation_files: None }
            }
            other => other,
        }
    }
}

/// The identity of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FileIdentity {
    /// The digest of a local file.
    Digest(Digest),
    /// The URI of a file on the hub, at a commit.
    Uri(String),
}

impl FileIdentity {
    /// Computes the identity of the file at a path or a `hf://` URI. Downloads nothing.
    ///
    /// # Errors
    /// Fails if a local file cannot be read, or if the hub does not know a revision.
    pub fn compute(path: &str) -> Result<Self> {
        Ok(match FileLocation::parse(path)? {
            FileLocation::Local(path) => Self::Digest(digest_file(&path)?),
            FileLocation::Hub(repo, file) => {
                Self::Uri(hub::default_hub().pin_if_reachable(&repo)?.uri(&file))
            }
        })
    }
}

/// The identity of a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CorpusIdentity {
    /// The synthetic corpus.
    Synthetic {
        /// The digest of the corpus's seeds and of the generator's version.
        text: String,
    },
    /// Documents in files.
    Files {
        /// The files, in the order in which they are read.
        files: Vec<FileIdentity>,
        /// The column that holds the text.
        column: String,
        /// The part of a plain-text file that counts as one document, for example a line or a paragraph.
        document: DocumentUnit,
        /// The text that follows each document.
        separator: String,
    },
    /// Several weighted sources.
    Mixture {
        /// The weight and the identity of each source, in the order of the manifest.
        mixture: Vec<(f64, CorpusIdentity)>,
    },
}

impl CorpusIdentity {
    /// Computes the identity of a corpus.
    ///
    /// # Errors
    /// Fails if a local file cannot be read, or if the hub does not know a revision.
    pub fn compute(source: &CorpusSource) -> Result<Self> {
        Ok(match source {
            CorpusSource::Synthetic(corpus) => Self::Synthetic {
                text: SyntheticLanguage::new(corpus.language_seed).corpus_digest(corpus.seed),
            },
            CorpusSource::Files(corpus) => Self::Files {
                files: documents::list_files(corpus)?
                    .iter()
                    .map(|file| FileIdentity::compute(file))
                    .collect::<Result<_>>()?,
                column: corpus.column.clone(),
                document: corpus.document.clone(),
                separator: corpus.separator.clone(),
            },
            CorpusSource::Mixture(portions) => {
                let identity =
                    |portion: &WeightedSource| Ok((portion.weight, Self::compute(&portion.source)?));
                Self::Mixture { mixture: portions.iter().map(identity).collect::<Result<_>>()? }
            }
        })
    }
}

/// The identity of one split of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SplitIdentity {
    /// Items of a synthetic task.
    Synthetic {
        /// The kind of question.
        kind: SyntheticTaskKind,
        /// The seed of the synthetic language. This seed determines the facts that the items ask for.
        language_seed: Seed,
        /// The version of the generator.
        version: u32,
        /// The split.
        split: Split,
        /// Number of items.
        num_items: usize,
    },
    /// Items that templates make from the rows of a file.
    File {
        /// The identity of the file.
        rows: FileIdentity,
        /// Whether the rows of the file are divided into a validation half and a test half.
        is_cut: bool,
        /// The template of the prompt.
        prompt: String,
        /// The template of the scored continuation. `None` if the choice itself is the continuation.
        #[serde(skip_serializing_if = "Option::is_none")]
        continuation: Option<String>,
        /// The answer choices.
        choices: Choices,
        /// The expression that computes the correct choice of a row.
        label: String,
        /// The metric, which determines the choice that counts as the model's answer.
        metric: Metric,
        /// The split.
        split: Split,
        /// The maximum number of items.
        max_items: Option<usize>,
        /// The few-shot examples.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shots: Option<ShotsIdentity>,
    },
    /// Items whose answers the model generates as text.
    Generative {
        /// The identity of the file.
        rows: FileIdentity,
        /// Whether the rows of the file are divided into a validation half and a test half.
        is_cut: bool,
        /// The settings of the task, without its paths and its numbers of items.
        task: Box<GenerativeTask>,
        /// The identity of the file with the tests of programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tests: Option<FileIdentity>,
        /// The split.
        split: Split,
        /// The maximum number of items.
        max_items: Option<usize>,
        /// The few-shot examples.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shots: Option<ShotsIdentity>,
    },
    /// Hidden roads of maps.
    Roads {
        /// Everything on which the items depend.
        opendrive: Box<RoadsIdentity>,
    },
}

/// The identity of the few-shot examples of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShotsIdentity {
    /// The identity of the file of the examples. `None` if the manifest holds the examples.
    file: Option<FileIdentity>,
    /// Whether the file of the examples is also the file of the questions.
    is_own_file: bool,
    /// The other settings, without the path.
    settings: Shots,
}

impl ShotsIdentity {
    /// Computes the identity of the few-shot examples of a split. Returns `None` if there are none.
    fn compute(files: &TaskFiles<'_>, split: Split) -> Result<Option<Self>> {
        let Some(shots) = files.shots else { return Ok(None) };
        let from = shots.from.as_deref();
        Ok(Some(Self {
            file: from.map(FileIdentity::compute).transpose()?,
            is_own_file: from == Some(files.split_file(split)?.path),
            settings: Shots { from: None, ..shots.clone() },
        }))
    }
}

impl SplitIdentity {
    /// Returns the maximum number of items, or `None` if there is no maximum.
    pub fn max_items(&self) -> Option<usize> {
        match self {
            Self::Synthetic { num_items, .. } => Some(*num_items),
            Self::File { max_items, .. } | Self::Generative { max_items, .. } => *max_items,
            Self::Roads { opendrive } => opendrive.max_items(),
        }
    }

    /// Computes the identity of a split of a task.
    ///
    /// # Errors
    /// Fails if a local file cannot be read, or if the hub does not know a revision.
    pub fn compute(task: &Task, split: Split) -> Result<Self> {
        Ok(match &task.source {
            TaskSource::Synthetic(source) => Self::Synthetic {
                kind: source.kind,
                language_seed: source.language_seed,
                version: GENERATOR_VERSION,
                split,
                num_items: SyntheticLanguage::new(source.language_seed).num_items(source, split),
            },
            TaskSource::File(source) => {
                let files = source.files();
                let file = files.split_file(split)?;
                Self::File {
                    rows: FileIdentity::compute(file.path)?,
                    is_cut: file.is_divided,
                    prompt: source.prompt.clone(),
                    continuation: source.continuation.clone(),
                    choices: source.choices.clone(),
                    label: source.label.clone(),
                    metric: source.metric,
                    split,
                    max_items: files.max_items(split),
                    shots: ShotsIdentity::compute(&files, split)?,
                }
            }
            TaskSource::Generative(source) => {
                let files = source.files();
                let file = files.split_file(split)?;
                Self::Generative {
                    rows: FileIdentity::compute(file.path)?,
                    is_cut: file.is_divided,
                    task: Box::new(source.without_files()),
                    tests: files.tests.map(FileIdentity::compute).transpose()?,
                    split,
                    max_items: files.max_items(split),
                    shots: ShotsIdentity::compute(&files, split)?,
                }
            }
            TaskSource::Opendrive(source) => {
                Self::Roads { opendrive: Box::new(RoadsIdentity::compute(source, split)?) }
            }
        })
    }
}

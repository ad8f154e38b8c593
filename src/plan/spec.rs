//! What decides each stage's answer, and nothing else: names, paths, comments, presentation and
//! batch sizes of evaluation are not here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::algorithms::distil::DistilConfig;
use crate::algorithms::pretrain::PretrainConfig;
use crate::algorithms::search::{SearchStrategy, StopCriterion};
use crate::data::documents;
use crate::data::synthetic::{GENERATOR_VERSION, SyntheticLanguage};
use crate::data::{
    Choices, CorpusSource, DocumentUnit, Metric, SyntheticTaskKind, Task, TaskSource, WeightedSource,
};
use crate::data::{Split, file_of_split};
use crate::device::HardwareLabel;
use crate::hub::{self, FileLocation, PinnedRepo};
use crate::manifest::{Dtype, Model, ModelSource};
use dtr_core::error::Result;
use dtr_core::files::{Digest, digest_file};
use dtr_core::seed::Seed;
use dtr_model::{BaseModel, DecoderConfig};
use dtr_model::{BlockConfig, DecoderShape, GeometryConfig, Variant};

/// A base by content. A base that is trained here is an input cell instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum ModelIdentity {
    /// A directory.
    Files {
        /// Digest of each file that decides what the base computes.
        files: BTreeMap<String, Digest>,
    },
    /// A repository at a commit, which stands for the content of all its files.
    Hub(PinnedRepo),
}

/// A base as it is part of a spec.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BaseSpec {
    /// Its content; none of a base that is an input.
    pub model: Option<ModelIdentity>,
    /// What it is computed in.
    #[serde(skip_serializing_if = "Dtype::is_f32")]
    pub dtype: Dtype,
}

impl ModelIdentity {
    /// The identity of a model that is not trained here, and the folder that has or will have its files.
    pub fn of(model: &Model) -> Result<Option<(PathBuf, Self)>> {
        Ok(match &model.source {
            ModelSource::Path(path) => {
                let files = BaseModel::compute_digests(Path::new(path))?;
                Some((PathBuf::from(path), Self::Files { files }))
            }
            ModelSource::Hub(model) => {
                let pinned = hub::default_hub().pin_if_reachable(&model.into())?;
                Some((hub::default_hub().snapshot_folder(&pinned), Self::Hub(pinned)))
            }
            ModelSource::Pretrain(_) | ModelSource::Shape(_) => None,
        })
    }
}

/// A file by content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FileIdentity {
    /// The digest of a file on this machine.
    Digest(Digest),
    /// The URI of a file of the hub at a commit.
    Uri(String),
}

impl FileIdentity {
    /// The identity of a path or a `hf://` URI; nothing is downloaded for it.
    pub fn of(path: &str) -> Result<Self> {
        Ok(match FileLocation::parse(path)? {
            FileLocation::Local(path) => Self::Digest(digest_file(&path)?),
            FileLocation::Hub(repo, file) => {
                Self::Uri(hub::default_hub().pin_if_reachable(&repo)?.uri(&file))
            }
        })
    }
}

/// A corpus by content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CorpusIdentity {
    /// Text that this crate generates.
    Synthetic {
        /// Digest of what decides the text.
        text: String,
    },
    /// Documents of files.
    Files {
        /// What each file holds, in the order in which they are read.
        files: Vec<FileIdentity>,
        /// The column of the text.
        column: String,
        /// What a document of plain text is.
        document: DocumentUnit,
        /// What stands after every document.
        separator: String,
    },
    /// Several sources, in order: the weight of each, and what it is.
    Mixture {
        /// The sources.
        mixture: Vec<(f64, CorpusIdentity)>,
    },
}

impl CorpusIdentity {
    /// The identity of a corpus.
    ///
    /// # Errors
    /// When a local file is missing or cannot be read.
    pub fn of(source: &CorpusSource) -> Result<Self> {
        Ok(match source {
            CorpusSource::Synthetic(corpus) => Self::Synthetic {
                text: SyntheticLanguage::new(corpus.language_seed).corpus_digest(corpus.seed),
            },
            CorpusSource::Files(corpus) => Self::Files {
                files: documents::list_files(corpus)?
                    .iter()
                    .map(|file| FileIdentity::of(file))
                    .collect::<Result<_>>()?,
                column: corpus.column.clone(),
                document: corpus.document.clone(),
                separator: corpus.separator.clone(),
            },
            CorpusSource::Mixture(portions) => {
                let of = |portion: &WeightedSource| Ok((portion.weight, Self::of(&portion.source)?));
                Self::Mixture { mixture: portions.iter().map(of).collect::<Result<_>>()? }
            }
        })
    }
}

/// One split of a task by content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TaskIdentity {
    /// Items that this crate generates.
    Synthetic {
        /// What the task asks.
        kind: SyntheticTaskKind,
        /// The seed of its facts.
        language_seed: Seed,
        /// Version of the generator.
        version: u32,
        /// The split.
        split: Split,
        /// Items in it.
        num_items: usize,
    },
    /// Items of a file's rows.
    File {
        /// The file.
        rows: FileIdentity,
        /// Whether its rows are cut in two.
        is_cut: bool,
        /// Template of the prompt.
        prompt: String,
        /// Template of what is scored after it, where that is not the choice.
        #[serde(skip_serializing_if = "Option::is_none")]
        continuation: Option<String>,
        /// What can follow it.
        choices: Choices,
        /// Expression of the right choice.
        label: String,
        /// How a choice is made.
        metric: Metric,
        /// The split.
        split: Split,
        /// The most items taken.
        most: Option<usize>,
    },
}

impl TaskIdentity {
    /// The identity of `task`'s `split`.
    pub fn of(task: &Task, split: Split) -> Result<Self> {
        Ok(match &task.source {
            TaskSource::Synthetic(source) => Self::Synthetic {
                kind: source.kind,
                language_seed: source.language_seed,
                version: GENERATOR_VERSION,
                split,
                num_items: match split {
                    Split::Test => source.test_items,
                    Split::Train | Split::Validation => source.validation_items,
                },
            },
            TaskSource::File(source) => {
                let (path, is_cut) = file_of_split(source, split);
                Self::File {
                    rows: FileIdentity::of(path)?,
                    is_cut,
                    prompt: source.prompt.clone(),
                    continuation: source.continuation.clone(),
                    choices: source.choices.clone(),
                    label: source.label.clone(),
                    metric: source.metric,
                    split,
                    most: match split {
                        Split::Test => source.test_items,
                        Split::Train | Split::Validation => source.validation_items,
                    },
                }
            }
        })
    }
}

/// What decides a pretrained base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PretrainSpec {
    /// Its shape; its tokenizer is said by content.
    pub architecture: DecoderShape,
    /// Its tokenizer; none for that of the closed language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Digest>,
    /// How it is trained.
    pub recipe: PretrainConfig,
    /// On what.
    pub corpus: CorpusIdentity,
}

/// What decides a base's twins of one variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistilSpec {
    /// The base; none when it is the input cell `base`.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The twins' shape and start.
    pub variant: Variant,
    /// How they learn.
    pub recipe: DistilConfig,
    /// On what.
    pub corpus: CorpusIdentity,
}

/// What decides the score of one mask on one split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreSpec {
    /// The base; none when it is the input cell `base`.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The split of the task.
    pub task: TaskIdentity,
    /// The replaced layers, ascending; the twins are the input cell `twins`, absent when none is.
    pub layers: Vec<u32>,
}

/// What decides a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpec {
    /// The base; none when it is the input cell `base`.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The split that guides.
    pub validation: TaskIdentity,
    /// The split that judges.
    pub test: TaskIdentity,
    /// Which replacement is tried next.
    pub strategy: SearchStrategy,
    /// When to stop.
    pub stop: StopCriterion,
    /// Whether candidates that cannot win are dropped, and their trials bounds.
    pub prune: bool,
}

/// What decides how fast a base or a hybrid is. Weights are not here, but the machine is: another one has another
/// answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThroughputSpec {
    /// The base's shape.
    pub shape: DecoderConfig,
    /// The kind of block in replaced layers; none for a base.
    pub block: Option<BlockConfig>,
    /// Its heads and widths.
    pub geometry: Option<GeometryConfig>,
    /// How many layers are replaced.
    pub num_replaced: u32,
    /// The replaced layers, ascending; none where the input cell `search` says which.
    pub layers: Option<Vec<u32>>,
    /// Tokens of the prompt.
    pub context: usize,
    /// Prompts side by side.
    pub batch_size: usize,
    /// Tokens decoded after it.
    pub new_tokens: usize,
    /// Tokens of each prompt that are read at a time.
    pub prefill_chunk: usize,
    /// Runs before those that count.
    pub warm_up: usize,
    /// Runs that count.
    pub repeats: usize,
    /// What prompt and weights are drawn from.
    pub seed: Seed,
    /// What computes.
    pub machine: HardwareLabel,
}

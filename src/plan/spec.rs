//! What decides each stage's answer, and nothing else: names, paths, comments, presentation and
//! batch sizes of evaluation are not here.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::data::files::{self, local};
use crate::data::world::{WORLD_VERSION, World};
use crate::data::{Split, file_of_split};
use crate::error::Result;
use crate::files::{Digest, digest_file};
use crate::manifest::{
    Architecture, Choices, CorpusSource, Distil, Metric, Model, ModelSource, Portion, Pretrain, Stop,
    Strategy, Task, TaskSource, TextUnit, Variant, WorldTaskKind, is_on_hub,
};
use crate::model::Base;
use crate::seed::Seed;

/// A base by content: the digests of its files. A base that is trained here is an input cell instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ModelIdentity {
    /// Digest of each file that decides what the base computes.
    pub files: BTreeMap<String, Digest>,
}

impl ModelIdentity {
    /// The identity of a model on disk; none for one that is trained here.
    pub fn of(model: &Model) -> Result<Option<Self>> {
        match &model.source {
            ModelSource::Path(path) => Ok(Some(Self { files: Base::digests(Path::new(path))? })),
            ModelSource::Pretrain(_) => Ok(None),
        }
    }
}

/// A corpus by content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CorpusIdentity {
    /// Text that this crate generates.
    World {
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
        document: TextUnit,
        /// What stands after every document.
        separator: String,
    },
    /// Several sources, in order: the weight of each, and what it is.
    Mixture {
        /// The sources.
        mixture: Vec<(f64, CorpusIdentity)>,
    },
}

/// A file of a corpus by content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FileIdentity {
    /// A local file.
    Content(Digest),
    /// A file on the hub, by a path that says the revision: planning fetches nothing.
    Hub(String),
}

impl CorpusIdentity {
    /// The identity of a corpus.
    ///
    /// # Errors
    /// When a local file is missing or cannot be read.
    pub fn of(source: &CorpusSource) -> Result<Self> {
        Ok(match source {
            CorpusSource::World(world) => {
                Self::World { text: World::new(world.world).corpus_digest(world.seed) }
            }
            CorpusSource::Files(corpus) => Self::Files {
                files: files::files(corpus)?.into_iter().map(FileIdentity::of).collect::<Result<_>>()?,
                column: corpus.column.clone(),
                document: corpus.document.clone(),
                separator: corpus.separator.clone(),
            },
            CorpusSource::Mixture(portions) => {
                let of = |portion: &Portion| Ok((portion.weight, Self::of(&portion.source)?));
                Self::Mixture { mixture: portions.iter().map(of).collect::<Result<_>>()? }
            }
        })
    }
}

impl FileIdentity {
    fn of(path: String) -> Result<Self> {
        if is_on_hub(&path) { Ok(Self::Hub(path)) } else { Ok(Self::Content(digest_file(&local(&path)?)?)) }
    }
}

/// One split of a task by content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TaskIdentity {
    /// Items that this crate generates.
    World {
        /// What the task asks.
        kind: WorldTaskKind,
        /// The world it speaks of.
        world: Seed,
        /// Version of the generator.
        version: u32,
        /// The split.
        split: Split,
        /// Items in it.
        num_items: usize,
    },
    /// Items of a file's rows.
    File {
        /// Digest of the file.
        rows: Digest,
        /// Whether its rows are cut in two.
        is_cut: bool,
        /// Template of the prompt.
        prompt: String,
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
            TaskSource::World(source) => Self::World {
                kind: source.kind,
                world: source.world,
                version: WORLD_VERSION,
                split,
                num_items: match split {
                    Split::Test => source.test_items,
                    Split::Train | Split::Validation => source.validation_items,
                },
            },
            TaskSource::File(source) => {
                let (path, is_cut) = file_of_split(source, split);
                Self::File {
                    rows: digest_file(path)?,
                    is_cut,
                    prompt: source.prompt.clone(),
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
    /// Its shape.
    pub architecture: Architecture,
    /// How it is trained.
    pub recipe: Pretrain,
    /// On what.
    pub corpus: CorpusIdentity,
}

/// What decides a base's twins of one variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistilSpec {
    /// The base; none when it is the input cell `base`.
    pub model: Option<ModelIdentity>,
    /// The twins' shape and start.
    pub variant: Variant,
    /// How they learn.
    pub recipe: Distil,
    /// On what.
    pub corpus: CorpusIdentity,
}

/// What decides the score of one mask on one split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreSpec {
    /// The base; none when it is the input cell `base`.
    pub model: Option<ModelIdentity>,
    /// The split of the task.
    pub task: TaskIdentity,
    /// The replaced layers, ascending; the twins are the input cell `twins`, absent when none is.
    pub layers: Vec<u32>,
}

/// What decides a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpec {
    /// The base; none when it is the input cell `base`.
    pub model: Option<ModelIdentity>,
    /// The split that guides.
    pub validation: TaskIdentity,
    /// The split that judges.
    pub test: TaskIdentity,
    /// Which replacement is tried next.
    pub strategy: Strategy,
    /// When to stop.
    pub stop: Stop,
}

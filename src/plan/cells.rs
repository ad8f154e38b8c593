//! A cell: one stage of work with a typed spec, the key of its result, and what people call it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::spec::{BaseSpec, DistilSpec, ModelIdentity, PretrainSpec, ScoreSpec, SearchSpec, TaskIdentity};
use super::timing::Timing;
use crate::algorithms::distil::DistilConfig;
use crate::algorithms::pretrain::PretrainConfig;
use crate::algorithms::search::{SearchStrategy, StopCriterion};
use crate::data::Split;
use crate::data::{Corpus, Task};
use crate::manifest::Dtype;
use crate::store::{Key, Stage, key_of};
use dtr_core::error::Result;
use dtr_core::files::digest_file;
use dtr_model::{DecoderShape, Variant};

/// What people call a cell; enters no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Labels {
    /// The base model's name.
    pub model: String,
    /// The linear variant's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The task's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Values of the sweep's further axes, by dotted key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, String>,
}

impl Labels {
    /// `model variant task key=value …` on one line.
    pub fn line(&self) -> String {
        let mut words = vec![self.model.clone()];
        words.extend(self.variant.clone());
        words.extend(self.task.clone());
        words.extend(self.axes.iter().map(|(key, value)| format!("{key}={value}")));
        words.join(" ")
    }

    /// What a cell is called that searches take as input: without the axes that tell only searches apart.
    pub fn before_searches(&self) -> Self {
        let mut labels = self.clone();
        labels.axes.retain(|key, _| !key.starts_with("search."));
        labels
    }
}

/// Where a base is found when its cells run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BaseSource {
    /// A Hugging Face directory, in the hub's cache where the base comes from there.
    Directory(PathBuf, ModelIdentity, Dtype),
    /// The artifact of a pretrain cell.
    Pretrained(Key),
}

impl BaseSource {
    /// What the public knows a base by that is `declared` under its name here: the last part of its repository's name
    /// on the hub, whoever's copy it is, and of local files the declared name; none for a base that is trained here.
    pub fn public_name<'a>(&'a self, declared: &'a str) -> Option<&'a str> {
        match self {
            Self::Directory(_, ModelIdentity::Hub(pinned), _) => pinned.id.rsplit('/').next(),
            Self::Directory(_, ModelIdentity::Files { .. }, _) => Some(declared),
            Self::Pretrained(_) => None,
        }
    }

    /// What it is computed in.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Directory(_, _, dtype) => *dtype,
            Self::Pretrained(_) => Dtype::F32,
        }
    }

    /// The base as part of a spec and of its inputs.
    fn identify(&self) -> (BaseSpec, BTreeMap<String, Key>) {
        match self {
            Self::Directory(_, identity, dtype) => {
                (BaseSpec { model: Some(identity.clone()), dtype: *dtype }, BTreeMap::new())
            }
            Self::Pretrained(key) => {
                (BaseSpec { model: None, dtype: Dtype::F32 }, BTreeMap::from([("base".to_owned(), *key)]))
            }
        }
    }
}

/// Training a base.
#[derive(Clone, Debug)]
pub struct Pretraining {
    /// The base's shape.
    pub architecture: DecoderShape,
    /// How it is trained.
    pub recipe: PretrainConfig,
    /// On what.
    pub corpus: Corpus,
}

/// Distilling the twins of one variant.
#[derive(Clone, Debug)]
pub struct Distillation {
    /// The base.
    pub base: BaseSource,
    /// The twins' shape and start.
    pub variant: Variant,
    /// How they learn.
    pub recipe: DistilConfig,
    /// On what.
    pub corpus: Corpus,
}

impl Distillation {
    /// Whether one teacher's forward serves both.
    pub fn learns_with(&self, other: &Self) -> bool {
        self.base == other.base && self.recipe == other.recipe && self.corpus == other.corpus
    }
}

/// Scoring one mask on one split.
#[derive(Clone, Debug)]
pub struct Scoring {
    /// The base.
    pub base: BaseSource,
    /// The distil cell of the twins; irrelevant when no layer is replaced.
    pub twins: Option<Key>,
    /// The task.
    pub task: Task,
    /// Its split.
    pub split: Split,
    /// What decides the split's items, as the plan found them.
    pub identity: TaskIdentity,
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
}

/// Searching a hybrid for a task.
#[derive(Clone, Debug)]
pub struct Searching {
    /// The base.
    pub base: BaseSource,
    /// The distil cell of the twins.
    pub twins: Key,
    /// The task.
    pub task: Task,
    /// What decides the items that guide, as the plan found them.
    pub validation: TaskIdentity,
    /// What decides the items that judge, as the plan found them.
    pub test: TaskIdentity,
    /// Which replacement is tried next.
    pub strategy: SearchStrategy,
    /// When to stop.
    pub stop: StopCriterion,
    /// Whether candidates that cannot win are dropped; never where the strategy has none to choose from.
    pub prune: bool,
}

/// The work of a cell.
#[derive(Clone, Debug)]
pub enum Work {
    /// Train a base.
    Pretrain(Pretraining),
    /// Distil twins.
    Distil(Distillation),
    /// Score a mask.
    Score(Scoring),
    /// Search a hybrid.
    Search(Searching),
    /// Time a base or a hybrid.
    Throughput(Timing),
}

/// One stage of work, under the key of its result.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The kind of work.
    pub stage: Stage,
    /// The key of the result.
    pub key: Key,
    /// What decides the result.
    pub spec: Value,
    /// The cells whose results it takes, by role.
    pub inputs: BTreeMap<String, Key>,
    /// What people call it.
    pub labels: Labels,
    /// What is to be done.
    pub work: Work,
}

impl Cell {
    pub(super) fn new<S: Serialize>(
        stage: Stage,
        spec: &S,
        inputs: BTreeMap<String, Key>,
        labels: Labels,
        work: Work,
    ) -> Result<Self> {
        let key = key_of(stage, stage.version(), spec, &inputs)?;
        let spec = serde_json::to_value(spec).expect("a spec that has a key has JSON");
        Ok(Self { stage, key, spec, inputs, labels, work })
    }

    /// The cell that trains a base.
    pub fn pretrain(work: Pretraining, corpus: super::CorpusIdentity, labels: Labels) -> Result<Self> {
        let tokenizer = work.architecture.tokenizer.as_ref();
        let spec = PretrainSpec {
            architecture: DecoderShape { tokenizer: None, ..work.architecture.clone() },
            tokenizer: tokenizer.map(|path| digest_file(Path::new(path))).transpose()?,
            recipe: work.recipe.clone(),
            corpus,
        };
        Self::new(Stage::Pretrain, &spec, BTreeMap::new(), labels, Work::Pretrain(work))
    }

    /// The cell that distils a variant's twins.
    pub fn distil(work: Distillation, corpus: super::CorpusIdentity, labels: Labels) -> Result<Self> {
        let (base, inputs) = work.base.identify();
        let spec = DistilSpec { base, variant: work.variant.clone(), recipe: work.recipe.clone(), corpus };
        Self::new(Stage::Distil, &spec, inputs, labels, Work::Distil(work))
    }

    /// The cell that scores a mask; twins are an input only where a layer is replaced, so that all
    /// variants share the base's own score.
    pub fn score(work: Scoring, labels: Labels) -> Result<Self> {
        let (base, mut inputs) = work.base.identify();
        if !work.layers.is_empty() {
            inputs.extend(work.twins.map(|twins| ("twins".to_owned(), twins)));
        }
        let spec = ScoreSpec { base, task: work.identity.clone(), layers: work.layers.clone() };
        Self::new(Stage::Score, &spec, inputs, labels, Work::Score(work))
    }

    /// The cell that searches a hybrid.
    pub fn search(work: Searching, labels: Labels) -> Result<Self> {
        let (base, mut inputs) = work.base.identify();
        inputs.insert("twins".to_owned(), work.twins);
        let spec = SearchSpec {
            base,
            validation: work.validation.clone(),
            test: work.test.clone(),
            strategy: work.strategy.clone(),
            stop: work.stop.clone(),
            prune: work.prune,
        };
        Self::new(Stage::Search, &spec, inputs, labels, Work::Search(work))
    }

    /// The base that it computes; none where it trains one, or times a shape.
    pub fn base(&self) -> Option<&BaseSource> {
        match &self.work {
            Work::Distil(work) => Some(&work.base),
            Work::Score(work) => Some(&work.base),
            Work::Search(work) => Some(&work.base),
            Work::Pretrain(_) | Work::Throughput(_) => None,
        }
    }

    /// `stage model variant task` on one line.
    pub fn line(&self) -> String {
        let line = format!("{} {}", self.stage, self.labels.line());
        match &self.work {
            Work::Throughput(work) => format!("{line} {}", work.line()),
            _ => line,
        }
    }
}

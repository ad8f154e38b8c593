//! The TOML manifest of an experiment: its types, and the code that loads and checks it.
//!
//! The types hold the user's values, and defaults for absent keys. The module `plan` turns a manifest into
//! cells, the units of work of an experiment. The types of tables such as `[distil]` are defined in
//! `algorithms`.
//!
//! Every table has `deny_unknown_fields`, enums are externally tagged, and nothing is flattened or untagged.
//! Without these rules, serde's errors would not tell which token of the manifest is wrong.

mod bundled_tasks;
mod diagnostics;
mod dotted_key;
mod finetuned_models;
mod include;
mod load;
mod model;
mod new_manifest;
mod paths;
mod ranges;
mod reference_page;
mod report;
mod schema;
mod schema_tree;
mod source_map;
mod spanned_value;
mod structure;
mod students;
mod suggestions;
mod sweep;
mod sweep_checks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::algorithms::checkpoint_distil::CheckpointDistilConfig;
use crate::algorithms::distil::DistilConfig;
use crate::algorithms::finetune::FinetuneConfig;
use crate::algorithms::logit_distil::LogitDistilConfig;
use crate::algorithms::pretrain::PretrainConfig;
use crate::algorithms::search::SearchConfig;
use crate::algorithms::throughput::ThroughputConfig;
use crate::data::{Corpus, Task};
use dtr_model::TwinVariant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use load::{LoadedManifest, load_manifest, load_portable_manifest};
pub use model::{Dtype, FinetunedModel, HubModel, ModelConfig, ModelSource};
pub use new_manifest::NewManifest;
pub use reference_page::manifest_reference;
pub use report::ReportConfig;
pub use schema::experiment_schema;
pub use source_map::{EntryPart, SourceMap};
pub use spanned_value::Span;
pub use sweep::{Exclusion, SweepConfig};

/// One experiment, or a base file that experiments extend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Manifest {
    /// Files that this file extends (paths relative to this file). A later file overrides an earlier one, and
    /// this file overrides all of them. A file that several files extend is read only the first time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
    /// The name of the experiment and of its results files: at most 100 lower-case letters, digits, hyphens
    /// and dots. If the name changes, stored results stay valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9-][a-z0-9.-]{0,99}$"))]
    pub name: Option<String>,
    /// The question that the experiment answers, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Base models by name.
    pub models: BTreeMap<String, ModelConfig>,
    /// Linear variants by name. A variant describes the block that replaces full attention.
    pub variants: BTreeMap<String, TwinVariant>,
    /// Tasks by name.
    pub tasks: BTreeMap<String, Task>,
    /// The text on which twins are distilled and bases are pretrained.
    pub corpus: Corpus,
    /// How twins are distilled.
    pub distil: DistilConfig,
    /// How a search chooses the layers that it replaces.
    pub search: SearchConfig,
    /// How hybrids are trained after the search. Without `hybrids`, none is trained.
    #[serde(skip_serializing_if = "LogitDistilConfig::is_disabled")]
    pub logit_distil: LogitDistilConfig,
    /// How hybrids and their bases are fine-tuned on the train splits of tasks. Without `hybrids`, only models
    /// with the source `finetuned` are.
    #[serde(skip_serializing_if = "FinetuneConfig::is_default")]
    pub finetune: FinetuneConfig,
    /// How hybrids learn from checkpoints of their base's fine-tuning. Without `hybrids`, none does.
    #[serde(skip_serializing_if = "CheckpointDistilConfig::is_disabled")]
    pub checkpoint_distil: CheckpointDistilConfig,
    /// How a base with the source `pretrain` is trained.
    pub pretrain: PretrainConfig,
    /// How the speed of bases and hybrids is measured. Without `contexts`, no speed is measured.
    pub throughput: ThroughputConfig,
    /// The combinations of models, variants and tasks that the experiment runs.
    pub sweep: SweepConfig,
    /// How results are presented. No key of this table changes a result.
    pub report: ReportConfig,
}

//! The words of an experiment: what a TOML manifest can say, one file per table.
//!
//! These types are what was typed, checked for shape only; `plan` says what it means.
//! `deny_unknown_fields` everywhere, externally tagged enums, no `flatten`, no `untagged`: that is
//! what lets an error underline the very token.

mod diagnostics;
mod include;
mod load;
mod model;
mod node;
mod paths;
mod ranges;
mod references;
mod report;
mod schema;
mod shape;
mod spans;
mod strict;
mod suggest;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::algorithms::distil::DistilConfig;
use crate::algorithms::pretrain::PretrainConfig;
use crate::algorithms::search::SearchConfig;
use crate::algorithms::throughput::ThroughputConfig;
use crate::data::{Corpus, Task};
use dtr_model::Variant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use load::{Loaded, load};
pub use model::{Dtype, HubModel, Model, ModelSource};
pub use node::Span;
pub use report::Report;
pub use schema::experiment_schema;
pub use spans::{At, Sources};
pub use sweep::{Exclude, Sweep};

/// One experiment, or a base file that experiments extend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Manifest {
    /// Files this one builds on, relative to it; later ones win over earlier ones, this one over all.
    /// A file that several of them build on counts once, where it comes first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
    /// The experiment's name: names its tables and figures. Not part of any cell's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The question the experiment asks, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Base models by name.
    pub models: BTreeMap<String, Model>,
    /// Linear variants by name.
    pub variants: BTreeMap<String, Variant>,
    /// Tasks by name.
    pub tasks: BTreeMap<String, Task>,
    /// The text that twins are distilled on (and a base is pretrained on).
    pub corpus: Corpus,
    /// How twins are distilled.
    pub distil: DistilConfig,
    /// How layers are chosen for replacement.
    pub search: SearchConfig,
    /// How a base whose source is `pretrain` is trained.
    pub pretrain: PretrainConfig,
    /// How fast bases and hybrids are, and how that is timed; nothing is, unless it names contexts.
    pub throughput: ThroughputConfig,
    /// Which models, variants and tasks are crossed.
    pub sweep: Sweep,
    /// How results are presented; changes no result.
    pub report: Report,
}

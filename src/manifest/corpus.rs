//! `[corpus]`: the text that twins learn from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// The text that twins are distilled on, and a base is pretrained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Corpus {
    /// Where the text comes from.
    pub source: CorpusSource,
}

/// Where the text comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CorpusSource {
    /// Text of the small closed language that this crate generates.
    World(WorldCorpus),
    /// A UTF-8 text file (path relative to the manifest); blank lines part documents.
    Text(#[schemars(extend("format" = "path"))] String),
}

impl Default for CorpusSource {
    fn default() -> Self {
        Self::World(WorldCorpus::default())
    }
}

/// Text of the closed language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WorldCorpus {
    /// The world whose names and facts the text speaks of.
    pub world: Seed,
    /// The seed of the text itself.
    pub seed: Seed,
}

impl Default for WorldCorpus {
    fn default() -> Self {
        Self { world: Seed(1), seed: Seed(2) }
    }
}

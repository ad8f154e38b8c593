//! `[search]`: how layers are chosen for replacement, and when to stop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How layers are chosen for replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Search {
    /// Which replacement is tried next.
    pub strategy: Strategy,
    /// When to stop replacing.
    pub stop: Stop,
    /// Whether a candidate is dropped as soon as it cannot win its round: what is found is the same, and of a
    /// dropped candidate only bounds of its score are known.
    pub prune: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self { strategy: Strategy::default(), stop: Stop::default(), prune: true }
    }
}

/// Which replacement is tried next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Strategy {
    /// Each round scores every remaining full-attention layer replaced and keeps the best.
    Greedy {},
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Greedy {}
    }
}

/// When to stop replacing; judged on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Stop {
    /// Stop when a round's best falls more than this fraction below the base's score
    /// (the paper's Table 2: 0.05).
    MaxRelativeDrop(f64),
    /// Stop when a round's best falls below this score.
    MinScore(f64),
    /// Go on until every layer is linear.
    Never {},
}

impl Default for Stop {
    fn default() -> Self {
        Self::MaxRelativeDrop(0.05)
    }
}

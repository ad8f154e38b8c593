//! `[search]`: how layers are chosen for replacement, and when to stop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::seed::Seed;

/// How layers are chosen for replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Which replacement is tried next.
    pub strategy: SearchStrategy,
    /// When to stop replacing.
    pub stop: StopCriterion,
    /// Whether a candidate is dropped as soon as it cannot win its round, or enter the beam: what is found is
    /// the same, and of a dropped candidate only bounds of its score are known. Other strategies than
    /// `greedy` and `beam` drop nothing.
    pub prune: bool,
}

impl SearchConfig {
    /// Whether candidates are dropped: whether it is asked for, and the strategy has candidates to choose
    /// from.
    pub fn drops(&self) -> bool {
        self.prune && matches!(self.strategy, SearchStrategy::Greedy {} | SearchStrategy::Beam { .. })
    }
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { strategy: SearchStrategy::default(), stop: StopCriterion::default(), prune: true }
    }
}

/// Which replacement is tried next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SearchStrategy {
    /// Each round scores every remaining full-attention layer replaced and keeps the best.
    Greedy {},
    /// Each round spreads one layer more evenly over the base, without looking at scores.
    Uniform {},
    /// One layer more each round, in an order drawn at random.
    Random {
        /// The seed of the order.
        seed: Seed,
    },
    /// One layer more each round, in the order of the scores with that layer alone replaced.
    LocalImportance {},
    /// One layer more each round, in the order of the paper's impact score: what linear probes lose of the
    /// right answers where that layer alone is replaced, the least first.
    Impact {},
    /// Each round scores every layer more for each of the best hybrids of the round before, and keeps the
    /// best.
    Beam {
        /// How many hybrids each round keeps; with 1 it is the greedy search.
        width: usize,
    },
}

impl Default for SearchStrategy {
    fn default() -> Self {
        Self::Greedy {}
    }
}

/// When to stop replacing; judged on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StopCriterion {
    /// Stop when a round's best falls more than this fraction below the base's score
    /// (the paper's Table 2: 0.05).
    MaxRelativeDrop(f64),
    /// Stop when a round's best falls below this score.
    MinScore(f64),
    /// Go on until every layer is linear.
    Never {},
}

impl Default for StopCriterion {
    fn default() -> Self {
        Self::MaxRelativeDrop(0.05)
    }
}

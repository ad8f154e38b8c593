//! The manifest's table `[search]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EarlierStops;
use dtr_core::seed::Seed;

/// The settings of a search: its strategy, its stop criterion, and pruning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SearchConfig {
    /// How the search chooses its candidates.
    pub strategy: SearchStrategy,
    /// When the search stops.
    pub stop: StopCriterion,
    /// Further stop criteria, which stop the search earlier than `stop` does.
    pub earlier_stops: EarlierStops,
    /// If true, the search prunes candidates: it stops scoring a candidate as soon as the candidate can
    /// neither win its round nor enter the beam. Pruning does not change the outcome. For a pruned candidate,
    /// only bounds of the score are known. Only `greedy` and `beam` prune candidates.
    pub prune: bool,
}

impl SearchConfig {
    /// Returns whether the search prunes candidates: `prune` is set, and the strategy is `greedy` or `beam`.
    pub fn prunes_candidates(&self) -> bool {
        self.prune && matches!(self.strategy, SearchStrategy::Greedy {} | SearchStrategy::Beam { .. })
    }
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            strategy: SearchStrategy::default(),
            stop: StopCriterion::default(),
            earlier_stops: EarlierStops::default(),
            prune: true,
        }
    }
}

/// How a search chooses its candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SearchStrategy {
    /// Each round scores the replacement of every remaining full-attention layer and keeps the best
    /// candidate.
    Greedy {},
    /// Each round replaces one layer more than the previous round. The replaced layers are evenly spread over
    /// the base. Scores do not influence the choice.
    Uniform {},
    /// Each round replaces one more layer, in a random order.
    Random {
        /// Seed of the order.
        seed: Seed,
    },
    /// Each round replaces one more layer. A layer is ranked by the base's score with only this layer
    /// replaced. The layer with the highest score is replaced first.
    LocalImportance {},
    /// Each round replaces one more layer. The layer with the lowest impact score (of the paper) is replaced
    /// first. A layer's impact score is the drop in the accuracy of linear probes with only this layer
    /// replaced.
    Impact {},
    /// Each round extends each of the best hybrids of the previous round by every remaining layer, and keeps
    /// the best candidates.
    Beam {
        /// Number of hybrids that each round keeps. A beam of width 1 finds the same hybrids as `greedy`.
        #[schemars(range(min = 1, max = 65_536))]
        width: usize,
    },
}

impl Default for SearchStrategy {
    fn default() -> Self {
        Self::Greedy {}
    }
}

/// When a search stops. All scores are on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StopCriterion {
    /// Stop when the best score of a round is more than this fraction below the base's score (0.05 in the
    /// paper's Table 2).
    MaxRelativeDrop(#[schemars(range(max = 1), extend("exclusiveMinimum" = 0))] f64),
    /// Stop when the best score of a round is below this score.
    MinScore(#[schemars(range(min = 0, max = 1))] f64),
    /// Replace every layer.
    Never {},
}

impl Default for StopCriterion {
    fn default() -> Self {
        Self::MaxRelativeDrop(0.05)
    }
}

//! The kinds of work that have results, and the version of what each of them does.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of work; every cell belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Train a base model from nothing.
    Pretrain,
    /// Distil a linear twin for every layer of a base.
    Distil,
    /// Score one mask of replaced layers on one split of a task.
    Score,
    /// Choose which layers to replace.
    Search,
    /// Time one base or hybrid.
    Throughput,
}

impl Stage {
    /// Every stage, in the order in which data flows.
    pub const ALL: [Self; 5] = [Self::Pretrain, Self::Distil, Self::Score, Self::Search, Self::Throughput];

    /// The stage's name, as in folders, records and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Distil => "distil",
            Self::Score => "score",
            Self::Search => "search",
            Self::Throughput => "throughput",
        }
    }

    /// The version of the stage's work, a part of every key.
    ///
    /// Raise it when the same spec now gives another result (a mended bug, a changed order of
    /// operations, a new default that no spec names). Leave it when only speed, logs or messages
    /// changed, except for `throughput`, whose result is speed. Cells that take this stage's as inputs
    /// follow by themselves.
    pub fn version(self) -> u32 {
        match self {
            Self::Pretrain => 1,
            Self::Distil => 2,
            Self::Score => 5,
            Self::Search => 5,
            Self::Throughput => 4,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_called_the_same_everywhere() {
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }
}

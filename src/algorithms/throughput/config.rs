//! `[throughput]`: how fast hybrids read prompts and decode, and how that is timed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::seed::Seed;

/// How fast the sweep's bases and their hybrids read a prompt and decode after it, by context, batch size and
/// number of replaced layers.
///
/// Speed depends on shapes and not on what weights say, so that the models timed have the shapes of the
/// sweep's and random weights: nothing is distilled or downloaded for it, and a context may be longer than
/// the base's positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ThroughputConfig {
    /// Lengths of the prompt in tokens (the paper: 512, 2048, 16384 and 65536). Without any, nothing is
    /// timed.
    pub contexts: Vec<usize>,
    /// Numbers of prompts that are read and continued side by side.
    pub batch_sizes: Vec<usize>,
    /// Numbers of replaced layers; the base, with none, is timed beside them.
    pub replaced: Replaced,
    /// Which layers are replaced.
    pub layers: TimedLayers,
    /// Tokens decoded after the prompt.
    pub new_tokens: usize,
    /// Tokens of each prompt that are read at a time.
    pub prefill_chunk: usize,
    /// Runs before those that count.
    pub warm_up: usize,
    /// Runs that count.
    pub repeats: usize,
    /// Seed of the prompt and of the weights.
    pub seed: Seed,
}

impl Default for ThroughputConfig {
    fn default() -> Self {
        Self {
            contexts: Vec::new(),
            batch_sizes: vec![1],
            replaced: Replaced::All {},
            layers: TimedLayers::Uniform {},
            new_tokens: 128,
            prefill_chunk: 2048,
            warm_up: 3,
            repeats: 7,
            seed: Seed(0),
        }
    }
}

impl ThroughputConfig {
    /// Whether anything is timed.
    pub fn is_asked(&self) -> bool {
        !self.contexts.is_empty()
    }
}

/// Numbers of replaced layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Replaced {
    /// Every number from one layer to all.
    All {},
    /// Multiples of this number, as far as the base has layers.
    Every(u32),
    /// These numbers.
    Counts(Vec<u32>),
}

impl Replaced {
    /// The numbers for a base of `num_layers` layers, ascending.
    pub fn counts(&self, num_layers: u32) -> Vec<u32> {
        match self {
            Self::All {} => (1..=num_layers).collect(),
            Self::Every(step) => (1..=num_layers).filter(|count| count.is_multiple_of(*step)).collect(),
            Self::Counts(counts) => {
                let mut counts = counts.clone();
                counts.sort_unstable();
                counts
            }
        }
    }
}

/// Which layers are replaced where so many of them are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TimedLayers {
    /// Layers spread evenly, as by the search strategy `uniform`.
    Uniform {},
    /// Those that a search of this sweep replaced; it must go on to the last layer.
    Trajectory {
        /// The task that it was for, by name.
        task: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_replaced_layers_end_where_the_base_does() {
        assert_eq!(Replaced::All {}.counts(3), [1, 2, 3]);
        assert_eq!(Replaced::Every(4).counts(28), [4, 8, 12, 16, 20, 24, 28]);
        assert_eq!(Replaced::Every(3).counts(8), [3, 6]);
        assert_eq!(Replaced::Counts(vec![5, 1]).counts(8), [1, 5]);
    }
}

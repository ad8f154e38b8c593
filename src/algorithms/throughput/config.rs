//! Configuration of throughput measurements: the manifest's `[throughput]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::seed::Seed;

/// Measurements of the time that bases and hybrids take to read a prompt and to decode tokens after it. Each
/// measurement has a context length, a batch size and a number of replaced layers.
///
/// Speed depends on shapes and not on the values of weights. The measured models therefore have the shapes of
/// the sweep's models, but random weights. A measurement needs no distilled or downloaded weights, and its
/// context may be longer than the base's maximum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ThroughputConfig {
    /// Prompt lengths in tokens (512, 2048, 16384 and 65536 in the paper). If the list is empty, nothing is
    /// measured.
    #[schemars(inner(range(min = 1, max = 16_777_216)), extend("uniqueItems" = true))]
    pub contexts: Vec<usize>,
    /// Numbers of prompts that are processed as one batch.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65_536)), extend("uniqueItems" = true))]
    pub batch_sizes: Vec<usize>,
    /// Numbers of replaced layers. The base, which has no replaced layer, is always measured too.
    pub replaced: ReplacedCounts,
    /// Which layers are replaced, for each number of replaced layers.
    pub layers: ReplacedLayerChoice,
    /// Number of tokens that are decoded after the prompt.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub new_tokens: usize,
    /// Number of prompt tokens that one forward pass processes.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub prefill_chunk: usize,
    /// Number of warm-up runs before the measured runs.
    #[schemars(range(min = 0, max = 1024))]
    pub warm_up: usize,
    /// Number of measured runs.
    #[schemars(range(min = 1, max = 1024))]
    pub repeats: usize,
    /// Seed of the prompts and of the random weights.
    pub seed: Seed,
}

impl Default for ThroughputConfig {
    fn default() -> Self {
        Self {
            contexts: Vec::new(),
            batch_sizes: vec![1],
            replaced: ReplacedCounts::All {},
            layers: ReplacedLayerChoice::Uniform {},
            new_tokens: 128,
            prefill_chunk: 2048,
            warm_up: 3,
            repeats: 7,
            seed: Seed(0),
        }
    }
}

impl ThroughputConfig {
    /// Returns whether anything is measured.
    pub fn is_enabled(&self) -> bool {
        !self.contexts.is_empty()
    }
}

/// The numbers of replaced layers that are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReplacedCounts {
    /// Every number from 1 to the number of layers.
    All {},
    /// The multiples of this number, up to the number of layers.
    Every(#[schemars(range(min = 1, max = 1024))] u32),
    /// The listed numbers.
    Counts(
        #[schemars(length(min = 1), inner(range(min = 1, max = 1024)), extend("uniqueItems" = true))]
        Vec<u32>,
    ),
}

impl ReplacedCounts {
    /// Returns the numbers for a base of `num_layers` layers, in ascending order.
    pub fn for_layers(&self, num_layers: u32) -> Vec<u32> {
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

/// Which layers are replaced in a measured hybrid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReplacedLayerChoice {
    /// Evenly spread layers, as in the search strategy `uniform`.
    Uniform {},
    /// The layers that a search of this sweep replaced. The search must not stop before every layer is
    /// replaced.
    Trajectory {
        /// The name of the task of that search.
        task: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_replaced_layers_end_at_the_number_of_layers() {
        assert_eq!(ReplacedCounts::All {}.for_layers(3), [1, 2, 3]);
        assert_eq!(ReplacedCounts::Every(4).for_layers(28), [4, 8, 12, 16, 20, 24, 28]);
        assert_eq!(ReplacedCounts::Every(3).for_layers(8), [3, 6]);
        assert_eq!(ReplacedCounts::Counts(vec![5, 1]).for_layers(8), [1, 5]);
    }
}

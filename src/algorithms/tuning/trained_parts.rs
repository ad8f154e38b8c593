//! The parts of a hybrid that are trained, and their learning rates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GroupRate, ParameterGroup};

/// The parts of a hybrid that are trained. All other parameters stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TrainedParts {
    /// Only the linear blocks. This takes the least memory.
    #[default]
    Mixers,
    /// The linear blocks, and the rest of the model with learning rates of its own.
    All(AllParts),
}

/// The learning rates of the parts other than the linear blocks, at the peak of the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AllParts {
    /// Learning rate of norms, MLPs, the embedding and the output head.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub rest_learning_rate: f64,
    /// Learning rate of the attention in layers that are not replaced. 0 keeps this attention as it is.
    #[schemars(range(min = 0, max = 10))]
    pub attention_learning_rate: f64,
}

impl Default for AllParts {
    fn default() -> Self {
        Self { rest_learning_rate: 1e-5, attention_learning_rate: 0.0 }
    }
}

impl TrainedParts {
    /// Returns the trained groups with their peak learning rates. `mixer_rate` is the rate of linear blocks.
    pub fn group_rates(&self, mixer_rate: f64) -> Vec<GroupRate> {
        let rate = |name, learning_rate, groups| GroupRate { name, learning_rate, groups };
        let mut rates = vec![rate("mixers", mixer_rate, &[ParameterGroup::Mixers])];
        if let Self::All(all) = self {
            rates.push(rate("rest", all.rest_learning_rate, &[ParameterGroup::Rest]));
            let attention = &[ParameterGroup::Attention, ParameterGroup::QueryKey];
            rates.push(rate("attention", all.attention_learning_rate, attention));
        }
        rates.retain(|rate| rate.learning_rate > 0.0);
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_attention_is_frozen_unless_it_has_a_rate() {
        let rates = |train: &TrainedParts| -> Vec<(&str, f64)> {
            train.group_rates(1e-4).into_iter().map(|rate| (rate.name, rate.learning_rate)).collect()
        };
        assert_eq!(rates(&TrainedParts::Mixers), [("mixers", 1e-4)]);
        assert_eq!(rates(&TrainedParts::All(AllParts::default())), [("mixers", 1e-4), ("rest", 1e-5)]);
        let thawed = AllParts { attention_learning_rate: 7e-6, ..AllParts::default() };
        assert_eq!(
            rates(&TrainedParts::All(thawed)),
            [("mixers", 1e-4), ("rest", 1e-5), ("attention", 7e-6)]
        );
    }
}

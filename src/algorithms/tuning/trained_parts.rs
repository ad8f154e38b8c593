//! The parts of a hybrid that are trained, and their learning rates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// A group of parameters of a hybrid. All parameters of a group have the same learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterGroup {
    /// The linear blocks of the replaced layers.
    Mixers,
    /// Norms, MLPs, the embedding and the output head.
    Rest,
    /// The attention of the layers that are not replaced.
    Attention,
}

impl ParameterGroup {
    /// All groups.
    pub const ALL: [Self; 3] = [Self::Mixers, Self::Rest, Self::Attention];

    /// Returns the group of the parameter `name` of a hybrid.
    pub fn of(name: &str) -> Self {
        match name {
            name if name.contains(".linear_attn.") => Self::Mixers,
            name if name.contains(".self_attn.") => Self::Attention,
            _ => Self::Rest,
        }
    }

    /// Returns the name of the group in checkpoints.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mixers => "mixers",
            Self::Rest => "rest",
            Self::Attention => "attention",
        }
    }
}

impl TrainedParts {
    /// Returns the peak learning rate of `group`, or `None` if the group is not trained. `mixer_rate` is the
    /// peak learning rate of linear blocks.
    pub fn learning_rate(&self, group: ParameterGroup, mixer_rate: f64) -> Option<f64> {
        match (self, group) {
            (_, ParameterGroup::Mixers) => Some(mixer_rate),
            (Self::Mixers, _) => None,
            (Self::All(rates), ParameterGroup::Rest) => Some(rates.rest_learning_rate),
            (Self::All(rates), ParameterGroup::Attention) => {
                Some(rates.attention_learning_rate).filter(|rate| *rate > 0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_belongs_to_a_group() {
        for (name, group) in [
            ("model.layers.1.linear_attn.q_proj.weight", ParameterGroup::Mixers),
            ("model.layers.2.self_attn.q_proj.weight", ParameterGroup::Attention),
            ("model.layers.2.input_layernorm.weight", ParameterGroup::Rest),
            ("model.embed_tokens.weight", ParameterGroup::Rest),
        ] {
            assert_eq!(ParameterGroup::of(name), group, "{name}");
        }
    }

    #[test]
    fn kept_attention_is_frozen_unless_it_has_a_rate() {
        let rates = |train: &TrainedParts| ParameterGroup::ALL.map(|group| train.learning_rate(group, 1e-4));
        assert_eq!(rates(&TrainedParts::Mixers), [Some(1e-4), None, None]);
        assert_eq!(rates(&TrainedParts::All(AllParts::default())), [Some(1e-4), Some(1e-5), None]);
        let thawed = AllParts { attention_learning_rate: 7e-6, ..AllParts::default() };
        assert_eq!(rates(&TrainedParts::All(thawed)), [Some(1e-4), Some(1e-5), Some(7e-6)]);
    }
}

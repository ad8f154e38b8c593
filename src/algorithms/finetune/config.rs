//! The manifest's table `[finetune]`: the hyperparameters of supervised fine-tuning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use dtr_core::seed::Seed;

use crate::algorithms::tuning::{GroupRate, HybridChoice, LoraShape, ParameterGroup};
use dtr_model::optimizer::AdamWConfig;

/// The hyperparameters of supervised fine-tuning. Hybrids of a search learn the train split of the search's
/// task. The loss is the cross entropy of the completion's tokens.
///
/// The base is fine-tuned in the same way, as a control. Base and hybrid are scored before and after, on the
/// validation split and the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinetuneConfig {
    /// The hybrids of each search that are fine-tuned. If the list is empty, no hybrid is fine-tuned.
    #[schemars(extend("uniqueItems" = true))]
    pub hybrids: Vec<HybridChoice>,
    /// The state of the hybrids at the start.
    pub start: FinetuneStart,
    /// The parameters that are trained.
    pub train: FinetunedParts,
    /// The part of the attention in layers that are not replaced which is trained.
    pub attention: KeptAttention,
    /// Whether the fine-tuned hybrids are also scored with the queries and keys of the base in the layers that
    /// are not replaced. This needs `attention = "all"`.
    #[serde(skip_serializing_if = "is_false")]
    pub restore_qk: bool,
    /// Number of passes over the train split.
    #[schemars(range(min = 1, max = 1000))]
    pub epochs: u32,
    /// Number of items in a training step.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_size: usize,
    /// Number of items whose gradient is computed at once. It must divide `batch-size`. A CPU computes several
    /// such micro-batches in parallel. A GPU computes one after another.
    #[schemars(range(min = 1, max = 65_536))]
    pub micro_batch_size: usize,
    /// Maximum number of tokens of a prompt and its completion. A longer prompt loses its first tokens.
    #[schemars(range(min = 2, max = 1_048_576))]
    pub sequence_length: usize,
    /// Fraction of the train split that is held out. Its loss chooses the epoch whose weights are kept.
    #[schemars(range(min = 0.001, max = 0.9))]
    pub held_out_fraction: f64,
    /// The optimizer and its schedule.
    pub optimizer: FinetuneOptimizerConfig,
    /// Seed of the held-out items, of the order of the items, and of the initial values of adapters.
    pub seed: Seed,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The state of a hybrid before it is fine-tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FinetuneStart {
    /// The hybrid as the search found it.
    #[default]
    Search,
    /// The hybrid after the logit distillation of `[logit-distil]`. The same hybrid must be in
    /// `logit-distil.hybrids`.
    LogitDistil,
}

/// The part of the attention in layers that are not replaced which is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeptAttention {
    /// No part.
    Frozen,
    /// The projections of values and outputs. Training of queries and keys can ruin the retrieval of hybrids
    /// (arXiv 2606.11052).
    #[default]
    ValuesAndOutputs,
    /// All projections and norms.
    All,
}

/// The parameters that are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FinetunedParts {
    /// All parameters, except those that `attention` leaves out.
    Full(FullParts),
    /// Low-rank adapters of projections (LoRA, arXiv 2106.09685). They are added to the weights before the model
    /// is scored or exported.
    Lora(LoraParts),
}

/// The peak learning rates in full fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FullParts {
    /// Learning rate of the linear blocks.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub mixer_learning_rate: f64,
    /// Learning rate of norms, MLPs, the embedding and the output head.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub rest_learning_rate: f64,
    /// Learning rate of the attention in layers that are not replaced.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub attention_learning_rate: f64,
}

/// The adapters of LoRA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LoraParts {
    /// Learning rate of the adapters, at the peak of the schedule.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Rank of the adapters.
    #[schemars(range(min = 1, max = 65_536))]
    pub rank: usize,
    /// The factor of the adapters. Their product is scaled by `alpha` divided by `rank`.
    #[schemars(range(max = 1_000_000), extend("exclusiveMinimum" = 0))]
    pub alpha: f64,
    /// The adapted projections.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub targets: Vec<LoraTarget>,
}

/// A projection that LoRA adapts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoraTarget {
    /// The query projection of linear blocks, and of attention if `attention = "all"`.
    Q,
    /// The key projection of linear blocks, and of attention if `attention = "all"`.
    K,
    /// The value projection of linear blocks and of attention.
    V,
    /// The output projection of linear blocks and of attention.
    O,
    /// The projections of the MLP.
    Mlp,
}

impl LoraTarget {
    /// Returns whether the matrix `name` belongs to the target.
    fn contains(self, name: &str) -> bool {
        let parts: &[&str] = match self {
            Self::Q => &[".q_proj.weight"],
            Self::K => &[".k_proj.weight"],
            Self::V => &[".v_proj.weight"],
            Self::O => &[".o_proj.weight"],
            Self::Mlp => &[".mlp.gate_proj.weight", ".mlp.up_proj.weight", ".mlp.down_proj.weight"],
        };
        parts.iter().any(|part| name.ends_with(part))
    }
}

/// Settings of AdamW in fine-tuning, with f32 moments, linear warm-up, cosine decay, and clipping by the
/// gradient's norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinetuneOptimizerConfig {
    /// Learning rate at the last step, as a fraction of the peak.
    #[schemars(range(min = 0, max = 1))]
    pub final_fraction: f64,
    /// Fraction of the steps during which the learning rate warms up.
    #[schemars(range(min = 0, max = 1))]
    pub warmup_fraction: f64,
    /// Decay rates of the first and the second moment.
    #[schemars(extend("items" = { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }))]
    pub betas: [f64; 2],
    /// Term added to the denominator of the update.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
    /// Decoupled weight decay of matrices. Biases and other vectors are not decayed.
    #[schemars(range(min = 0, max = 10))]
    pub weight_decay: f64,
    /// Maximum norm of the gradient.
    #[schemars(range(max = 1_000_000), extend("exclusiveMinimum" = 0))]
    pub clip: f64,
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        Self {
            hybrids: Vec::new(),
            start: FinetuneStart::default(),
            train: FinetunedParts::Full(FullParts::default()),
            attention: KeptAttention::default(),
            restore_qk: false,
            epochs: 3,
            batch_size: 32,
            micro_batch_size: 1,
            sequence_length: 1024,
            held_out_fraction: 0.1,
            optimizer: FinetuneOptimizerConfig::default(),
            seed: Seed(0),
        }
    }
}

impl Default for FullParts {
    fn default() -> Self {
        Self { mixer_learning_rate: 2e-5, rest_learning_rate: 2e-5, attention_learning_rate: 2e-5 }
    }
}

impl Default for LoraParts {
    fn default() -> Self {
        use LoraTarget::{K, Mlp, O, Q, V};
        Self { learning_rate: 1e-4, rank: 16, alpha: 32.0, targets: vec![Q, K, V, O, Mlp] }
    }
}

impl Default for FinetuneOptimizerConfig {
    fn default() -> Self {
        Self {
            final_fraction: 0.1,
            warmup_fraction: 0.03,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip: 1.0,
        }
    }
}

impl FinetuneConfig {
    /// Returns whether no hybrid is fine-tuned.
    pub fn is_disabled(&self) -> bool {
        self.hybrids.is_empty()
    }

    /// Returns whether all settings have their default values.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the settings on which the weights of one fine-tuned model depend. `hybrid` is the choice of the
    /// hybrid, or `None` for the base. The start of the training is not among them, because it is an input of
    /// the model's cell.
    #[must_use]
    pub fn for_model(&self, hybrid: Option<HybridChoice>) -> Self {
        let hybrids = hybrid.into_iter().collect();
        Self { hybrids, start: FinetuneStart::default(), restore_qk: false, ..self.clone() }
    }

    /// Returns the settings of AdamW, with the learning rate of adapters or of linear blocks.
    pub fn to_adamw(&self) -> AdamWConfig {
        let FinetuneOptimizerConfig { final_fraction, warmup_fraction, betas, epsilon, weight_decay, clip } =
            self.optimizer;
        let learning_rate = match &self.train {
            FinetunedParts::Full(parts) => parts.mixer_learning_rate,
            FinetunedParts::Lora(parts) => parts.learning_rate,
        };
        AdamWConfig { learning_rate, final_fraction, warmup_fraction, betas, epsilon, weight_decay, clip }
    }

    /// Returns whether the training changes the parameter `name` of a base or a hybrid.
    pub fn trains(&self, name: &str) -> bool {
        match &self.train {
            FinetunedParts::Full(_) => self.attention.trains(name),
            FinetunedParts::Lora(parts) => self.attention.trains(name) && parts.contains(name),
        }
    }
}

impl KeptAttention {
    /// Returns the trained groups of the attention.
    fn groups(self) -> &'static [ParameterGroup] {
        match self {
            Self::Frozen => &[],
            Self::ValuesAndOutputs => &[ParameterGroup::Attention],
            Self::All => &[ParameterGroup::Attention, ParameterGroup::QueryKey],
        }
    }

    /// Returns whether the parameter `name` is trained if it belongs to an attention. Returns true for all
    /// other parameters.
    fn trains(self, name: &str) -> bool {
        match ParameterGroup::of(name) {
            group @ (ParameterGroup::Attention | ParameterGroup::QueryKey) => self.groups().contains(&group),
            ParameterGroup::Mixers | ParameterGroup::Rest => true,
        }
    }
}

impl FullParts {
    /// Returns the trained groups of parameters with their peak learning rates.
    pub(super) fn group_rates(&self, attention: KeptAttention) -> Vec<GroupRate> {
        let rate = |name, learning_rate, groups| GroupRate { name, learning_rate, groups };
        vec![
            rate("mixers", self.mixer_learning_rate, &[ParameterGroup::Mixers]),
            rate("rest", self.rest_learning_rate, &[ParameterGroup::Rest]),
            rate("attention", self.attention_learning_rate, attention.groups()),
        ]
    }
}

impl LoraParts {
    /// Returns the shape of the adapters.
    pub fn shape(&self) -> LoraShape {
        LoraShape { rank: self.rank, alpha: self.alpha }
    }

    /// Returns whether the matrix `name` belongs to a target.
    fn contains(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 7] = [
        "model.embed_tokens.weight",
        "model.layers.0.linear_attn.q_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.self_attn.v_proj.weight",
        "model.layers.1.self_attn.v_proj.bias",
        "model.layers.1.mlp.up_proj.weight",
        "model.norm.weight",
    ];

    fn trained(config: &str) -> Vec<usize> {
        let config: FinetuneConfig = toml::from_str(config).unwrap();
        (0..NAMES.len()).filter(|index| config.trains(NAMES[*index])).collect()
    }

    #[test]
    fn queries_and_keys_of_kept_attention_are_trained_only_on_request() {
        assert_eq!(trained(""), [0, 1, 3, 4, 5, 6]);
        assert_eq!(trained("attention = \"frozen\""), [0, 1, 5, 6]);
        assert_eq!(trained("attention = \"all\""), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(trained("train = { lora = {} }"), [1, 3, 5]);
        assert_eq!(trained("attention = \"all\"\ntrain.lora.targets = [\"q\"]"), [1, 2]);
    }

    #[test]
    fn the_rates_cover_the_trained_parameters() {
        for attention in [KeptAttention::Frozen, KeptAttention::ValuesAndOutputs, KeptAttention::All] {
            let rates = FullParts::default().group_rates(attention);
            for name in NAMES {
                let has_rate = rates.iter().any(|rate| rate.contains(name));
                assert_eq!(has_rate, attention.trains(name), "{name}");
            }
        }
    }
}

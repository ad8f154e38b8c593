//! The manifest's table `[checkpoint-distil]`: the settings of scheduled checkpoint distillation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DistilMethod;
use crate::algorithms::finetune::FinetuneConfig;
use crate::algorithms::tuning::HybridChoice;

/// The settings of scheduled checkpoint distillation (arXiv 2601.10114). Hybrids of a search learn the train
/// split of the search's task from a teacher: the base while it is fine-tuned on the same split. The teacher
/// keeps checkpoints along its fine-tuning.
///
/// The training of a student has stages. Before each stage, a schedule chooses the checkpoint `c` with the
/// lowest `KL(best ‖ c) + KL(student ‖ c)` on the held-out items. Adaptive weights mix the divergence from
/// the teacher with the cross entropy of each item: `w KL + (1 − w) CE`, with `w = l_S / (l_S + l_T)`. `l_S`
/// is the loss of the same hybrid after `[finetune]`, and `l_T` is that of the teacher.
///
/// All other settings are those of `[finetune]`. The students are scored together with the fine-tuned hybrid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CheckpointDistilConfig {
    /// The hybrids of each search that become students. The same hybrids must be in `finetune.hybrids`. If
    /// the list is empty, no student is trained.
    #[schemars(extend("uniqueItems" = true))]
    pub hybrids: Vec<HybridChoice>,
    /// The methods. Each hybrid gets a student for each method.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub methods: Vec<DistilMethod>,
    /// The name of the model that is the teacher, a key of `models`. It is fine-tuned by the recipe in
    /// `[finetune]`. Its tokenizer must be that of the base. The default is the base of the hybrid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// Number of checkpoints that the teacher keeps, evenly spaced along its fine-tuning. The weights of its
    /// best epoch are one more teacher.
    #[schemars(range(min = 1, max = 64))]
    pub checkpoints: usize,
    /// Number of stages. Each stage has a new optimizer and a learning-rate schedule of its own.
    #[schemars(range(min = 1, max = 100))]
    pub stages: u32,
    /// Number of passes over the train split in a stage.
    #[schemars(range(min = 1, max = 100))]
    pub epochs_per_stage: u32,
}

impl Default for CheckpointDistilConfig {
    fn default() -> Self {
        Self {
            hybrids: Vec::new(),
            methods: DistilMethod::ALL.to_vec(),
            teacher: None,
            checkpoints: 4,
            stages: 3,
            epochs_per_stage: 2,
        }
    }
}

impl CheckpointDistilConfig {
    /// Returns whether no student is trained.
    pub fn is_disabled(&self) -> bool {
        self.hybrids.is_empty()
    }

    /// Returns the recipe of a student. `finetune` is the recipe of the same hybrid without a teacher.
    #[must_use]
    pub fn student_recipe(&self, finetune: &FinetuneConfig) -> FinetuneConfig {
        FinetuneConfig { epochs: self.stages * self.epochs_per_stage, ..finetune.clone() }
    }
}

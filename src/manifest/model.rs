//! `[models.NAME]`: base models with full attention.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hub::{Repo, RepoKind};
use dtr_model::DecoderShape;

/// A base model, a decoder whose layers have full attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelConfig {
    /// The source of the weights.
    pub source: ModelSource,
    /// The number format in which the model and its twins are computed. A base with the source `pretrain`
    /// uses `f32`. A base with the source `finetuned` uses the format of its `model`.
    #[serde(default, skip_serializing_if = "Dtype::is_f32")]
    pub dtype: Dtype,
}

/// A number format of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    /// 32-bit floating point, on every device.
    #[default]
    F32,
    /// bfloat16, on a GPU only. bfloat16 takes half the memory of `f32` and is several times faster. Sums,
    /// recurrent states, losses and trained weights stay in 32 bits.
    Bf16,
}

impl Dtype {
    /// Returns whether the format is `f32`, which every device supports.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

/// The source of a base model's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSource {
    /// A directory in the Hugging Face format (path relative to the manifest), with `config.json`,
    /// `tokenizer.json`, and `model.safetensors` or its shards and their index.
    Path(#[schemars(extend("format" = "path"))] String),
    /// A GGUF file (path relative to the manifest).
    Gguf(#[schemars(extend("format" = "path"))] String),
    /// A repository of the Hugging Face hub. The repository holds a directory in the Hugging Face format, or
    /// a GGUF file. `dtr sweep` downloads the files.
    Hub(HubModel),
    /// A `config.json` (path relative to the manifest) without weights. `[throughput]` can measure the speed
    /// of such a model, but the model cannot be scored.
    Shape(#[schemars(extend("format" = "path"))] String),
    /// A model of this architecture that `dtr sweep` trains on `[corpus]` by the recipe in `[pretrain]`.
    Pretrain(DecoderShape),
    /// Another model, which `dtr sweep` first fine-tunes on a task by the recipe in `[finetune]`. Twins are then
    /// distilled from the fine-tuned model, and searches start from it.
    Finetuned(FinetunedModel),
}

/// A model that is fine-tuned on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FinetunedModel {
    /// The name of the model before the fine-tuning, a key of `models`.
    pub model: String,
    /// The name of the task whose train split the model learns, a key of `tasks`. It need not be in
    /// `sweep.task`.
    pub task: String,
}

/// A repository of the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HubModel {
    /// The name of the repository, `OWNER/NAME`.
    pub repo: String,
    /// A commit of 40 hex digits, a branch or a tag. `dtr` asks the hub for the current commit of a branch or
    /// tag.
    #[serde(default = "default_revision")]
    pub revision: String,
    /// The path of a GGUF file in the repository. The path ends in `.gguf`. Without this key, `dtr` reads the
    /// repository's `config.json`, `tokenizer.json` and safetensors files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A copy of the repository's `config.json` (path relative to the manifest). `dtr plan` reads the copy
    /// before the repository is downloaded. The downloaded file must have the same configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub config: Option<String>,
}

fn default_revision() -> String {
    "main".to_owned()
}

impl From<&HubModel> for Repo {
    fn from(model: &HubModel) -> Self {
        Self { kind: RepoKind::Model, id: model.repo.clone(), revision: model.revision.clone() }
    }
}

//! `[models.NAME]`: base models with full attention.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hub::{Repo, RepoKind};
use dtr_model::DecoderShape;

/// A base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// Where its weights come from.
    pub source: ModelSource,
    /// What it is computed in, and its twins with it. A base that is trained here is computed in f32.
    #[serde(default, skip_serializing_if = "Dtype::is_f32")]
    pub dtype: Dtype,
}

/// What a model is computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    /// 32 bits, on every device.
    #[default]
    F32,
    /// 16 bits with the range of 32, on a GPU: half the memory, and several times the speed. Sums, states, losses and
    /// what learns are in f32 all the same.
    Bf16,
}

impl Dtype {
    /// Whether it is what every device computes in.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

/// Where a base model's weights come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSource {
    /// A Hugging Face directory (path relative to the manifest): `config.json`,
    /// `model.safetensors` or shards with an index, `tokenizer.json`.
    Path(#[schemars(extend("format" = "path"))] String),
    /// A repository of the Hugging Face hub with the same files; `dtr sweep` downloads them.
    Hub(HubModel),
    /// Only a shape: a `config.json` (path relative to the manifest) and no weights. It can be timed, and nothing else.
    Shape(#[schemars(extend("format" = "path"))] String),
    /// Trained here, on `[corpus]`, as `[pretrain]` says, with this architecture.
    Pretrain(DecoderShape),
}

/// A repository of the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HubModel {
    /// `OWNER/NAME`.
    pub repo: String,
    /// The commit, 40 hex digits. A branch or a tag serves too; the hub is asked then which commit it is now.
    #[serde(default = "default_revision")]
    pub revision: String,
    /// A copy of the repository's `config.json` (path relative to the manifest), so that it can be planned
    /// before it is downloaded; what is downloaded must say the same.
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

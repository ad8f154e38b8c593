//! The models that are compared with a fine-tuned hybrid.

use serde::{Deserialize, Serialize};

use crate::algorithms::checkpoint_distil::DistilMethod;

/// A model whose scores are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparedModel {
    /// The base.
    Base,
    /// The base after the fine-tuning.
    BaseFinetuned,
    /// The hybrid as the search found it.
    Hybrid,
    /// The hybrid after the logit distillation.
    HybridDistilled,
    /// The hybrid after the fine-tuning.
    HybridFinetuned,
    /// The hybrid after the fine-tuning, with the queries and keys of the base.
    HybridRestored,
    /// The hybrid after it learned from checkpoints of a teacher.
    Student(DistilMethod),
}

impl ComparedModel {
    /// Returns whether the model is the base, fine-tuned or not.
    pub fn is_base(self) -> bool {
        matches!(self, Self::Base | Self::BaseFinetuned)
    }

    /// Returns the name of the model in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::BaseFinetuned => "base-finetuned",
            Self::Hybrid => "hybrid",
            Self::HybridDistilled => "hybrid-distilled",
            Self::HybridFinetuned => "hybrid-finetuned",
            Self::HybridRestored => "hybrid-restored",
            Self::Student(method) => method.student_name(),
        }
    }
}

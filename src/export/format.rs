//! The formats and dtypes of exported hybrids on the command line.

use clap::ValueEnum;

use dtr_model::{HybridFormat, PortableFormat, WeightDtype};

/// A format of an exported hybrid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Directory with its own classes for transformers; can express every hybrid
    Transformers,
    /// Qwen3.5 model for transformers, vLLM and llama.cpp: Qwen3 bases with Gated DeltaNet
    #[value(name = "qwen3_5")]
    Qwen35,
    /// Jet-Nemotron model for SGLang: Qwen2 and Llama bases with JetBlock
    JetNemotron,
    /// Model of flash-linear-attention: Qwen2 and Llama bases with GLA or Gated DeltaNet
    Fla,
    /// GGUF file of a Qwen3.5 model for llama.cpp
    Gguf,
}

impl ExportFormat {
    /// Returns the format in terms of the model crate.
    pub fn hybrid_format(self) -> HybridFormat {
        match self {
            Self::Transformers => HybridFormat::Transformers,
            Self::Qwen35 => HybridFormat::Portable(PortableFormat::Qwen35),
            Self::JetNemotron => HybridFormat::Portable(PortableFormat::JetNemotron),
            Self::Fla => HybridFormat::Portable(PortableFormat::Fla),
            Self::Gguf => HybridFormat::Gguf,
        }
    }
}

/// A number format of exported weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportDtype {
    /// 32-bit floating point
    F32,
    /// bfloat16
    Bf16,
    /// 16-bit floating point, which ends at 65504
    F16,
}

impl ExportDtype {
    /// Returns the dtype in terms of the model crate.
    pub fn weight_dtype(self) -> WeightDtype {
        match self {
            Self::F32 => WeightDtype::F32,
            Self::Bf16 => WeightDtype::Bf16,
            Self::F16 => WeightDtype::F16,
        }
    }
}

//! The formats in which a hybrid can be exported.

use super::constraints::{Constraint, portable_constraints, refuse_failed};
use crate::mixer::TwinGeometry;
use crate::{DecoderConfig, PortableFormat, TwinVariant};
use dtr_core::error::Result;

/// A format of an exported hybrid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HybridFormat {
    /// A directory with its own classes for transformers, which dtr reads too. It can express every hybrid.
    Transformers,
    /// A directory without Python files, for classes of other software. It can express some hybrids.
    Portable(PortableFormat),
    /// A GGUF file of llama.cpp with the architecture `qwen35`. It can express some hybrids.
    Gguf,
}

impl HybridFormat {
    /// Returns the name of the format on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformers => "transformers",
            Self::Portable(format) => format.name(),
            Self::Gguf => "gguf",
        }
    }

    /// Returns whether a hybrid must keep a layer with full attention. transformers asks the cache of such a
    /// layer for the number of earlier tokens.
    pub(crate) fn needs_full_attention(self) -> bool {
        matches!(self, Self::Gguf | Self::Portable(PortableFormat::Qwen35))
    }

    /// Returns the conditions of the format for hybrids of `base` with twins of `variant`. They do not depend
    /// on the replaced layers.
    pub fn constraints(self, base: &DecoderConfig, variant: &TwinVariant) -> Vec<Constraint> {
        match self {
            Self::Transformers => Vec::new(),
            Self::Portable(format) => portable_constraints(format, base, variant),
            Self::Gguf => {
                let mut constraints = portable_constraints(PortableFormat::Qwen35, base, variant);
                let geometry = TwinGeometry::new(&variant.geometry, base);
                constraints.push(Constraint::equal_widths(geometry.key_dim, geometry.value_dim));
                constraints
            }
        }
    }

    /// Checks that the format can express hybrids of `base` with twins of `variant`.
    ///
    /// # Errors
    /// Fails with a list of the conditions that do not hold.
    pub fn check(self, base: &DecoderConfig, variant: &TwinVariant) -> Result<()> {
        refuse_failed(self.name(), &self.constraints(base, variant))
    }
}

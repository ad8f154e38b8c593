//! The conditions that a hybrid must meet so that a format of other software can express it.

use dtr_ops::RopeScaling;
use serde::Serialize;

use super::generator_reduction::generator_reduction;
use crate::config::ModelType;
use crate::mixer::TwinGeometry;
use crate::{BlockConfig, DecoderConfig, GdnConfig, GlaConfig, JetConfig, PortableFormat, TwinVariant};
use dtr_core::error::{Error, Result};

/// The widths of convolutions for which other software has kernels. 0 means no convolution.
const CONV_SIZES: [usize; 4] = [0, 2, 3, 4];

/// A condition of a format, and whether a hybrid meets it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Constraint {
    /// The name of the condition. If a manifest has a key for it, the name is that key.
    pub name: &'static str,
    /// The values that the format can express.
    pub required: String,
    /// The value of the hybrid.
    pub found: String,
    /// Whether the hybrid meets the condition.
    pub is_met: bool,
}

impl Constraint {
    fn new(name: &'static str, required: &str, found: impl ToString, is_met: bool) -> Self {
        Self { name, required: required.to_owned(), found: found.to_string(), is_met }
    }

    fn flag(name: &'static str, required: bool, found: bool) -> Self {
        Self::new(name, &required.to_string(), found, found == required)
    }

    /// llama.cpp has one size for both widths.
    pub(super) fn equal_widths(key_dim: usize, value_dim: usize) -> Self {
        Self::new("value-dim", &format!("{key_dim}, as `key-dim`"), value_dim, key_dim == value_dim)
    }

    /// Returns a sentence about the condition.
    pub fn to_line(&self) -> String {
        format!("`{}` must be {}, not {}", self.name, self.required, self.found)
    }
}

/// A base and a variant of its twins, whose hybrids are to be expressed in a format.
struct Candidate<'a> {
    base: &'a DecoderConfig,
    variant: &'a TwinVariant,
    geometry: TwinGeometry,
}

/// Returns the conditions of `format` for hybrids of `base` with twins of `variant`. They do not depend on
/// the replaced layers.
pub fn portable_constraints(
    format: PortableFormat,
    base: &DecoderConfig,
    variant: &TwinVariant,
) -> Vec<Constraint> {
    let geometry = TwinGeometry::new(&variant.geometry, base);
    let candidate = Candidate { base, variant, geometry };
    let mut constraints = match format {
        PortableFormat::Qwen35 => candidate.qwen3_5(),
        PortableFormat::JetNemotron => candidate.jet_nemotron(),
        PortableFormat::Fla => candidate.fla(),
    };
    constraints.extend([
        Constraint::flag("qkv-bias", false, candidate.geometry.qkv_bias),
        Constraint::flag("qk-norm", false, candidate.geometry.qk_norm),
        Constraint::flag("rope", false, candidate.geometry.rope),
    ]);
    constraints
}

/// Checks that all of `constraints` hold, which are those of the format `name`.
///
/// # Errors
/// Fails with a list of the conditions that do not hold.
pub(super) fn refuse_failed(name: &str, constraints: &[Constraint]) -> Result<()> {
    let failed = constraints.iter().filter(|one| !one.is_met);
    let lines: String = failed.map(|one| format!("\n  {}", one.to_line())).collect();
    match lines.is_empty() {
        true => Ok(()),
        false => Err(Error::manifest(format!("`{name}` cannot express the hybrid:{lines}"))),
    }
}

impl Candidate<'_> {
    fn qwen3_5(&self) -> Vec<Constraint> {
        let mut constraints = vec![
            self.base_of(&[ModelType::Qwen3]),
            self.plain_rope(),
            Constraint::flag("output-gate", true, self.geometry.output_gate),
        ];
        match &self.variant.block {
            BlockConfig::Gdn(gdn) => constraints.extend([self.conv_size(gdn), Self::eigenvalues(gdn)]),
            other => constraints.push(Constraint::new("block", "gdn", other.name(), false)),
        }
        constraints
    }

    fn jet_nemotron(&self) -> Vec<Constraint> {
        let theta = self.base.rope_theta;
        let is_scaled = matches!(self.base.rope_scaling, RopeScaling::Factors(_));
        let mut constraints = vec![
            self.base_of(&[ModelType::Llama, ModelType::Qwen2]),
            self.head_width(),
            Constraint::new("rope_theta", "a whole number", theta, theta.fract() == 0.0),
            Constraint::new("rope_scaling", "absent or `llama3`", self.scaling_name(), !is_scaled),
            Constraint::flag("output-gate", true, self.geometry.output_gate),
        ];
        match &self.variant.block {
            BlockConfig::Jet(jet) => constraints.extend(self.dynamic_convolution(jet)),
            other => constraints.push(Constraint::new("block", "jet", other.name(), false)),
        }
        constraints
    }

    fn fla(&self) -> Vec<Constraint> {
        let mut constraints =
            vec![self.base_of(&[ModelType::Llama, ModelType::Qwen2]), self.head_width(), self.plain_rope()];
        match &self.variant.block {
            BlockConfig::Gdn(_) => {}
            BlockConfig::Gla(gla) => constraints.extend(Self::decay_gate(gla)),
            other => constraints.push(Constraint::new("block", "gdn or gla", other.name(), false)),
        }
        constraints
    }

    fn base_of(&self, allowed: &[ModelType]) -> Constraint {
        let names: Vec<&str> = allowed.iter().map(|model_type| model_type.name()).collect();
        let found = self.base.model_type;
        Constraint::new("base", &names.join(" or "), found.name(), allowed.contains(&found))
    }

    /// The classes compute the width of a head of full attention from two other sizes.
    fn head_width(&self) -> Constraint {
        let base = self.base;
        let is_met = base.head_dim * base.num_heads == base.hidden_size;
        Constraint::new("head_dim", "hidden_size / num_attention_heads", base.head_dim, is_met)
    }

    fn plain_rope(&self) -> Constraint {
        let is_met = self.base.rope_scaling == RopeScaling::None;
        Constraint::new("rope_scaling", "absent", self.scaling_name(), is_met)
    }

    fn scaling_name(&self) -> &'static str {
        match self.base.rope_scaling {
            RopeScaling::None => "absent",
            RopeScaling::Llama3 { .. } => "llama3",
            RopeScaling::Factors(_) => "longrope",
        }
    }

    fn conv_size(&self, gdn: &GdnConfig) -> Constraint {
        Constraint::new("conv-size", "0, 2, 3 or 4", gdn.conv_size, CONV_SIZES.contains(&gdn.conv_size))
    }

    fn eigenvalues(gdn: &GdnConfig) -> Constraint {
        Constraint::flag("allow-neg-eigval", false, gdn.allow_neg_eigval)
    }

    /// The class divides the width of v over all query heads by a whole number, so that the quotient is the
    /// hidden width of the generator. Its convolution fails at a width of 1.
    fn dynamic_convolution(&self, jet: &JetConfig) -> [Constraint; 2] {
        let is_whole = generator_reduction(jet, &self.geometry).is_some();
        let required = "a divisor of the width of v over all heads";
        [
            Constraint::new("conv-size", "at least 2", jet.conv_size, jet.conv_size >= 2),
            Constraint::new("generator-reduction", required, jet.generator_reduction, is_whole),
        ]
    }

    /// The configuration of the class has no keys for these settings.
    fn decay_gate(gla: &GlaConfig) -> [Constraint; 2] {
        let default = GlaConfig::default();
        let (rank, normalizer) = (gla.gate_low_rank_dim, gla.gate_logit_normalizer);
        [
            Constraint::new("gate-low-rank-dim", "16", rank, rank == default.gate_low_rank_dim),
            Constraint::new(
                "gate-logit-normalizer",
                "16",
                normalizer,
                normalizer == default.gate_logit_normalizer,
            ),
        ]
    }
}

//! Token mixers: full attention, and the linear blocks that replace it. Such a block is called the twin of
//! the attention that it replaces.
//!
//! Every mixer maps normalised hidden states to outputs of the same width. It carries a [`MixerState`] from
//! one forward pass to the next.

mod attention_stats;
mod forward_context;
mod full_attention;
mod gated_delta;
mod gated_output;
mod gdn;
mod geometry;
mod gla;
mod jet;
mod linear_projection;
mod mixer_state;
mod projections;
mod twin_variant;

use burn::tensor::Tensor;

pub use attention_stats::AttentionStats;
pub use forward_context::ForwardContext;
pub use full_attention::FullAttention;
pub use gdn::{GdnBlock, GdnConfig};
pub use geometry::TwinGeometry;
pub use gla::{GlaBlock, GlaConfig};
pub(crate) use jet::jet_generator_width;
pub use jet::{JetBlock, JetConfig};
pub use linear_projection::Linear;
pub use mixer_state::MixerState;
pub use twin_variant::{
    BlockConfig, GeometryConfig, PortableFormat, TwinInit, TwinVariant, check_head_counts,
};

use crate::{DecoderConfig, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;

/// The prefix of full attention's parameters within a layer, as in transformers.
pub const FULL_ATTENTION_PREFIX: &str = "self_attn";

/// The prefix of a linear block's parameters within a layer, as in transformers.
pub const LINEAR_ATTENTION_PREFIX: &str = "linear_attn";

/// A layer's token mixer.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one per layer")]
pub enum Mixer {
    /// Softmax attention.
    Full(FullAttention),
    /// Gated linear attention.
    Gla(GlaBlock),
    /// Gated DeltaNet.
    Gdn(GdnBlock),
    /// JetBlock.
    Jet(JetBlock),
}

impl Mixer {
    /// Creates the full attention of the base's layer `layer_name`.
    pub(crate) fn new_full_attention(
        config: &DecoderConfig,
        params: &mut dyn ParamSource,
        layer_name: &str,
    ) -> Result<Self> {
        let name = format!("{layer_name}.{FULL_ATTENTION_PREFIX}");
        Ok(Self::Full(FullAttention::new(config, params, &name)?))
    }

    /// Creates the linear block of the hybrid's layer `layer_name`.
    pub(crate) fn new_linear_block(
        variant: &TwinVariant,
        config: &DecoderConfig,
        params: &mut dyn ParamSource,
        layer_name: &str,
    ) -> Result<Self> {
        let geometry = TwinGeometry::new(&variant.geometry, config);
        geometry.check(config)?;
        let name = format!("{layer_name}.{LINEAR_ATTENTION_PREFIX}");
        Self::new_block(&variant.block, geometry, None, params, &name)
    }

    /// Creates a twin of the attention `base`, with parameters from `params` under `name`.
    ///
    /// If `variant.init` is [`TwinInit::Copy`] or [`TwinInit::Calibrated`], the twin starts with copies from
    /// the base: the projections q, k, v and o, and those biases and norms of q and k that both have. The
    /// base must then have the twin's head counts and head widths.
    ///
    /// # Errors
    /// Fails when the geometry does not fit the base, or `params` lacks a parameter.
    pub(crate) fn new_twin(
        variant: &TwinVariant,
        config: &DecoderConfig,
        base: &FullAttention,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let geometry = TwinGeometry::new(&variant.geometry, config);
        geometry.check(config)?;
        let original = match variant.init {
            TwinInit::Copy | TwinInit::Calibrated => {
                geometry.require_base_geometry(config)?;
                Some(base)
            }
            TwinInit::Random => None,
        };
        Self::new_block(&variant.block, geometry, original, params, name)
    }

    fn new_block(
        block: &BlockConfig,
        geometry: TwinGeometry,
        original: Option<&FullAttention>,
        params: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        Ok(match block {
            BlockConfig::Gla(gla) => Self::Gla(GlaBlock::new(gla, geometry, original, params, name)?),
            BlockConfig::Gdn(gdn) => Self::Gdn(GdnBlock::new(gdn, geometry, original, params, name)?),
            BlockConfig::Jet(jet) => Self::Jet(JetBlock::new(jet, geometry, original, params, name)?),
        })
    }

    /// Returns the prefix of this mixer's parameters within a layer of a Hugging Face model directory.
    pub(crate) fn name_prefix(&self) -> &'static str {
        match self {
            Self::Full(_) => FULL_ATTENTION_PREFIX,
            Self::Gla(_) | Self::Gdn(_) | Self::Jet(_) => LINEAR_ATTENTION_PREFIX,
        }
    }

    /// Returns the number of parameters of one twin of `variant` for a base with this `config`.
    pub fn num_twin_parameters(variant: &TwinVariant, config: &DecoderConfig) -> u64 {
        let geometry = TwinGeometry::new(&variant.geometry, config);
        let specific = match &variant.block {
            BlockConfig::Gla(gla) => GlaBlock::num_specific_parameters(gla, &geometry),
            BlockConfig::Gdn(gdn) => GdnBlock::num_specific_parameters(gdn, &geometry),
            BlockConfig::Jet(jet) => JetBlock::num_specific_parameters(jet, &geometry),
        };
        (geometry.num_shared_parameters() + specific) as u64
    }

    /// Sets the gates of a twin, and the scale of each head, from measurements of the base's attention.
    /// [`TwinInit::Calibrated`] describes the method.
    ///
    /// # Panics
    /// Panics if the mixer is full attention.
    pub fn calibrate(&mut self, stats: &AttentionStats) {
        match self {
            Self::Full(_) => unreachable!("full attention cannot be calibrated"),
            Self::Gla(block) => block.calibrate(stats),
            Self::Gdn(block) => block.calibrate(stats),
            Self::Jet(block) => block.calibrate(stats),
        }
    }

    /// Returns whether a decoding step of the mixer can be recorded as a CUDA graph.
    pub(crate) fn is_recordable(&self) -> bool {
        match self {
            Self::Full(block) => block.is_recordable(),
            Self::Gla(block) => block.geometry.is_recordable(),
            Self::Gdn(block) => block.geometry.is_recordable(),
            Self::Jet(block) => block.geometry.is_recordable(),
        }
    }

    /// Returns the output of the mixer for the hidden states `x_btd`, `[b, t, d]`. If `state` is given, the
    /// mixer continues from the state stored there, and stores the next state in its place.
    pub fn forward(
        &self,
        x_btd: Tensor<3>,
        context: &ForwardContext,
        state: Option<&mut Option<MixerState>>,
    ) -> Tensor<3> {
        let mut state = state;
        // The state is moved out of `state`, so that the mixer has the only reference to a KV cache and can
        // write in place.
        let past = state.as_deref_mut().and_then(Option::take);
        let (output, next) = match self {
            Self::Full(block) => block.forward(x_btd, context, past),
            Self::Gla(block) => block.forward(x_btd, context, past),
            Self::Gdn(block) => block.forward(x_btd, context, past),
            Self::Jet(block) => block.forward(x_btd, context, past),
        };
        if let Some(state) = state {
            *state = Some(next);
        }
        output
    }
}

impl Parameters for Mixer {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        match self {
            Self::Full(block) => block.visit(visitor),
            Self::Gla(block) => block.visit(visitor),
            Self::Gdn(block) => block.visit(visitor),
            Self::Jet(block) => block.visit(visitor),
        }
    }
}

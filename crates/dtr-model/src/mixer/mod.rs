//! What mixes tokens in a layer: full attention, or one of the linear variants.
//!
//! All share one contract: normalised hidden states in, the block's output (after its output
//! projection) out, and a state beside the KV cache that a later pass continues from.

mod calibrate;
mod delta;
mod full;
mod gdn;
mod gla;
mod jet;
mod parts;
mod variant;

use burn::tensor::{Device, Int, Tensor, TensorData};

pub use calibrate::Observed;
pub use full::FullAttention;
pub use gdn::{GdnBlock, GdnConfig};
pub use gla::{GlaBlock, GlaConfig};
pub use jet::{JetBlock, JetConfig};
pub use parts::{Linear, TwinConfig};
pub use variant::{Block, Geometry, Init, Variant};

use super::config::Config;
use super::parameters::{ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::{CausalMask, ConvState, KvCache, PositionCounter, Rope, RotaryAngles};

/// The folder of full attention's parameters below a layer, as transformers names it.
pub const FULL: &str = "self_attn";

/// The folder of a linear block's parameters below a layer, as transformers names it.
pub const LINEAR: &str = "linear_attn";

/// What all layers of one forward pass share.
#[derive(Clone)]
pub struct Pass {
    /// Tokens of earlier passes.
    pub past: usize,
    /// The angles of the tokens' positions.
    pub rope: RotaryAngles,
    /// Tokens in all that caches make room for; 0 where none will follow.
    pub room: usize,
    /// Where the device counts positions: the token's own.
    pub at: Option<PositionCounter>,
    /// Which keys each query sees.
    pub mask: CausalMask,
    /// 1 for tokens, 0 for left pads, `[b, t, 1]`; absent without pads.
    pub valid: Option<Tensor<3>>,
}

impl Pass {
    /// A pass of `time` tokens for each of `batch` rows after `past` earlier ones, of which the
    /// first `left_pads[row]` are padding.
    pub fn new(
        config: &Config,
        batch: usize,
        time: usize,
        past: usize,
        left_pads: Option<&[usize]>,
        device: &Device,
    ) -> Self {
        let pad = |row: usize| left_pads.map_or(0, |pads| pads[row]);
        let rows = left_pads.map_or(1, |_| batch);
        let positions: Vec<Vec<usize>> = (0..rows)
            .map(|row| (past..past + time).map(|at| at.saturating_sub(pad(row))).collect())
            .collect();
        let rope = Rope::new(config.head_dim, config.rope_theta, &config.rope_scaling);
        let valid = left_pads.map(|pads| {
            let values: Vec<f32> = pads
                .iter()
                .flat_map(|&pad| (past..past + time).map(move |at| if at < pad { 0.0 } else { 1.0 }))
                .collect();
            Tensor::from_data(TensorData::new(values, [batch, time, 1]), device)
        });
        let mask = CausalMask::new(time, past, left_pads, device);
        Self { past, rope: rope.angles(&positions, device), room: 0, at: None, mask, valid }
    }

    /// A pass of one token for each row, none padded, at the position that the device has counted to; caches have room for
    /// `room` tokens.
    pub fn counted(config: &Config, counter: &PositionCounter, room: usize, device: &Device) -> Self {
        let rope = Rope::new(config.head_dim, config.rope_theta, &config.rope_scaling);
        Self {
            past: 0,
            rope: rope.angles_from_counter(counter, room, device),
            room,
            at: Some(counter.clone()),
            mask: CausalMask::at_counter(counter, device),
            valid: None,
        }
    }

    /// The same pass for tensors on an autodiff graph.
    pub fn tracked(&self) -> Self {
        Self {
            past: self.past,
            room: self.room,
            rope: self.rope.autodiff(),
            at: self.at.clone(),
            mask: self.mask.autodiff(),
            valid: self.valid.clone().map(Tensor::autodiff),
        }
    }

    /// Zeroes what stands at left pads of `x_btd`.
    fn blank(&self, x_btd: Tensor<3>) -> Tensor<3> {
        match &self.valid {
            Some(valid) => {
                let valid = valid.clone().cast(x_btd.dtype());
                x_btd * valid
            }
            None => x_btd,
        }
    }
}

/// What a layer carries from one pass to the next.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one per layer")]
pub enum MixerState {
    /// Keys (rotated) and values of all earlier tokens.
    Cache(KvCache),
    /// The recurrent state `[b, h, k, v]` and the convolutions' last inputs.
    Recurrent {
        /// The recurrent state, f32.
        state: Tensor<4>,
        /// The last raw inputs of each short convolution.
        convs: Vec<ConvState>,
    },
}

impl MixerState {
    /// What a linear layer left: its recurrent state, and those of its convolutions.
    fn recurrent(past: Option<Self>) -> (Option<Tensor<4>>, Vec<ConvState>) {
        match past {
            Some(Self::Recurrent { state, convs }) => (Some(state), convs),
            Some(Self::Cache(_)) => unreachable!("a layer's state is made by the layer itself"),
            None => (None, Vec::new()),
        }
    }

    /// Makes room for `tokens` in all, where state grows with tokens.
    pub fn make_room(&mut self, tokens: usize) {
        if let Self::Cache(cache) = self {
            *cache = cache.clone().with_capacity(tokens);
        }
    }

    /// Bytes this state holds on its device.
    pub fn bytes(&self) -> u64 {
        fn size<const D: usize>(x: &Tensor<D>) -> u64 {
            (x.dtype().size() * x.dims().iter().product::<usize>()) as u64
        }
        match self {
            Self::Cache(cache) => cache.num_bytes(),
            Self::Recurrent { state, convs } => size(state) + convs.iter().map(size).sum::<u64>(),
        }
    }

    /// The states of some of the rows, `rows_b`, in that order.
    pub fn select(&self, rows_b: &Tensor<1, Int>) -> Self {
        match self {
            Self::Cache(cache) => {
                let (keys, values) = cache.tokens();
                let [keys, values] = [keys, values].map(|x| x.select(0, rows_b.clone()));
                Self::Cache(KvCache::new(keys, values))
            }
            Self::Recurrent { state, convs } => Self::Recurrent {
                state: state.clone().select(0, rows_b.clone()),
                convs: convs.iter().map(|conv| conv.clone().select(0, rows_b.clone())).collect(),
            },
        }
    }
}

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
    /// The full attention of the layer `name` of a base.
    pub fn full(config: &Config, make: &mut dyn ParamSource, name: &str) -> Result<Self> {
        Ok(Self::Full(FullAttention::new(config, make, &format!("{name}.{FULL}"))?))
    }

    /// The twin that has taken the place of attention in the layer `name` of a hybrid.
    pub fn linear(
        variant: &Variant,
        config: &Config,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let twin = TwinConfig::new(&variant.geometry, config);
        twin.check(config)?;
        Self::block(&variant.block, twin, None, make, &format!("{name}.{LINEAR}"))
    }

    /// What parameters of this mixer are called below their layer in a Hugging Face directory.
    pub(super) fn folder(&self) -> &'static str {
        match self {
            Self::Full(_) => FULL,
            Self::Gla(_) | Self::Gdn(_) | Self::Jet(_) => LINEAR,
        }
    }

    /// A twin of `base` as `variant` describes it; parameters come from `make` under `name`.
    ///
    /// With `init = "copy"` the projections q, k, v, o (and biases and norms of q and k) start as
    /// the base's own, which needs the base's own geometry.
    pub fn twin(
        variant: &Variant,
        config: &Config,
        base: &FullAttention,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let twin = TwinConfig::new(&variant.geometry, config);
        twin.check(config)?;
        let source = match variant.init {
            Init::Copy | Init::Calibrated => {
                twin.require_base_geometry(config)?;
                Some(base)
            }
            Init::Random => None,
        };
        Self::block(&variant.block, twin, source, make, name)
    }

    /// A linear block of `twin`'s geometry, whose projections start as those of `source`, if any.
    fn block(
        block: &Block,
        twin: TwinConfig,
        source: Option<&FullAttention>,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        Ok(match block {
            Block::Gla(gla) => Self::Gla(GlaBlock::new(gla, twin, source, make, name)?),
            Block::Gdn(gdn) => Self::Gdn(GdnBlock::new(gdn, twin, source, make, name)?),
            Block::Jet(jet) => Self::Jet(JetBlock::new(jet, twin, source, make, name)?),
        })
    }

    /// The number of parameters of one twin of `variant` for a base of `config`'s shape.
    pub fn num_twin_parameters(variant: &Variant, config: &Config) -> u64 {
        let twin = TwinConfig::new(&variant.geometry, config);
        let own = match &variant.block {
            Block::Gla(gla) => GlaBlock::num_own_parameters(gla, &twin),
            Block::Gdn(gdn) => GdnBlock::num_own_parameters(gdn, &twin),
            Block::Jet(jet) => JetBlock::num_own_parameters(jet, &twin),
        };
        (twin.num_shared_parameters() + own) as u64
    }

    /// Sets a twin's gates and scale from what the base's attention does; see [`Init::Calibrated`].
    pub fn calibrate(&mut self, attention: &Observed) {
        match self {
            Self::Full(_) => unreachable!("a twin is linear"),
            Self::Gla(block) => block.calibrate(attention),
            Self::Gdn(block) => block.calibrate(attention),
            Self::Jet(block) => block.calibrate(attention),
        }
    }

    /// Mixes the tokens of `x_btd`, continuing from `state` and leaving the next state in it.
    pub fn forward(
        &self,
        x_btd: Tensor<3>,
        pass: &Pass,
        state: Option<&mut Option<MixerState>>,
    ) -> Tensor<3> {
        let mut state = state;
        // Taken out, so that nobody else holds a cache that is written into.
        let past = state.as_deref_mut().and_then(Option::take);
        let (output, next) = match self {
            Self::Full(block) => block.forward(x_btd, pass, past),
            Self::Gla(block) => block.forward(x_btd, pass, past),
            Self::Gdn(block) => block.forward(x_btd, pass, past),
            Self::Jet(block) => block.forward(x_btd, pass, past),
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

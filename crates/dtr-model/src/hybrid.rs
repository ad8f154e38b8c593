//! A hybrid is a decoder in which linear-attention blocks, called twins, replace the attention of some
//! layers.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor};

use super::decoder::ResidualStream;
use crate::{
    Decoder, DecoderConfig, DecoderState, ForwardContext, Mask, Mixer, MixerState, PrefixTree,
    PrefixTreeStates, Twins, token_tensor,
};

/// A base in which twins replace the attention of some layers.
pub struct Hybrid<'a> {
    base: &'a Decoder,
    mixers: Vec<&'a Mixer>,
}

impl<'a> Hybrid<'a> {
    /// Creates a hybrid without replaced layers.
    pub fn from_base(base: &'a Decoder) -> Self {
        Self { base, mixers: base.layers.iter().map(|layer| &layer.attention).collect() }
    }

    /// Creates a hybrid of `base` in which `twins` replace the attention of the layers of `mask`.
    pub fn new(base: &'a Decoder, twins: &'a Twins, mask: &Mask) -> Self {
        let mut hybrid = Self::from_base(base);
        for layer in mask.layers() {
            hybrid.mixers[layer as usize] = &twins.layers[layer as usize];
        }
        hybrid
    }

    /// Returns whether this hybrid and `other` run the same token mixer in `layer`.
    pub(super) fn has_same_mixer(&self, layer: usize, other: &Self) -> bool {
        std::ptr::eq(self.mixers[layer], other.mixers[layer])
    }

    /// Returns the number of layers.
    pub fn num_layers(&self) -> usize {
        self.mixers.len()
    }

    /// Returns whether a decoding step of all layers can be recorded as a CUDA graph.
    pub(super) fn is_recordable(&self) -> bool {
        self.mixers.iter().all(|mixer| mixer.is_recordable())
    }

    /// Returns the device of the parameters.
    pub fn device(&self) -> Device {
        self.base.device()
    }

    /// Returns the configuration of the base.
    pub fn config(&self) -> &DecoderConfig {
        &self.base.config
    }

    /// Returns the hidden states after the last layer, `[b, t, d]`, for token rows of equal lengths.
    ///
    /// With a `state`, the tokens continue from this state, and the pass updates it. `left_pads` holds the
    /// number of padding tokens at the beginning of each row. The padding may extend over several passes.
    pub fn forward_hidden(
        &self,
        ids: &[Vec<u32>],
        left_pads: Option<&[usize]>,
        state: Option<&mut DecoderState>,
    ) -> Tensor<3> {
        let device = self.base.device();
        let (batch, time) = (ids.len(), ids[0].len());
        let past = state.as_ref().map_or(0, |state| state.num_past_tokens());
        let mut context = ForwardContext::new(&self.base.config, batch, time, past, left_pads, &device);
        context.cache_capacity = state.as_ref().map_or(0, |state| state.capacity());
        let mut state = state;
        let x = self.forward_ids(token_tensor(ids, &device), &context, state.as_deref_mut());
        if let Some(state) = state {
            state.advance(time);
        }
        x
    }

    /// Returns the hidden states after the last layer, `[b, t, d]`, for the tokens `ids_bt` in `context`.
    /// Updates the layers' states in `state`, but not the number of past tokens.
    pub(super) fn forward_ids(
        &self,
        ids_bt: Tensor<2, Int>,
        context: &ForwardContext,
        mut state: Option<&mut DecoderState>,
    ) -> Tensor<3> {
        let forward = || {
            let epsilon = self.base.config.norm_epsilon;
            let mut residual = ResidualStream::from(self.base.embed(ids_bt));
            for (index, mixer) in self.mixers.iter().enumerate() {
                let state = state.as_deref_mut().map(|state| &mut state.layers[index]);
                residual = self.base.layers[index].forward(mixer, residual, context, epsilon, state);
            }
            residual.into_hidden_states()
        };
        dtr_ops::run_on_device_thread(&self.device(), forward)
    }

    /// Runs `layers` on the tokens of `tree`. `states` are the hidden states before the first of these
    /// layers. Returns the hidden states after the last of these layers.
    pub fn run_layers(
        &self,
        layers: Range<usize>,
        states: PrefixTreeStates,
        tree: &PrefixTree,
    ) -> PrefixTreeStates {
        let run = || {
            layers.fold(states, |states, layer| {
                let outputs = self.mix_tokens(layer, states.clone(), tree);
                self.add_and_feed_forward(layer, states, outputs)
            })
        };
        dtr_ops::run_on_device_thread(&self.device(), run)
    }

    /// Runs the token mixer of a layer on the prefixes, and then on the suffixes. A suffix continues from the
    /// mixer's state after its prefix. Returns the output of the mixer.
    pub(super) fn mix_tokens(
        &self,
        layer: usize,
        states: PrefixTreeStates,
        tree: &PrefixTree,
    ) -> PrefixTreeStates {
        let mix = |x: Tensor<3>, context: &ForwardContext, state: Option<&mut Option<MixerState>>| {
            let epsilon = self.base.config.norm_epsilon;
            let (_, io) =
                self.base.layers[layer].mix_tokens(self.mixers[layer], x.into(), context, epsilon, state);
            io.output
        };
        let mut prefix_state = None;
        let keeps_state = !tree.suffixes.is_empty();
        let prefixes = mix(states.prefixes, &tree.prefixes.context, keeps_state.then_some(&mut prefix_state));
        let suffixes = states.suffixes.into_iter().zip(&tree.suffixes).map(|(x, group)| {
            let mut state = prefix_state.as_ref().map(|state| state.select_rows(&group.prefixes_b));
            mix(x, &group.rows.context, Some(&mut state))
        });
        PrefixTreeStates { prefixes, suffixes: suffixes.collect() }
    }

    /// Runs the second half of a layer: adds the token mixer's `outputs` to the hidden states `states`, and
    /// applies the MLP.
    pub(super) fn add_and_feed_forward(
        &self,
        layer: usize,
        states: PrefixTreeStates,
        outputs: PrefixTreeStates,
    ) -> PrefixTreeStates {
        let suffixes = states.suffixes.into_iter().zip(outputs.suffixes);
        PrefixTreeStates {
            prefixes: self.add_and_feed_forward_btd(layer, states.prefixes, outputs.prefixes),
            suffixes: suffixes.map(|(x, output)| self.add_and_feed_forward_btd(layer, x, output)).collect(),
        }
    }

    /// Does the work of [`Hybrid::add_and_feed_forward`] for a single tensor of hidden states, `x_btd`.
    pub(super) fn add_and_feed_forward_btd(
        &self,
        layer: usize,
        x_btd: Tensor<3>,
        output_btd: Tensor<3>,
    ) -> Tensor<3> {
        let epsilon = self.base.config.norm_epsilon;
        self.base.layers[layer].add_and_feed_forward(x_btd, output_btd, epsilon).into_hidden_states()
    }

    /// Returns the logits `[n, vocab]` for hidden states `x_nd` after the last layer.
    pub fn logits(&self, x_nd: Tensor<2>) -> Tensor<2> {
        self.base.logits(x_nd)
    }
}

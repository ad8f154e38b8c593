//! A base with some of its layers replaced, as it computes.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor};

use super::config::Config;
use super::decoder::{Decoder, Residual, token_tensor};
use super::mask::Mask;
use super::mixer::{Mixer, MixerState, Pass};
use super::prefix_tree::{PrefixTree, PrefixTreeStates};
use super::state::State;
use super::twins::Twins;

/// A base with some layers' attention replaced by their twins.
pub struct Hybrid<'a> {
    base: &'a Decoder,
    mixers: Vec<&'a Mixer>,
}

impl<'a> Hybrid<'a> {
    /// The base itself.
    pub fn base(base: &'a Decoder) -> Self {
        Self { base, mixers: base.layers.iter().map(|layer| &layer.attention).collect() }
    }

    /// The base with the layers of `mask` replaced by `twins`.
    pub fn new(base: &'a Decoder, twins: &'a Twins, mask: &Mask) -> Self {
        let mut hybrid = Self::base(base);
        for layer in mask.layers() {
            hybrid.mixers[layer as usize] = &twins.layers[layer as usize];
        }
        hybrid
    }

    /// Whether it has the same mixer in a layer as `other`.
    pub(super) fn shares(&self, layer: usize, other: &Self) -> bool {
        std::ptr::eq(self.mixers[layer], other.mixers[layer])
    }

    /// Number of layers.
    pub fn num_layers(&self) -> usize {
        self.mixers.len()
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.base.device()
    }

    /// The base's shape.
    pub fn config(&self) -> &Config {
        &self.base.config
    }

    /// Hidden states after the last layer for rows of token ids of one length, `[b, t, d]`.
    ///
    /// With a `state` the tokens continue it; `left_pads` counts each row's leading padding over
    /// all passes.
    pub fn forward(
        &self,
        ids: &[Vec<u32>],
        left_pads: Option<&[usize]>,
        state: Option<&mut State>,
    ) -> Tensor<3> {
        let device = self.base.device();
        let (batch, time) = (ids.len(), ids[0].len());
        let past = state.as_ref().map_or(0, |state| state.past());
        let mut pass = Pass::new(&self.base.config, batch, time, past, left_pads, &device);
        pass.room = state.as_ref().map_or(0, |state| state.room());
        let mut state = state;
        let x = self.continued(token_tensor(ids, &device), &pass, state.as_deref_mut());
        if let Some(state) = state {
            state.advance(time);
        }
        x
    }

    /// Hidden states after the last layer for tokens `ids_bt` that continue `state` as `pass` says.
    pub(super) fn continued(
        &self,
        ids_bt: Tensor<2, Int>,
        pass: &Pass,
        state: Option<&mut State>,
    ) -> Tensor<3> {
        dtr_ops::run_on_device_thread(&self.device(), || self.continued_there(ids_bt, pass, state))
    }

    fn continued_there(
        &self,
        ids_bt: Tensor<2, Int>,
        pass: &Pass,
        mut state: Option<&mut State>,
    ) -> Tensor<3> {
        let mut residual = Residual::from(self.base.embed(ids_bt));
        for (layer, mixer) in self.mixers.iter().enumerate() {
            let slot = state.as_deref_mut().map(|state| &mut state.layers[layer]);
            let block = &self.base.layers[layer];
            residual = block.forward(mixer, residual, pass, self.base.config.norm_epsilon, slot);
        }
        residual.sum()
    }

    /// Hidden states of `tree` after `layers` from those before them.
    pub fn run(&self, layers: Range<usize>, states: PrefixTreeStates, tree: &PrefixTree) -> PrefixTreeStates {
        dtr_ops::run_on_device_thread(&self.device(), || self.through(layers, states, tree))
    }

    fn through(&self, layers: Range<usize>, states: PrefixTreeStates, tree: &PrefixTree) -> PrefixTreeStates {
        layers.fold(states, |states, layer| {
            let said = self.mix(layer, states.clone(), tree);
            self.feed_all(layer, states, said)
        })
    }

    /// What follows the mixing of tokens in a layer, where `said` is what the mixer said.
    pub(super) fn feed_all(
        &self,
        layer: usize,
        states: PrefixTreeStates,
        said: PrefixTreeStates,
    ) -> PrefixTreeStates {
        let branches = states.branches.into_iter().zip(said.branches);
        PrefixTreeStates {
            trunks: self.feed(layer, states.trunks, said.trunks),
            branches: branches.map(|(x, said)| self.feed(layer, x, said)).collect(),
        }
    }

    pub(super) fn feed(&self, layer: usize, x_btd: Tensor<3>, output_btd: Tensor<3>) -> Tensor<3> {
        self.base.layers[layer].feed(x_btd, output_btd, self.base.config.norm_epsilon).sum()
    }

    /// What the mixer of a layer says, of trunks and then of their branches.
    pub(super) fn mix(&self, layer: usize, states: PrefixTreeStates, tree: &PrefixTree) -> PrefixTreeStates {
        let mix = |x: Tensor<3>, pass: &Pass, slot: Option<&mut Option<MixerState>>| {
            let block = &self.base.layers[layer];
            block.mix(self.mixers[layer], x.into(), pass, self.base.config.norm_epsilon, slot).1.output
        };
        let mut left = None;
        let slot = (!tree.branches.is_empty()).then_some(&mut left);
        let trunks = mix(states.trunks, &tree.trunks.pass, slot);
        let branches = states.branches.into_iter().zip(&tree.branches).map(|(x, branches)| {
            let mut state = left.as_ref().map(|state| state.select(&branches.trunks_b));
            mix(x, &branches.part.pass, Some(&mut state))
        });
        PrefixTreeStates { trunks, branches: branches.collect() }
    }

    /// Logits `[n, vocab]` of hidden states `x_nd`.
    pub fn logits(&self, x_nd: Tensor<2>) -> Tensor<2> {
        self.base.logits(x_nd)
    }
}

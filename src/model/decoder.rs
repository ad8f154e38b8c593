//! The decoder: embedding, layers, norm, head; and the hybrid that stands on it.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::config::Config;
use super::mask::Mask;
use super::mixer::{FullAttention, Linear, Mixer, MixerState, Pass};
use super::parameters::{Fill, Make, Parameters, Slot};
use super::tree::{Tree, TreeStates};
use super::twins::Twins;
use crate::error::Result;
use crate::ops::{self, rms_norm, swish_gate};

/// One layer: attention and a SwiGLU, each behind an RMSNorm and beside a residual.
#[derive(Clone)]
pub struct Layer {
    input_norm: Tensor<1>,
    /// The base's own attention, or what an exported hybrid has in its place.
    pub attention: Mixer,
    post_norm: Tensor<1>,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

/// What the attention block of a layer sees and says: a twin's lesson.
pub struct LayerIo {
    /// Normalised hidden states, `[b, t, d]`.
    pub input: Tensor<3>,
    /// The block's output after its output projection, `[b, t, d]`.
    pub output: Tensor<3>,
}

/// The states of all layers, beside one another: caches where attention is full, recurrent states
/// where it is linear.
#[derive(Clone, Default)]
pub struct State {
    layers: Vec<Option<MixerState>>,
    past: usize,
    room: usize,
}

impl State {
    /// The state before the first token.
    pub fn new(num_layers: usize) -> Self {
        Self { layers: vec![None; num_layers], past: 0, room: 0 }
    }

    /// The same with room for `tokens` in all, so that caches are not copied to become longer.
    #[must_use]
    pub fn for_tokens(self, tokens: usize) -> Self {
        Self { room: tokens, ..self }
    }

    /// Tokens so far.
    pub fn past(&self) -> usize {
        self.past
    }

    /// Tokens in all that it makes room for.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Counts tokens that were added.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.past += tokens;
    }

    /// Tokens in all that it has room for, after making that room for at least `tokens`.
    pub(super) fn make_room(&mut self, tokens: usize) -> usize {
        self.room = self.room.max(tokens);
        for state in self.layers.iter_mut().flatten() {
            state.make_room(self.room);
        }
        self.room
    }

    /// Bytes held by all layers.
    pub fn bytes(&self) -> StateBytes {
        let mut bytes = StateBytes::default();
        for state in self.layers.iter().flatten() {
            match state {
                MixerState::Cache(_) => bytes.cache += state.bytes(),
                MixerState::Recurrent { .. } => bytes.recurrent += state.bytes(),
            }
        }
        bytes
    }
}

/// Bytes that the states of all layers hold on their device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateBytes {
    /// Keys and values, where attention is full.
    pub cache: u64,
    /// Recurrent states and the last inputs of convolutions, where it is linear.
    pub recurrent: u64,
}

/// A Llama / Qwen2 / Qwen3 decoder: a base, or a hybrid that was read from a directory.
#[derive(Clone)]
pub struct Decoder {
    /// The decoder's shape.
    pub config: Config,
    embedding: Tensor<2>,
    /// The layers.
    pub layers: Vec<Layer>,
    norm: Tensor<1>,
    /// Absent when the embedding serves as head.
    head: Option<Tensor<2>>,
}

impl Layer {
    fn new(config: &Config, make: &mut dyn Make, name: &str, attention: Mixer) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let down = Fill::into_residual(inner, config.num_layers);
        let ones = Fill::Constant(1.0);
        Ok(Self {
            input_norm: make.vector(&format!("{name}.input_layernorm.weight"), width, ones.clone())?,
            attention,
            post_norm: make.vector(&format!("{name}.post_attention_layernorm.weight"), width, ones)?,
            gate_proj: Linear::new(
                make,
                &format!("{name}.mlp.gate_proj"),
                [inner, width],
                Fill::fan_in(width),
            )?,
            up_proj: Linear::new(make, &format!("{name}.mlp.up_proj"), [inner, width], Fill::fan_in(width))?,
            down_proj: Linear::new(make, &format!("{name}.mlp.down_proj"), [width, inner], down)?,
        })
    }

    /// Runs the layer with `mixer` in the attention's place; also returns what the mixer saw and said.
    fn forward(
        &self,
        mixer: &Mixer,
        x_btd: Tensor<3>,
        pass: &Pass,
        epsilon: f64,
        state: Option<&mut Option<MixerState>>,
    ) -> (Tensor<3>, LayerIo) {
        let io = self.mix(mixer, x_btd.clone(), pass, epsilon, state);
        (self.feed(x_btd, io.output.clone(), epsilon), io)
    }

    /// The first half, which mixes tokens.
    fn mix(
        &self,
        mixer: &Mixer,
        x_btd: Tensor<3>,
        pass: &Pass,
        epsilon: f64,
        state: Option<&mut Option<MixerState>>,
    ) -> LayerIo {
        let input = rms_norm(x_btd, &self.input_norm, epsilon);
        let output = mixer.forward(input.clone(), pass, state);
        LayerIo { input, output }
    }

    /// The second half, which sees each token by itself: of hidden states and what the mixer said of them.
    fn feed(&self, x_btd: Tensor<3>, output_btd: Tensor<3>, epsilon: f64) -> Tensor<3> {
        let (x, normed) = ops::sum_and_norm(x_btd, output_btd, &self.post_norm, epsilon);
        let inner = swish_gate(self.gate_proj.forward(normed.clone()), self.up_proj.forward(normed));
        ops::sum(x, self.down_proj.forward(inner))
    }

    fn visit(&mut self, name: &str, visitor: &mut dyn FnMut(&str, Slot<'_>)) {
        visitor(&format!("{name}.input_layernorm.weight"), Slot::Vector(&mut self.input_norm));
        let mixer = format!("{name}.{}", self.attention.folder());
        self.attention.visit(&mut |part, slot| visitor(&format!("{mixer}.{part}"), slot));
        visitor(&format!("{name}.post_attention_layernorm.weight"), Slot::Vector(&mut self.post_norm));
        self.gate_proj.visit(&format!("{name}.mlp.gate_proj"), visitor);
        self.up_proj.visit(&format!("{name}.mlp.up_proj"), visitor);
        self.down_proj.visit(&format!("{name}.mlp.down_proj"), visitor);
    }
}

impl Decoder {
    /// A base of `config`'s shape with parameters from `make`, under Hugging Face's names.
    pub fn new(config: &Config, make: &mut dyn Make) -> Result<Self> {
        Self::with_mixers(config, make, |_, make, name| Mixer::full(config, make, name))
    }

    /// A decoder in which `mixer` makes the attention of each layer, told its number and name.
    pub(super) fn with_mixers(
        config: &Config,
        make: &mut dyn Make,
        mut mixer: impl FnMut(usize, &mut dyn Make, &str) -> Result<Mixer>,
    ) -> Result<Self> {
        let (vocab, width) = (config.vocab_size, config.hidden_size);
        // Small beside what the blocks write: at N(0, 1) binding was learnt later or not at all.
        let embedding = make.matrix("model.embed_tokens.weight", [vocab, width], Fill::Normal(0.02))?;
        let layers = (0..config.num_layers)
            .map(|layer| {
                let name = format!("model.layers.{layer}");
                let attention = mixer(layer, make, &name)?;
                Layer::new(config, make, &name, attention)
            })
            .collect::<Result<_>>()?;
        let norm = make.vector("model.norm.weight", width, Fill::Constant(1.0))?;
        let head = match config.tied_head {
            true => None,
            false => {
                let head = make.matrix("lm_head.weight", [vocab, width], Fill::fan_in(width))?;
                Some(ops::by_columns(head))
            }
        };
        Ok(Self { config: config.clone(), embedding, layers, norm, head })
    }

    /// The device the parameters live on.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// What it computes in.
    pub fn dtype(&self) -> DType {
        self.embedding.dtype()
    }

    /// The attention of `layer`.
    pub fn attention(&self, layer: usize) -> &FullAttention {
        match &self.layers[layer].attention {
            Mixer::Full(attention) => attention,
            _ => unreachable!("a base's own attention is full"),
        }
    }

    /// Hidden states of `ids_bt` before the first layer, `[b, t, d]`.
    pub fn embed(&self, ids_bt: Tensor<2, Int>) -> Tensor<3> {
        let [batch, time] = ids_bt.dims();
        ops::rows(&self.embedding, ids_bt.reshape([batch * time])).reshape([
            batch,
            time,
            self.config.hidden_size,
        ])
    }

    /// What the attention of each layer saw and said over rows of tokens of one length.
    pub fn lessons(&self, ids: &[Vec<u32>], pass: &Pass) -> Vec<LayerIo> {
        ops::exclusively(&self.device(), || self.lessons_of(ids, pass))
    }

    fn lessons_of(&self, ids: &[Vec<u32>], pass: &Pass) -> Vec<LayerIo> {
        let mut x = self.embed(token_tensor(ids, &self.device()));
        let mut lessons = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (next, io) = layer.forward(&layer.attention, x, pass, self.config.norm_epsilon, None);
            lessons.push(io);
            x = next;
        }
        lessons
    }

    /// Logits `[n, vocab]` in f32 of hidden states `x_nd` after the last layer.
    pub fn logits(&self, x_nd: Tensor<2>) -> Tensor<2> {
        let normed = rms_norm(x_nd, &self.norm, self.config.norm_epsilon);
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        ops::exact_product(normed, head)
    }
}

impl Parameters for Decoder {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, Slot<'_>)) {
        visitor("model.embed_tokens.weight", Slot::Matrix(&mut self.embedding));
        for (layer, block) in self.layers.iter_mut().enumerate() {
            block.visit(&format!("model.layers.{layer}"), visitor);
        }
        visitor("model.norm.weight", Slot::Vector(&mut self.norm));
        if let Some(head) = &mut self.head {
            visitor("lm_head.weight", Slot::Matrix(head));
        }
    }
}

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
        let past = state.as_ref().map_or(0, |state| state.past);
        let mut pass = Pass::new(&self.base.config, batch, time, past, left_pads, &device);
        pass.room = state.as_ref().map_or(0, |state| state.room);
        let mut state = state;
        let x = self.continued(token_tensor(ids, &device), &pass, state.as_deref_mut());
        if let Some(state) = state {
            state.past += time;
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
        ops::exclusively(&self.device(), || self.continued_there(ids_bt, pass, state))
    }

    fn continued_there(
        &self,
        ids_bt: Tensor<2, Int>,
        pass: &Pass,
        mut state: Option<&mut State>,
    ) -> Tensor<3> {
        let mut x = self.base.embed(ids_bt);
        for (layer, mixer) in self.mixers.iter().enumerate() {
            let slot = state.as_deref_mut().map(|state| &mut state.layers[layer]);
            let block = &self.base.layers[layer];
            x = block.forward(mixer, x, pass, self.base.config.norm_epsilon, slot).0;
        }
        x
    }

    /// Hidden states of `tree` after `layers` from those before them.
    pub fn run(&self, layers: Range<usize>, states: TreeStates, tree: &Tree) -> TreeStates {
        ops::exclusively(&self.device(), || self.through(layers, states, tree))
    }

    fn through(&self, layers: Range<usize>, states: TreeStates, tree: &Tree) -> TreeStates {
        layers.fold(states, |states, layer| {
            let said = self.mix(layer, states.clone(), tree);
            let branches = states.branches.into_iter().zip(said.branches);
            TreeStates {
                trunks: self.feed(layer, states.trunks, said.trunks),
                branches: branches.map(|(x, said)| self.feed(layer, x, said)).collect(),
            }
        })
    }

    /// Hidden states `[n, d]` after the last layer at `places_n` of all tokens of `tree`, from those before the layer
    /// `first`. What follows the last mixing of tokens is run at these places alone.
    pub fn run_to(
        &self,
        places_n: Tensor<1, Int>,
        first: usize,
        states: TreeStates,
        tree: &Tree,
    ) -> Tensor<2> {
        let last = self.num_layers() - 1;
        if first > last {
            return states.flat().select(0, places_n);
        }
        let run = || {
            let states = self.through(first..last, states, tree);
            let said = self.mix(last, states.clone(), tree);
            let [x, said] = [states, said].map(|all| all.flat().select(0, places_n.clone()).unsqueeze::<3>());
            self.feed(last, x, said).squeeze_dim::<2>(0)
        };
        ops::exclusively(&self.device(), run)
    }

    fn feed(&self, layer: usize, x_btd: Tensor<3>, output_btd: Tensor<3>) -> Tensor<3> {
        self.base.layers[layer].feed(x_btd, output_btd, self.base.config.norm_epsilon)
    }

    /// What the mixer of a layer says, of trunks and then of their branches.
    fn mix(&self, layer: usize, states: TreeStates, tree: &Tree) -> TreeStates {
        let mix = |x, pass: &Pass, slot: Option<&mut Option<MixerState>>| {
            let block = &self.base.layers[layer];
            block.mix(self.mixers[layer], x, pass, self.base.config.norm_epsilon, slot).output
        };
        let mut left = None;
        let slot = (!tree.branches.is_empty()).then_some(&mut left);
        let trunks = mix(states.trunks, &tree.trunks.pass, slot);
        let branches = states.branches.into_iter().zip(&tree.branches).map(|(x, branches)| {
            let mut state = left.as_ref().map(|state| state.select(&branches.trunks));
            mix(x, &branches.part.pass, Some(&mut state))
        });
        TreeStates { trunks, branches: branches.collect() }
    }

    /// Logits `[n, vocab]` of hidden states `x_nd`.
    pub fn logits(&self, x_nd: Tensor<2>) -> Tensor<2> {
        self.base.logits(x_nd)
    }
}

/// Rows of token ids of one length as a tensor `[b, t]`.
pub fn token_tensor(ids: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let (batch, time) = (ids.len(), ids[0].len());
    let flat: Vec<i32> = ids.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [batch, time]), device)
}

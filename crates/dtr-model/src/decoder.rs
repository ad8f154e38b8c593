//! The decoder: embedding, layers, norm, head.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::config::Config;
use super::mixer::{FullAttention, Linear, Mixer, MixerState, Pass};
use super::parameters::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::Result;
use dtr_ops::rms_norm;

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

/// Hidden states on their way from layer to layer, `[b, t, d]`. What a layer adds is added where the next one norms the sum, in one
/// go.
pub(super) struct Residual {
    x: Tensor<3>,
    added: Option<Tensor<3>>,
}

impl From<Tensor<3>> for Residual {
    fn from(x: Tensor<3>) -> Self {
        Self { x, added: None }
    }
}

impl Residual {
    /// The hidden states.
    pub(super) fn sum(self) -> Tensor<3> {
        match self.added {
            Some(added) => dtr_ops::add(self.x, added),
            None => self.x,
        }
    }

    /// The hidden states, and their norm.
    fn normed(self, weight: &Tensor<1>, epsilon: f64) -> (Tensor<3>, Tensor<3>) {
        match self.added {
            Some(added) => dtr_ops::add_rms_norm(self.x, added, weight, epsilon),
            None => (self.x.clone(), rms_norm(self.x, weight, epsilon)),
        }
    }
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
    fn new(config: &Config, make: &mut dyn ParamSource, name: &str, attention: Mixer) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let down = Initializer::into_residual(inner, config.num_layers);
        let ones = Initializer::Constant(1.0);
        Ok(Self {
            input_norm: make.vector(&format!("{name}.input_layernorm.weight"), width, ones.clone())?,
            attention,
            post_norm: make.vector(&format!("{name}.post_attention_layernorm.weight"), width, ones)?,
            gate_proj: Linear::new(
                make,
                &format!("{name}.mlp.gate_proj"),
                [inner, width],
                Initializer::fan_in(width),
            )?,
            up_proj: Linear::new(
                make,
                &format!("{name}.mlp.up_proj"),
                [inner, width],
                Initializer::fan_in(width),
            )?,
            down_proj: Linear::new(make, &format!("{name}.mlp.down_proj"), [width, inner], down)?,
        })
    }

    /// Runs the layer with `mixer` in the attention's place.
    pub(super) fn forward(
        &self,
        mixer: &Mixer,
        before: Residual,
        pass: &Pass,
        epsilon: f64,
        state: Option<&mut Option<MixerState>>,
    ) -> Residual {
        let (x, io) = self.mix(mixer, before, pass, epsilon, state);
        self.feed(x, io.output, epsilon)
    }

    /// The first half, which mixes tokens: the hidden states that it found, and what the mixer saw and said.
    pub(super) fn mix(
        &self,
        mixer: &Mixer,
        before: Residual,
        pass: &Pass,
        epsilon: f64,
        state: Option<&mut Option<MixerState>>,
    ) -> (Tensor<3>, LayerIo) {
        let (x, input) = before.normed(&self.input_norm, epsilon);
        let output = mixer.forward(input.clone(), pass, state);
        (x, LayerIo { input, output })
    }

    /// The second half, which sees each token by itself: of hidden states and what the mixer said of them.
    pub(super) fn feed(&self, x_btd: Tensor<3>, output_btd: Tensor<3>, epsilon: f64) -> Residual {
        let (x, normed) = dtr_ops::add_rms_norm(x_btd, output_btd, &self.post_norm, epsilon);
        let inner = dtr_ops::swiglu(normed, &self.gate_proj.weight, &self.up_proj.weight);
        Residual { x, added: Some(self.down_proj.forward(inner)) }
    }

    fn visit(&mut self, name: &str, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        visitor(&format!("{name}.input_layernorm.weight"), ParamMut::Vector(&mut self.input_norm));
        let mixer = format!("{name}.{}", self.attention.folder());
        self.attention.visit(&mut |part, slot| visitor(&format!("{mixer}.{part}"), slot));
        visitor(&format!("{name}.post_attention_layernorm.weight"), ParamMut::Vector(&mut self.post_norm));
        self.gate_proj.visit(&format!("{name}.mlp.gate_proj"), visitor);
        self.up_proj.visit(&format!("{name}.mlp.up_proj"), visitor);
        self.down_proj.visit(&format!("{name}.mlp.down_proj"), visitor);
    }
}

impl Decoder {
    /// A base of `config`'s shape with parameters from `make`, under Hugging Face's names.
    pub fn new(config: &Config, make: &mut dyn ParamSource) -> Result<Self> {
        Self::with_mixers(config, make, |_, make, name| Mixer::full(config, make, name))
    }

    /// A decoder in which `mixer` makes the attention of each layer, told its number and name.
    pub(super) fn with_mixers(
        config: &Config,
        make: &mut dyn ParamSource,
        mut mixer: impl FnMut(usize, &mut dyn ParamSource, &str) -> Result<Mixer>,
    ) -> Result<Self> {
        let (vocab, width) = (config.vocab_size, config.hidden_size);
        // Small beside what the blocks write: at N(0, 1) binding was learnt later or not at all.
        let embedding =
            make.matrix("model.embed_tokens.weight", [vocab, width], Initializer::Normal(0.02))?;
        let layers = (0..config.num_layers)
            .map(|layer| {
                let name = format!("model.layers.{layer}");
                let attention = mixer(layer, make, &name)?;
                Layer::new(config, make, &name, attention)
            })
            .collect::<Result<_>>()?;
        let norm = make.vector("model.norm.weight", width, Initializer::Constant(1.0))?;
        let head = match config.tied_head {
            true => None,
            false => {
                let head = make.matrix("lm_head.weight", [vocab, width], Initializer::fan_in(width))?;
                Some(dtr_ops::to_column_major(head))
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
        dtr_ops::embedding(&self.embedding, ids_bt.reshape([batch * time])).reshape([
            batch,
            time,
            self.config.hidden_size,
        ])
    }

    /// Has `hear` each of the first `num_layers` layers, in order, with what its attention saw and said over rows of tokens of
    /// one length.
    pub fn teach(
        &self,
        ids: &[Vec<u32>],
        pass: &Pass,
        num_layers: usize,
        mut hear: impl FnMut(usize, LayerIo),
    ) {
        let epsilon = self.config.norm_epsilon;
        let mut residual = Residual::from(self.embed(token_tensor(ids, &self.device())));
        for (index, layer) in self.layers[..num_layers].iter().enumerate() {
            let (x, io) = layer.mix(&layer.attention, residual, pass, epsilon, None);
            // What follows the last layer that is heard is heard by nobody.
            residual = match index + 1 < num_layers {
                true => layer.feed(x, io.output.clone(), epsilon),
                false => x.into(),
            };
            hear(index, io);
        }
    }

    /// Logits `[n, vocab]` in f32 of hidden states `x_nd` after the last layer.
    pub fn logits(&self, x_nd: Tensor<2>) -> Tensor<2> {
        dtr_ops::linear_f32(self.normed(x_nd), self.head())
    }

    /// The log-probability of each wanted token after the hidden states in the row that goes with it.
    pub fn log_likelihoods(&self, x_nd: Tensor<2>, wanted: &[(usize, u32)]) -> Vec<f32> {
        dtr_ops::token_log_likelihoods(&self.normed(x_nd), self.head(), wanted)
    }

    fn normed(&self, x_nd: Tensor<2>) -> Tensor<2> {
        rms_norm(x_nd, &self.norm, self.config.norm_epsilon)
    }

    fn head(&self) -> &Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

impl Parameters for Decoder {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        visitor("model.embed_tokens.weight", ParamMut::Matrix(&mut self.embedding));
        for (layer, block) in self.layers.iter_mut().enumerate() {
            block.visit(&format!("model.layers.{layer}"), visitor);
        }
        visitor("model.norm.weight", ParamMut::Vector(&mut self.norm));
        if let Some(head) = &mut self.head {
            visitor("lm_head.weight", ParamMut::Matrix(head));
        }
    }
}

/// Rows of token ids of one length as a tensor `[b, t]`.
pub fn token_tensor(ids: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let (batch, time) = (ids.len(), ids[0].len());
    let flat: Vec<i32> = ids.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [batch, time]), device)
}

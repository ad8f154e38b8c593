//! A Llama, Qwen2 or Qwen3 decoder: embedding, layers, norm, output head.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::mixer::{FullAttention, Linear};
use crate::{
    DecoderConfig, ForwardContext, Initializer, Mask, Mixer, MixerState, ParamMut, ParamSource, Parameters,
    Twins,
};
use dtr_core::error::Result;
use dtr_ops::{HeadInputs, rms_norm};

/// A decoder layer: a token mixer and a SwiGLU, each after an RMSNorm and with a residual connection.
#[derive(Clone)]
pub struct DecoderLayer {
    input_norm: Tensor<1>,
    /// The token mixer: full attention. In a replaced layer of an exported hybrid, it is a linear block.
    pub(super) attention: Mixer,
    post_norm: Tensor<1>,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

/// The input and the output of a layer's attention block. Distillation trains the layer's twin, a linear
/// block, to compute this output from this input.
pub struct MixerIo {
    /// Normalised hidden states, `[b, t, d]`.
    pub input: Tensor<3>,
    /// The output of the block after its output projection, `[b, t, d]`.
    pub output: Tensor<3>,
}

impl MixerIo {
    /// Joins the inputs and outputs of several layers along the batch dimension, one layer after another.
    pub fn stack(mut layers: Vec<Self>) -> Self {
        if layers.len() == 1 {
            return layers.remove(0);
        }
        let (inputs, outputs): (Vec<_>, Vec<_>) = layers.into_iter().map(|io| (io.input, io.output)).unzip();
        Self { input: dtr_ops::concat_batches(inputs), output: dtr_ops::concat_batches(outputs) }
    }
}

/// The residual stream between two layers, `[b, t, d]`: the sum of `x` and `pending`. The addition is
/// deferred, so that a kernel can fuse the addition with the next norm.
pub(super) struct ResidualStream {
    x: Tensor<3>,
    pending: Option<Tensor<3>>,
}

impl From<Tensor<3>> for ResidualStream {
    fn from(x: Tensor<3>) -> Self {
        Self { x, pending: None }
    }
}

impl ResidualStream {
    pub(super) fn into_hidden_states(self) -> Tensor<3> {
        match self.pending {
            Some(pending) => dtr_ops::add(self.x, pending),
            None => self.x,
        }
    }

    /// Returns the hidden states, and the hidden states after an RMSNorm.
    fn into_normed(self, weight: &Tensor<1>, epsilon: f64) -> (Tensor<3>, Tensor<3>) {
        match self.pending {
            Some(pending) => dtr_ops::add_rms_norm(self.x, pending, weight, epsilon),
            None => (self.x.clone(), rms_norm(self.x, weight, epsilon)),
        }
    }
}

/// A Llama, Qwen2 or Qwen3 decoder: a base, or a hybrid that was read from a directory. [`crate`] defines
/// both.
///
/// ```
/// # fn main() -> dtr_core::error::Result<()> {
/// use burn::tensor::Device;
/// use dtr_core::seed::Seed;
/// use dtr_model::{Decoder, Hybrid, RandomParams, count_parameters, testing};
///
/// let config = testing::shape().llama_config(50, 256);
/// let mut decoder = Decoder::new(&config, &mut RandomParams::new(Seed(1), &Device::flex()))?;
/// assert_eq!(count_parameters(&mut decoder), config.num_parameters());
/// let hidden = Hybrid::from_base(&decoder).forward_hidden(&[vec![7, 8, 9]], None, None);
/// assert_eq!(decoder.logits(hidden.squeeze_dim(0)).dims(), [3, 50]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Decoder {
    /// The decoder's configuration.
    pub config: DecoderConfig,
    pub(super) embedding: Tensor<2>,
    pub(super) layers: Vec<DecoderLayer>,
    pub(super) norm: Tensor<1>,
    /// The weight of the output head. `None` if the head shares the embedding's weight.
    pub(super) head: Option<Tensor<2>>,
}

impl DecoderLayer {
    fn new(
        config: &DecoderConfig,
        params: &mut dyn ParamSource,
        name: &str,
        attention: Mixer,
    ) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let mut norm =
            |part: &str| params.vector(&format!("{name}.{part}.weight"), width, Initializer::Constant(1.0));
        let (input_norm, post_norm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
        let mut project = |part: &str, shape: [usize; 2], initializer: Initializer| {
            Linear::new(params, &format!("{name}.mlp.{part}"), shape, initializer)
        };
        Ok(Self {
            input_norm,
            attention,
            post_norm,
            gate_proj: project("gate_proj", [inner, width], Initializer::fan_in(width))?,
            up_proj: project("up_proj", [inner, width], Initializer::fan_in(width))?,
            down_proj: project(
                "down_proj",
                [width, inner],
                Initializer::residual_output(inner, config.num_layers),
            )?,
        })
    }

    /// Runs the layer with `mixer` in place of its attention.
    pub(super) fn forward(
        &self,
        mixer: &Mixer,
        residual: ResidualStream,
        context: &ForwardContext,
        epsilon: f64,
        state: Option<&mut Option<MixerState>>,
    ) -> ResidualStream {
        let (x, io) = self.mix_tokens(mixer, residual, context, epsilon, state);
        self.add_and_feed_forward(x, io.output, epsilon)
    }

    /// Runs the first half of the layer: norm and token mixer. Returns the hidden states before the norm, and
    /// the input and the output of the mixer.
    pub(super) fn mix_tokens(
        &self,
        mixer: &Mixer,
        residual: ResidualStream,
        context: &ForwardContext,
        epsilon: f64,
        state: Option<&mut Option<MixerState>>,
    ) -> (Tensor<3>, MixerIo) {
        let (x, input) = residual.into_normed(&self.input_norm, epsilon);
        let output = mixer.forward(input.clone(), context, state);
        (x, MixerIo { input, output })
    }

    /// Runs the second half of the layer: adds the mixer's output `output_btd` to the hidden states `x_btd`,
    /// then applies the norm and the SwiGLU. This half treats every token independently.
    pub(super) fn add_and_feed_forward(
        &self,
        x_btd: Tensor<3>,
        output_btd: Tensor<3>,
        epsilon: f64,
    ) -> ResidualStream {
        let (x, normed) = dtr_ops::add_rms_norm(x_btd, output_btd, &self.post_norm, epsilon);
        let inner = dtr_ops::swiglu(normed, &self.gate_proj.weight, &self.up_proj.weight);
        ResidualStream { x, pending: Some(self.down_proj.forward(inner)) }
    }

    /// Visits the layer's parameters. `name` is the prefix of their names.
    pub(super) fn visit(&mut self, name: &str, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        visitor(&format!("{name}.input_layernorm.weight"), ParamMut::Vector(&mut self.input_norm));
        let mixer = format!("{name}.{}", self.attention.name_prefix());
        self.attention.visit(&mut |part, param| visitor(&format!("{mixer}.{part}"), param));
        visitor(&format!("{name}.post_attention_layernorm.weight"), ParamMut::Vector(&mut self.post_norm));
        self.gate_proj.visit(&format!("{name}.mlp.gate_proj"), visitor);
        self.up_proj.visit(&format!("{name}.mlp.up_proj"), visitor);
        self.down_proj.visit(&format!("{name}.mlp.down_proj"), visitor);
    }
}

impl Decoder {
    /// Creates a base of shape `config`. Its parameters come from `params`, under the names that transformers
    /// uses.
    ///
    /// # Errors
    /// Fails when `params` lacks a parameter.
    pub fn new(config: &DecoderConfig, params: &mut dyn ParamSource) -> Result<Self> {
        Self::with_mixers(config, params, |_, params, name| Mixer::new_full_attention(config, params, name))
    }

    /// Creates a decoder. `mixer` creates the token mixer of each layer from the layer's index and name.
    pub(super) fn with_mixers(
        config: &DecoderConfig,
        params: &mut dyn ParamSource,
        mut mixer: impl FnMut(usize, &mut dyn ParamSource, &str) -> Result<Mixer>,
    ) -> Result<Self> {
        let (vocab, width) = (config.vocab_size, config.hidden_size);
        // This standard deviation is small compared with the outputs of layers. With a deviation of 1, small
        // models learnt associative recall late or not at all.
        let normal = Initializer::Normal(0.02);
        let embedding = params.matrix("model.embed_tokens.weight", [vocab, width], normal)?;
        let layers = (0..config.num_layers)
            .map(|layer| {
                let name = format!("model.layers.{layer}");
                let attention = mixer(layer, params, &name)?;
                DecoderLayer::new(config, params, &name, attention)
            })
            .collect::<Result<_>>()?;
        let norm = params.vector("model.norm.weight", width, Initializer::Constant(1.0))?;
        let head = match config.tied_head {
            true => None,
            false => {
                let head = params.matrix("lm_head.weight", [vocab, width], Initializer::fan_in(width))?;
                Some(dtr_ops::to_column_major(head))
            }
        };
        Ok(Self { config: config.clone(), embedding, layers, norm, head })
    }

    /// Returns a copy of the decoder in which `twins` replace the attention of the layers of `mask`.
    #[must_use]
    pub fn with_twins(&self, twins: &Twins, mask: &Mask) -> Self {
        let mut hybrid = self.clone();
        for layer in mask.layers() {
            hybrid.layers[layer as usize].attention = twins.layers[layer as usize].clone();
        }
        hybrid
    }

    /// Returns the inputs and the weight of the output head for hidden states `x_nd` after the last layer.
    pub fn head_inputs(&self, x_nd: Tensor<2>) -> HeadInputs<'_> {
        HeadInputs { x_nd: self.final_norm(x_nd), weight_vd: self.head() }
    }

    /// Returns the device of the parameters.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Returns the dtype of the parameters.
    pub fn dtype(&self) -> DType {
        self.embedding.dtype()
    }

    /// Returns the full attention of `layer`.
    ///
    /// # Panics
    /// Panics if the decoder is a hybrid in which `layer` is replaced.
    pub fn attention(&self, layer: usize) -> &FullAttention {
        match &self.layers[layer].attention {
            Mixer::Full(attention) => attention,
            _ => unreachable!("a twin replaces the attention of layer {layer}"),
        }
    }

    /// Returns the embeddings of the tokens `ids_bt`, `[b, t, d]`.
    pub fn embed(&self, ids_bt: Tensor<2, Int>) -> Tensor<3> {
        let [batch, time] = ids_bt.dims();
        dtr_ops::embedding(&self.embedding, ids_bt.reshape([batch * time])).reshape([
            batch,
            time,
            self.config.hidden_size,
        ])
    }

    /// Runs the first `num_layers` layers on the token rows `ids`, which have equal lengths. Calls `callback`
    /// for each of these layers in order, with the layer's index and the input and output of the layer's
    /// attention.
    pub fn for_each_mixer_io(
        &self,
        ids: &[Vec<u32>],
        context: &ForwardContext,
        num_layers: usize,
        mut callback: impl FnMut(usize, MixerIo),
    ) {
        let epsilon = self.config.norm_epsilon;
        let mut residual = ResidualStream::from(self.embed(token_tensor(ids, &self.device())));
        for (index, layer) in self.layers[..num_layers].iter().enumerate() {
            let (x, io) = layer.mix_tokens(&layer.attention, residual, context, epsilon, None);
            // The last MLP is skipped, because its output is unused.
            residual = match index + 1 < num_layers {
                true => layer.add_and_feed_forward(x, io.output.clone(), epsilon),
                false => x.into(),
            };
            callback(index, io);
        }
    }

    /// Returns the logits `[n, vocab]`, in f32, for hidden states `x_nd` after the last layer.
    pub fn logits(&self, x_nd: Tensor<2>) -> Tensor<2> {
        dtr_ops::linear_f32(self.final_norm(x_nd), self.head())
    }

    /// Returns the log-probability of each target. `x_nd` holds hidden states after the last layer, one row
    /// per token. A target is a pair: the index of a row, and the token that follows the row's token.
    pub fn log_likelihoods(&self, x_nd: Tensor<2>, targets: &[(usize, u32)]) -> Vec<f32> {
        dtr_ops::token_log_likelihoods(&self.final_norm(x_nd), self.head(), targets)
    }

    /// Returns the mean cross entropy, `[1]`. `x_nd` holds hidden states after the last layer, one row per
    /// token. `targets_n` holds the token that follows each row's token.
    pub fn cross_entropy(&self, x_nd: Tensor<2>, targets_n: Tensor<1, Int>) -> Tensor<1> {
        dtr_ops::linear_cross_entropy(self.final_norm(x_nd), self.head(), targets_n)
    }

    pub(super) fn final_norm(&self, x_nd: Tensor<2>) -> Tensor<2> {
        rms_norm(x_nd, &self.norm, self.config.norm_epsilon)
    }

    pub(super) fn head(&self) -> &Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

impl Parameters for Decoder {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        visitor("model.embed_tokens.weight", ParamMut::Matrix(&mut self.embedding));
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.visit(&format!("model.layers.{index}"), visitor);
        }
        visitor("model.norm.weight", ParamMut::Vector(&mut self.norm));
        if let Some(head) = &mut self.head {
            visitor("lm_head.weight", ParamMut::Matrix(head));
        }
    }
}

/// Returns token rows of equal lengths as a tensor `[b, t]`.
pub fn token_tensor(ids: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let (batch, time) = (ids.len(), ids[0].len());
    let flat: Vec<i32> = ids.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [batch, time]), device)
}

//! The gradient of a decoder's parameters, computed one layer at a time.
//!
//! The forward pass keeps only the input of each layer. The backward pass runs each layer again, from its
//! input (activation checkpointing, arXiv 1604.06174). So intermediate activations exist for one layer only.
//! The layers' inputs, parameters and gradients still take memory in proportion to the number of layers.

use burn::tensor::{DType, Int, Tensor};

use crate::decoder::DecoderLayer;
use crate::{AutodiffCopy, Decoder, ForwardContext, ParamMut, Parameters, to_dtype, token_tensor};
use dtr_ops::{HeadInputs, HeadLoss, rms_norm};

/// The names of the parameters that belong to no layer.
const EMBEDDING: &str = "model.embed_tokens.weight";
const NORM: &str = "model.norm.weight";
const HEAD: &str = "lm_head.weight";

/// A loss, and its gradient with respect to the trained parameters.
pub struct LossAndGradient {
    /// The loss, `[1]`, in f32.
    pub loss: Tensor<1>,
    /// The gradient of each trained parameter, a vector `[n]` in f32, in the order of `Parameters::visit`.
    pub gradient: Vec<Tensor<1>>,
}

impl Decoder {
    /// Returns the loss of the decoder on the token rows `ids`, and the gradient of the loss. The rows must
    /// have equal lengths. The gradient covers the parameters for whose names `is_trained` returns true.
    ///
    /// The pass computes with copies of the parameters in `dtype`. `head_loss` computes the loss from the
    /// inputs of the output head, one row for each token. The second argument of `head_loss` tells whether
    /// the head's weight needs a gradient.
    pub fn loss_and_gradient(
        &self,
        ids: &[Vec<u32>],
        dtype: DType,
        is_trained: &(dyn Fn(&str) -> bool + Sync),
        head_loss: impl FnOnce(&HeadInputs<'_>, bool) -> HeadLoss + Send,
    ) -> LossAndGradient {
        self.loss_and_reduced_gradient(ids, dtype, is_trained, &|_, gradient| vec![gradient], head_loss)
    }

    /// Computes the loss and its gradient as [`Decoder::loss_and_gradient`] does. `reduce` receives the name
    /// and the gradient, `[n]`, of each trained parameter. The vectors that it returns take the place of the
    /// gradient.
    ///
    /// Each layer's gradients are reduced before the gradients of the next layer are computed. So a reduction
    /// to few numbers, as in LoRA, keeps the full gradients of one layer only.
    pub fn loss_and_reduced_gradient(
        &self,
        ids: &[Vec<u32>],
        dtype: DType,
        is_trained: &(dyn Fn(&str) -> bool + Sync),
        reduce: &ReduceGradient<'_>,
        head_loss: impl FnOnce(&HeadInputs<'_>, bool) -> HeadLoss + Send,
    ) -> LossAndGradient {
        let device = self.device();
        dtr_ops::run_on_device_thread(&device, || {
            let context = ForwardContext::new(&self.config, ids.len(), ids[0].len(), 0, None, &device);
            let decoder = to_dtype(self.clone(), dtype);
            let ids_bt = token_tensor(ids, &device);
            LayerwisePass { decoder, context: &context, is_trained, reduce }.run(ids_bt, head_loss)
        })
    }
}

/// A function that reduces the gradient of a parameter. It receives the parameter's name, and the gradient as
/// a vector `[n]` in f32.
pub type ReduceGradient<'a> = dyn Fn(&str, Tensor<1>) -> Vec<Tensor<1>> + Sync + 'a;

/// One forward and backward pass.
struct LayerwisePass<'a> {
    /// The decoder, with parameters in the dtype of the pass.
    decoder: Decoder,
    context: &'a ForwardContext,
    is_trained: &'a (dyn Fn(&str) -> bool + Sync),
    reduce: &'a ReduceGradient<'a>,
}

impl LayerwisePass<'_> {
    fn run(
        mut self,
        ids_bt: Tensor<2, Int>,
        head_loss: impl FnOnce(&HeadInputs<'_>, bool) -> HeadLoss,
    ) -> LossAndGradient {
        let first = self.first_trained_layer();
        let (inputs, output) = self.forward(ids_bt.clone(), first);
        let [batch, time, width] = output.dims();
        let x_nd = output.reshape([batch * time, width]);
        let head_name = if self.decoder.config.tied_head { EMBEDDING } else { HEAD };
        let HeadLoss { loss, d_x_nd, d_head_vd } =
            head_loss(&self.decoder.head_inputs(x_nd.clone()), (self.is_trained)(head_name));
        let (d_x_nd, d_norm) = self.norm_backward(x_nd, d_x_nd);
        let mut d_x_btd = d_x_nd.reshape([batch, time, width]);
        let mut of_layers = Vec::new();
        for (layer, input) in (first..self.decoder.layers.len()).zip(inputs).rev() {
            let (d_input, gradient) = self.layer_backward(layer, input, d_x_btd);
            of_layers.push(gradient);
            d_x_btd = d_input;
        }
        let mut d_head = d_head_vd.map(|gradient| gradient.flatten::<1>(0, 1));
        let mut rows = Vec::new();
        if (self.is_trained)(EMBEDDING) {
            let d_embedding = self.embedding_backward(ids_bt, d_x_btd);
            let of_head = if self.decoder.config.tied_head { d_head.take() } else { None };
            let sum = of_head.map_or_else(|| d_embedding.clone(), |of_head| of_head + d_embedding.clone());
            rows.extend((self.reduce)(EMBEDDING, sum));
        }
        rows.extend(of_layers.into_iter().rev().flatten());
        rows.extend(d_norm.into_iter().flat_map(|gradient| (self.reduce)(NORM, gradient)));
        rows.extend(d_head.into_iter().flat_map(|gradient| (self.reduce)(HEAD, gradient)));
        LossAndGradient { loss, gradient: rows }
    }

    /// Returns the index of the first layer that needs a backward pass. This is 0 if the embedding is
    /// trained, and the number of layers if no layer has a trained parameter.
    fn first_trained_layer(&mut self) -> usize {
        let is_trained = self.is_trained;
        if is_trained(EMBEDDING) {
            return 0;
        }
        let has_trained = |(index, layer): &mut (usize, DecoderLayer)| {
            let mut has_trained = false;
            layer.visit(&layer_name(*index), &mut |name, _| has_trained |= is_trained(name));
            has_trained
        };
        let mut layers: Vec<(usize, DecoderLayer)> =
            self.decoder.layers.iter().cloned().enumerate().collect();
        layers.iter_mut().position(has_trained).unwrap_or(self.decoder.layers.len())
    }

    /// Returns the inputs of the layers from `first` on, and the output of the last layer, `[b, t, d]` each.
    fn forward(&self, ids_bt: Tensor<2, Int>, first: usize) -> (Vec<Tensor<3>>, Tensor<3>) {
        let epsilon = self.decoder.config.norm_epsilon;
        let (mut x, mut inputs) = (self.decoder.embed(ids_bt), Vec::new());
        for (index, layer) in self.decoder.layers.iter().enumerate() {
            if index >= first {
                inputs.push(x.clone());
            }
            x = layer.forward(&layer.attention, x.into(), self.context, epsilon, None).into_hidden_states();
        }
        (inputs, x)
    }

    /// Returns the gradient of the final norm's input, and the gradient of the norm's weight if the weight is
    /// trained.
    fn norm_backward(&self, x_nd: Tensor<2>, d_output_nd: Tensor<2>) -> (Tensor<2>, Option<Tensor<1>>) {
        let is_trained = (self.is_trained)(NORM);
        let x = x_nd.autodiff().require_grad();
        let weight = self.decoder.norm.clone().autodiff();
        let weight = if is_trained { weight.require_grad() } else { weight };
        let output = rms_norm(x.clone(), &weight, self.decoder.config.norm_epsilon);
        let mut gradients = (output * d_output_nd.autodiff()).sum().backward();
        let d_x = x.grad_remove(&mut gradients).expect("the norm depends on its input");
        let d_weight = is_trained.then(|| weight.grad_remove(&mut gradients)).flatten();
        (d_x, d_weight.map(|gradient| gradient.cast(DType::F32)))
    }

    /// Runs a layer again, from its input. Returns the gradient of the input, and the reduced gradients of the
    /// layer's trained parameters.
    fn layer_backward(
        &self,
        layer: usize,
        x_btd: Tensor<3>,
        d_output_btd: Tensor<3>,
    ) -> (Tensor<3>, Vec<Tensor<1>>) {
        let named = NamedLayer { name: layer_name(layer), layer: self.decoder.layers[layer].clone() };
        let mut copy = AutodiffCopy::with_constants(&named, x_btd.dtype(), self.is_trained);
        let x = x_btd.autodiff().require_grad();
        let (epsilon, layer) = (self.decoder.config.norm_epsilon, &copy.0.layer);
        let output =
            layer.forward(&layer.attention, x.clone().into(), &self.context.autodiff(), epsilon, None);
        let mut gradients = (output.into_hidden_states() * d_output_btd.autodiff()).sum().backward();
        let d_x = x.grad_remove(&mut gradients).expect("a layer depends on its input");
        let mut names = Vec::new();
        copy.0.visit(&mut |name, _| {
            if (self.is_trained)(name) {
                names.push(name.to_owned());
            }
        });
        let rows = copy.take_gradients(&mut gradients, self.is_trained).into_iter().zip(names);
        (d_x, rows.flat_map(|(row, name)| (self.reduce)(&name, row.cast(DType::F32))).collect())
    }

    /// Returns the part of the embedding's gradient that comes through the input of the first layer, `[n]`.
    fn embedding_backward(&self, ids_bt: Tensor<2, Int>, d_output_btd: Tensor<3>) -> Tensor<1> {
        let [batch, time, width] = d_output_btd.dims();
        let table = self.decoder.embedding.clone().autodiff().require_grad();
        let output = dtr_ops::embedding(&table, ids_bt.reshape([batch * time]));
        let d_output = d_output_btd.reshape([batch * time, width]).autodiff();
        let mut gradients = (output * d_output).sum().backward();
        let gradient = table.grad_remove(&mut gradients).expect("the output depends on the embedding");
        gradient.flatten::<1>(0, 1).cast(DType::F32)
    }
}

fn layer_name(layer: usize) -> String {
    format!("model.layers.{layer}")
}

/// A layer that visits its parameters under their names in the decoder.
#[derive(Clone)]
struct NamedLayer {
    name: String,
    layer: DecoderLayer,
}

impl Parameters for NamedLayer {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.layer.visit(&self.name, visitor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{decoder, variants};
    use crate::{Hybrid, Mask, RandomParams, Twins};
    use burn::tensor::Device;
    use burn::tensor::activation::log_softmax;
    use dtr_core::seed::Seed;
    use dtr_ops::kl_divergence_loss;

    const ROWS: [[u32; 9]; 2] = [[3, 1, 4, 1, 5, 9, 2, 6, 5], [3, 5, 8, 9, 7, 9, 3, 2, 3]];

    /// Returns the divergence from `teacher` and the gradient of all parameters, by one graph over the whole
    /// decoder.
    fn divergence_of_whole_graph(decoder: &Decoder, teacher: &Decoder) -> (f32, Vec<Vec<f32>>) {
        let copy = AutodiffCopy::new(decoder, DType::F32);
        let log_p = log_softmax(logits(&copy.0), 1);
        let log_q = log_softmax(logits(teacher), 1).autodiff();
        let num_tokens = log_q.dims()[0] as f64;
        let loss = (log_q.clone().exp() * (log_q - log_p)).sum() / num_tokens;
        let value = loss.clone().inner().into_scalar::<f32>();
        (value, to_values(copy.gradients(&loss)))
    }

    fn logits(decoder: &Decoder) -> Tensor<2> {
        let hidden = Hybrid::from_base(decoder).forward_hidden(&rows(), None, None);
        let [batch, time, width] = hidden.dims();
        decoder.logits(hidden.reshape([batch * time, width]))
    }

    fn rows() -> Vec<Vec<u32>> {
        ROWS.iter().map(|row| row.to_vec()).collect()
    }

    fn to_values(rows: Vec<Tensor<1>>) -> Vec<Vec<f32>> {
        rows.into_iter().map(|row| row.into_data().try_to_vec().unwrap()).collect()
    }

    fn layerwise(
        decoder: &Decoder,
        teacher: &Decoder,
        is_trained: &(dyn Fn(&str) -> bool + Sync),
    ) -> (f32, Vec<Vec<f32>>) {
        let hidden = Hybrid::from_base(teacher).forward_hidden(&rows(), None, None);
        let [batch, time, width] = hidden.dims();
        let teacher = teacher.head_inputs(hidden.reshape([batch * time, width]));
        let found = decoder.loss_and_gradient(&rows(), DType::F32, is_trained, |head, needs_head| {
            kl_divergence_loss(head, &teacher, needs_head)
        });
        (found.loss.into_scalar::<f32>(), to_values(found.gradient))
    }

    #[test]
    fn the_gradient_of_each_layer_in_turn_is_that_of_the_whole_graph() {
        for (bias, norm) in [(false, false), (true, false), (false, true)] {
            for variant in variants() {
                let base = decoder(bias, norm);
                let twins =
                    Twins::new(&variant, &base, &mut RandomParams::new(Seed(3), &Device::flex())).unwrap();
                let mut hybrid = base.with_twins(&twins, &[1].into_iter().collect::<Mask>());
                let (expected_loss, expected) = divergence_of_whole_graph(&hybrid, &base);
                let (loss, found) = layerwise(&hybrid, &base, &|_| true);
                assert!((loss - expected_loss).abs() < 1e-5);
                let mut names = Vec::new();
                hybrid.visit(&mut |name, _| names.push(name.to_owned()));
                assert_eq!(found.len(), names.len());
                for ((name, found), expected) in names.iter().zip(&found).zip(&expected) {
                    assert_near(name, found, expected);
                }
                let is_trained = |name: &str| name.contains("linear_attn") || name == NORM;
                let (_, selected) = layerwise(&hybrid, &base, &is_trained);
                let expected = names.iter().zip(&expected).filter(|(name, _)| is_trained(name));
                assert_eq!(selected.len(), expected.clone().count());
                for (found, (name, expected)) in selected.iter().zip(expected) {
                    assert_near(name, found, expected);
                }
            }
        }
    }

    fn assert_near(name: &str, found: &[f32], expected: &[f32]) {
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
        let error = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
        let scale = norm(&mut expected.iter().copied());
        assert!(error <= 1e-4 * scale + 1e-7, "{name}: {error:.1e} of {scale:.1e}");
    }
}

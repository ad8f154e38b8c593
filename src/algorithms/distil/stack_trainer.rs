//! Trains the twins of a stack of layers. A single module computes all twins of a stack at once.

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use dtr_core::error::{Error, Result};
use dtr_model::optimizer::{AdamW, AdamWConfig, Gradient};
use dtr_model::{
    AttentionStats, AutodiffCopy, Decoder, Mixer, MixerIo, NamedTensors, SafetensorsReader, TwinInit,
    TwinVariant, Twins, stack_layers, unstack_layers,
};
use dtr_ops::mean_squared_error;

use super::step::StepContext;
use crate::algorithms::training::{divergence_error, ensure_finite};

/// The table of the manifest that error hints refer to.
const TABLE: &str = "distil";

/// The twins of a stack of successive layers, and their optimizer. One step trains all of these twins. Each
/// twin has its own loss, and each twin's gradient is clipped by the norm of this gradient alone. The twins
/// therefore learn as if each were trained alone.
pub(super) struct StackTrainer {
    pub(super) layers: Range<usize>,
    /// The variant's name, for error messages.
    pub(super) variant: String,
    init: TwinInit,
    /// The twins of all layers, combined into one module by [`stack_layers`].
    pub(super) stack: Mixer,
    optimizer: AdamW,
    optimizer_config: AdamWConfig,
}

/// The losses of a step. The device may still be computing these losses.
pub(super) struct PendingLosses {
    /// The mean squared error of each layer before the step, `[layers]`.
    losses: Tensor<1>,
    /// The norm of each layer's gradient, `[layers]`.
    gradient_norms: Tensor<1>,
    /// The variance of each full-attention block's output. `None` after the first step.
    output_variances: Option<Vec<f64>>,
}

/// The loss of one layer in a step.
pub(super) struct StepLoss {
    /// The mean squared error before the step.
    pub loss: f64,
    /// The variance of the full-attention block's output. `None` after the first step.
    pub output_variance: Option<f64>,
}

impl StackTrainer {
    /// Creates a trainer of `twins`, which belong to `first_layer` and the layers after `first_layer`.
    pub fn new(
        first_layer: usize,
        variant: &str,
        init: TwinInit,
        mut twins: Vec<Mixer>,
        optimizer_config: &AdamWConfig,
        base: &Decoder,
    ) -> Self {
        let mut stack = stack_layers(&mut twins);
        Self {
            layers: first_layer..first_layer + twins.len(),
            variant: variant.to_owned(),
            init,
            optimizer: AdamW::new(optimizer_config, &mut stack, &base.device()),
            stack,
            optimizer_config: optimizer_config.clone(),
        }
    }

    /// Returns a copy of the twins, in the order of their layers.
    pub fn twins(&self) -> Vec<Mixer> {
        unstack_layers(&self.stack, self.layers.len())
    }

    /// Does one optimizer step. `io` holds the inputs and outputs of the layers' full-attention blocks, one
    /// layer after another.
    ///
    /// If the variant's `init` is `Calibrated`, the first step starts by calibrating the gates and scales of
    /// the twins on these inputs.
    pub fn train_step(&mut self, context: &StepContext<'_>, io: &MixerIo) -> PendingLosses {
        let is_first = context.step == 0;
        if is_first && self.init == TwinInit::Calibrated {
            self.calibrate(context, io);
        }
        let num_layers = self.layers.len();
        let tracked = AutodiffCopy::new(&self.stack, io.input.dtype());
        let output = tracked.0.forward(io.input.clone().autodiff(), &context.autodiff_context, None);
        let losses = mean_squared_error(output, io.output.clone().autodiff(), num_layers);
        let gradient = Gradient::stacked(tracked.gradients(&losses), num_layers);
        let output_variances = is_first.then(|| {
            (0..num_layers).map(|index| variance(&layer_rows(&io.output, index, num_layers))).collect()
        });
        let gradient_norms = gradient.norm();
        let rate = self.optimizer_config.learning_rate_at(context.step, context.num_steps);
        self.optimizer.update(&mut self.stack, gradient, rate);
        PendingLosses { losses: losses.inner(), gradient_norms, output_variances }
    }

    fn calibrate(&mut self, context: &StepContext<'_>, io: &MixerIo) {
        let mut twins = self.twins();
        let num_layers = twins.len();
        for ((index, twin), layer) in twins.iter_mut().enumerate().zip(self.layers.clone()) {
            let input = layer_rows(&io.input, index, num_layers);
            twin.calibrate(&AttentionStats::new(
                context.base.attention(layer),
                &input,
                &context.forward_context,
            ));
        }
        self.stack = stack_layers(&mut twins);
    }

    /// Returns the loss of `layer` in `step`.
    ///
    /// # Errors
    /// Fails if the loss or the gradient norm is not finite. The twin's parameters are then not finite
    /// either.
    fn check_loss(
        &self,
        layer: usize,
        step: u64,
        [loss, gradient_norm]: [f64; 2],
        output_variance: Option<f64>,
    ) -> Result<StepLoss> {
        let variant = &self.variant;
        for (quantity, value) in [("loss", loss), ("gradient norm", gradient_norm)] {
            ensure_finite(
                format_args!("the {quantity} of `{variant}` in layer {layer}"),
                value,
                step,
                TABLE,
            )?;
        }
        Ok(StepLoss { loss, output_variance })
    }

    /// Adds the optimizer's moments to a checkpoint.
    pub fn store_moments(&self, tensors: &mut NamedTensors) {
        self.optimizer.store_moments(tensors, &self.moments_names());
    }

    /// Replaces the twins and the moments with those of `checkpoint`, which was written after `num_steps`
    /// steps.
    pub fn restore(
        &mut self,
        variant: &TwinVariant,
        base: &Decoder,
        checkpoint: &mut SafetensorsReader,
        num_steps: u64,
    ) -> Result<()> {
        let twins = self.layers.clone().map(|layer| Twins::new_layer(variant, base, layer, checkpoint));
        self.stack = stack_layers(&mut twins.collect::<Result<Vec<_>>>()?);
        self.optimizer.restore_moments(checkpoint, &self.moments_names(), num_steps)
    }

    fn moments_names(&self) -> Vec<String> {
        self.layers.clone().map(|layer| format!("adamw.{layer}")).collect()
    }
}

/// Returns the error for a loss of `variant` in `layer` that exceeds `bound`.
pub(super) fn layer_divergence_error(variant: &str, layer: usize, loss: f64, bound: f64, step: u64) -> Error {
    let predicate = format!("is {loss:.3e}, beyond {bound:.3e}: it diverges");
    divergence_error(format_args!("the loss of `{variant}` in layer {layer}"), &predicate, step, TABLE)
}

/// Reads the losses of several trainers in one transfer from the device. Returns the losses of all layers of
/// the first trainer, then the losses of all layers of the second trainer, and so on.
pub(super) fn read_losses(pending: Vec<(&StackTrainer, PendingLosses)>, step: u64) -> Vec<Result<StepLoss>> {
    let vectors = pending.iter().flat_map(|(_, one)| [one.losses.clone(), one.gradient_norms.clone()]);
    let values: Vec<f32> =
        Tensor::cat(vectors.collect(), 0).into_data().try_to_vec().expect("losses are f32");
    let mut values = values.as_slice();
    let mut losses = Vec::new();
    for (trainer, one) in pending {
        let (own, rest) = values.split_at(2 * trainer.layers.len());
        let (own_losses, norms) = own.split_at(trainer.layers.len());
        values = rest;
        for (index, layer) in trainer.layers.clone().enumerate() {
            let pair = [own_losses[index], norms[index]].map(f64::from);
            let variance = one.output_variances.as_ref().map(|variances| variances[index]);
            losses.push(trainer.check_loss(layer, step, pair, variance));
        }
    }
    losses
}

/// Returns the rows of one layer of a stack. `x_btd` holds the rows of all `num_layers` layers. `index` is
/// the layer's index in the stack.
fn layer_rows(x_btd: &Tensor<3>, index: usize, num_layers: usize) -> Tensor<3> {
    let batch = x_btd.dims()[0] / num_layers;
    x_btd.clone().narrow(0, index * batch, batch)
}

/// Returns the variance of all elements.
fn variance(x_btd: &Tensor<3>) -> f64 {
    let x = x_btd.clone().cast(DType::F32);
    let mean = x.clone().mean().reshape([1, 1, 1]);
    f64::from((x - mean).square().mean().into_scalar::<f32>())
}

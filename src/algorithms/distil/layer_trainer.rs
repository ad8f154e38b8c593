//! The training of one layer's twin.

use burn::tensor::{DType, Device, Tensor};

use dtr_core::error::{Error, Result};
use dtr_model::optimizer::{AdamW, AdamWConfig, Gradient};
use dtr_model::{
    AttentionStats, AutodiffCopy, Decoder, LayerIo, Mixer, NamedTensors, SafetensorsReader, TwinInit, Twins,
    Variant,
};
use dtr_ops::mean_squared_error;

use super::step::StepContext;
use crate::algorithms::training::{divergence_error, ensure_finite};

/// The table of the manifest that hints refer to.
const TABLE: &str = "distil";

/// One layer's twin and its optimizer. Trainers share no state.
pub(super) struct LayerTrainer {
    pub(super) layer: usize,
    /// The variant's name, for errors.
    pub(super) variant: String,
    init: TwinInit,
    pub(super) twin: Mixer,
    optimizer: AdamW,
    optimizer_config: AdamWConfig,
}

/// The loss of a step, which the device may still be computing.
pub(super) struct PendingLoss {
    /// Mean squared error before the step, `[1]`.
    loss: Tensor<1>,
    /// Norm of the gradient, `[1]`.
    gradient_norm: Tensor<1>,
    output_variance: Option<f64>,
}

/// The loss of a step.
pub(super) struct StepLoss {
    /// Mean squared error before the step.
    pub loss: f64,
    /// Variance of the full-attention block's output, which only the first step computes.
    pub output_variance: Option<f64>,
}

impl LayerTrainer {
    /// Returns the trainer of a new twin.
    pub fn new(
        layer: usize,
        variant: &str,
        init: TwinInit,
        mut twin: Mixer,
        optimizer_config: &AdamWConfig,
        device: &Device,
    ) -> Self {
        Self {
            layer,
            variant: variant.to_owned(),
            init,
            optimizer: AdamW::new(optimizer_config, &mut twin, device),
            twin,
            optimizer_config: optimizer_config.clone(),
        }
    }

    /// Does one optimizer step on the input and output of the layer's full-attention block.
    ///
    /// If the variant asks for calibration, the twin's gates and scales are calibrated on this input and
    /// output before the first step.
    pub fn train_step(&mut self, context: &StepContext<'_>, io: &LayerIo) -> PendingLoss {
        let is_first = context.step == 0;
        if is_first && self.init == TwinInit::Calibrated {
            let attention = context.base.attention(self.layer);
            self.twin.calibrate(&AttentionStats::new(attention, &io.input, &context.forward_context));
        }
        let tracked = AutodiffCopy::new(&self.twin, io.input.dtype());
        let output = tracked.0.forward(io.input.clone().autodiff(), &context.autodiff_context, None);
        let loss = mean_squared_error(output, io.output.clone().autodiff());
        let gradient = Gradient::new(tracked.gradients(&loss));
        let output_variance = is_first.then(|| variance(&io.output));
        let gradient_norm = gradient.norm();
        let rate = self.optimizer_config.learning_rate_at(context.step, context.num_steps);
        self.optimizer.update(&mut self.twin, gradient, rate);
        PendingLoss { loss: loss.inner(), gradient_norm, output_variance }
    }

    /// Returns the loss of `step`.
    ///
    /// # Errors
    /// Fails if the loss or the gradient is not finite, because then the twin's parameters are not finite
    /// either.
    fn check_loss(
        &self,
        step: u64,
        [loss, gradient_norm]: [f64; 2],
        output_variance: Option<f64>,
    ) -> Result<StepLoss> {
        let Self { variant, layer, .. } = self;
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

    /// Returns the error of a loss that exceeds `bound`.
    pub fn divergence_error(&self, loss: f64, bound: f64, step: u64) -> Error {
        let Self { variant, layer, .. } = self;
        let predicate = format!("is {loss:.3e}, beyond {bound:.3e}: it diverges");
        divergence_error(format_args!("the loss of `{variant}` in layer {layer}"), &predicate, step, TABLE)
    }

    /// Adds the optimizer's moments to a checkpoint.
    pub fn store_moments(&self, tensors: &mut NamedTensors) {
        self.optimizer.store(tensors, &self.moments_name());
    }

    /// Replaces twin and moments by those of a checkpoint after `num_steps` steps.
    pub fn restore(
        &mut self,
        variant: &Variant,
        base: &Decoder,
        checkpoint: &mut SafetensorsReader,
        num_steps: u64,
    ) -> Result<()> {
        self.twin = Twins::new_layer(variant, base, self.layer, checkpoint)?;
        self.optimizer.restore(checkpoint, &self.moments_name(), num_steps)
    }

    fn moments_name(&self) -> String {
        format!("adamw.{}", self.layer)
    }
}

/// Reads the losses of several trainers in one transfer from the device.
pub(super) fn read_losses(pending: Vec<(&LayerTrainer, PendingLoss)>, step: u64) -> Vec<Result<StepLoss>> {
    let scalars = pending.iter().flat_map(|(_, one)| [one.loss.clone(), one.gradient_norm.clone()]);
    let values: Vec<f32> =
        Tensor::cat(scalars.collect(), 0).into_data().try_to_vec().expect("losses are f32");
    let pairs = values.chunks_exact(2).map(|pair| [f64::from(pair[0]), f64::from(pair[1])]);
    let with_values = pending.into_iter().zip(pairs);
    with_values.map(|((trainer, one), pair)| trainer.check_loss(step, pair, one.output_variance)).collect()
}

/// Returns the variance of all elements about their mean.
fn variance(x_btd: &Tensor<3>) -> f64 {
    let x = x_btd.clone().cast(DType::F32);
    let mean = x.clone().mean().reshape([1, 1, 1]);
    f64::from((x - mean).square().mean().into_scalar::<f32>())
}

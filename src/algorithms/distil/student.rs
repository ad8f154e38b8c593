//! The twins of one variant as they learn: parameters, optimisers, losses, checkpoint.

use std::ops::Range;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::Class;
use super::{DistilConfig, DistilResult, LayerCurvePoint, LayerLoss};
use dtr_core::checkpoint::Sealed;
use dtr_core::error::{Error, Result};
use dtr_model::optim::AdamWConfig;
use dtr_model::optim::{AdamW, Gradient, learning_rate};
use dtr_model::{
    Checkpoint, Decoder, LayerIo, Mixer, Observed, ParamMut, Parameters, Random, Tensors, Tracked, Twins,
    count_parameters, save,
};
use dtr_model::{Init, Variant};
use dtr_ops::mean_squared_error;

/// Points kept of a loss curve, besides the first and last.
const CURVE_POINTS: u64 = 64;

/// Twins of one variant for successive layers of a base, learning.
pub struct Student {
    lanes: Vec<Lane>,
    progress: Progress,
    recipe: DistilConfig,
    checkpoint: Sealed,
    failure: Option<Error>,
}

/// One layer's twin and its optimiser: what learns independently of everything else.
pub(super) struct Lane {
    layer: usize,
    variant: String,
    init: Init,
    pub(super) twin: Mixer,
    optimizer: AdamW,
    peak: AdamWConfig,
}

/// What came of a lesson, which the device may still be working out.
pub(super) struct Outcome {
    loss: Tensor<1>,
    /// The gradient's norm.
    norm: Tensor<1>,
    /// Of what is to be learnt, in the first step.
    variance: Option<f64>,
}

/// How well a twin did.
pub(super) struct Mark {
    loss: f64,
    variance: Option<f64>,
}

impl Lane {
    /// One optimiser step on what the layer's attention saw and said. Before its first step the twin's gates and scales are set
    /// from that, where the variant asks for it.
    pub(super) fn learn(&mut self, class: &Class<'_>, lesson: &LayerIo) -> Outcome {
        let is_first = class.step == 0;
        if is_first && self.init == Init::Calibrated {
            let attention = class.base.attention(self.layer);
            self.twin.calibrate(&Observed::new(attention, &lesson.input, &class.pass));
        }
        let tracked = Tracked::new(&self.twin, lesson.input.dtype());
        let output = tracked.0.forward(lesson.input.clone().autodiff(), &class.tracked, None);
        let loss = mean_squared_error(output, lesson.output.clone().autodiff());
        let gradient = Gradient::new(tracked.gradients(&loss));
        let variance = is_first.then(|| variance(&lesson.output));
        let norm = gradient.norm();
        let rate = learning_rate(&self.peak, class.step, class.total);
        self.optimizer.update(&mut self.twin, gradient, rate);
        Outcome { loss: loss.inner(), norm, variance }
    }

    /// The loss before the step, which fails if loss or gradient were not finite: the twin is spoilt then.
    fn mark(&self, step: u64, [loss, norm]: [f64; 2], variance: Option<f64>) -> Result<Mark> {
        self.ensure_finite("loss", loss, step)?;
        self.ensure_finite("gradient's norm", norm, step)?;
        Ok(Mark { loss, variance })
    }

    /// What is not finite ends the variant, with the layer named.
    fn ensure_finite(&self, what: &str, value: f64, step: u64) -> Result<()> {
        if value.is_finite() { Ok(()) } else { Err(self.spoilt(what, &format!("is {value}"), step)) }
    }

    fn spoilt(&self, what: &str, how: &str, step: u64) -> Error {
        let Self { variant, layer, .. } = self;
        Error::failed(format!("the {what} of `{variant}` in layer {layer} {how} at step {step}"))
            .hint("lower `distil.optimizer.learning-rate`")
    }
}

/// The marks of lanes by the outcomes of a step, all read together, so that the device is waited for once.
pub(super) fn marks(outcomes: Vec<(&Lane, Outcome)>, step: u64) -> Vec<Result<Mark>> {
    let numbers = outcomes.iter().flat_map(|(_, outcome)| [outcome.loss.clone(), outcome.norm.clone()]);
    let numbers: Vec<f32> = Tensor::cat(numbers.collect(), 0).into_data().try_to_vec().expect("all are f32");
    let pairs = numbers.chunks_exact(2).map(|pair| [f64::from(pair[0]), f64::from(pair[1])]);
    let marked = outcomes.into_iter().zip(pairs);
    marked.map(|((lane, outcome), pair)| lane.mark(step, pair, outcome.variance)).collect()
}

/// A loss so many times what it was at first, and the variance of what is to be learnt, has diverged.
const DIVERGED: f64 = 1e3;

/// What a checkpoint holds beside tensors.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Progress {
    steps: u64,
    /// Seconds of work, a shared pass divided evenly among those that share it.
    seconds: f64,
    /// Loss of each layer at the first step.
    initial: Vec<f64>,
    /// Mean over the last steps of each layer's loss, for a final figure less noisy than one batch.
    recent: Vec<Vec<f64>>,
    /// Variance of each layer's lesson (the attention's output) in the first batch.
    output_variance: Vec<f64>,
    curve: Vec<LayerCurvePoint>,
}

/// Steps over which the final loss is averaged.
const FINAL_STEPS: usize = 8;

impl Student {
    /// Twins of `variant` for `layers` of `base`, fresh from `recipe.seed` or from `checkpoint`, where their own
    /// checkpoints go too.
    pub fn new(
        name: &str,
        variant: &Variant,
        base: &Decoder,
        layers: Range<usize>,
        recipe: &DistilConfig,
        checkpoint: &Sealed,
    ) -> Result<Self> {
        let device = base.device();
        let mut random = Random::new(recipe.seed.child("twins"), &device);
        let twins = layers.clone().map(|layer| Twins::one(variant, base, layer, &mut random));
        let twins = twins.collect::<Result<_>>()?;
        let mut pupil = Self::of(name, twins, layers.start, variant.init, recipe, checkpoint, &device);
        pupil.resume(variant, base, &device)?;
        Ok(pupil)
    }

    /// These twins, of the layers from `first` on, before their first step.
    pub fn of(
        name: &str,
        twins: Vec<Mixer>,
        first: usize,
        init: Init,
        recipe: &DistilConfig,
        checkpoint: &Sealed,
        device: &Device,
    ) -> Self {
        let lane = |(layer, mut twin): (usize, Mixer)| Lane {
            layer,
            variant: name.to_owned(),
            init,
            optimizer: AdamW::new(&recipe.optimizer, &mut twin, device),
            twin,
            peak: recipe.optimizer.clone(),
        };
        Self {
            lanes: (first..).zip(twins).map(lane).collect(),
            progress: Progress::default(),
            recipe: recipe.clone(),
            checkpoint: checkpoint.clone(),
            failure: None,
        }
    }

    /// The layers that are learnt.
    pub(super) fn layers(&self) -> Range<usize> {
        let first = self.lanes.first().map_or(0, |lane| lane.layer);
        first..first + self.lanes.len()
    }

    /// The variant's name.
    pub fn name(&self) -> &str {
        self.lanes.first().map_or("", |lane| &lane.variant)
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.progress.steps
    }

    /// Whether this pupil learns from the batch of `step`.
    pub(super) fn attends(&self, step: u64) -> bool {
        self.failure.is_none() && self.progress.steps == step
    }

    /// The twins that learn side by side.
    pub(super) fn lanes(&mut self) -> &mut [Lane] {
        &mut self.lanes
    }

    /// Files the losses of a step, or the failure of one of them.
    pub(super) fn finish_step(&mut self, marks: Vec<Result<Mark>>, seconds: f64) {
        let marks: Vec<Mark> = match marks.into_iter().collect() {
            Ok(marks) => marks,
            Err(error) => {
                self.failure = Some(error);
                return;
            }
        };
        let losses: Vec<f64> = marks.iter().map(|mark| mark.loss).collect();
        if let Some(error) = self.divergence(&losses) {
            self.failure = Some(error);
            return;
        }
        let progress = &mut self.progress;
        if progress.steps == 0 {
            progress.initial = losses.clone();
            progress.output_variance = marks.iter().filter_map(|mark| mark.variance).collect();
        }
        let total = super::num_steps(&self.recipe);
        let every = total.div_ceil(CURVE_POINTS).max(1);
        progress.steps += 1;
        progress.seconds += seconds;
        if progress.steps == 1 || progress.steps.is_multiple_of(every) || progress.steps == total {
            let tokens = progress.steps * super::tokens_per_step(&self.recipe);
            progress.curve.push(LayerCurvePoint { step: progress.steps, tokens, losses: losses.clone() });
        }
        progress.recent.push(losses);
        let surplus = progress.recent.len().saturating_sub(FINAL_STEPS);
        progress.recent.drain(..surplus);
    }

    /// The first layer whose loss is beyond all that its lessons explain.
    fn divergence(&self, losses: &[f64]) -> Option<Error> {
        let Progress { steps, initial, output_variance, .. } = &self.progress;
        let bounds =
            initial.iter().zip(output_variance).map(|(first, variance)| DIVERGED * first.max(*variance));
        let mut lanes = self.lanes.iter().zip(losses).zip(bounds);
        let ((lane, loss), bound) = lanes.find(|((_, loss), bound)| *bound > 0.0 && *loss > bound)?;
        Some(lane.spoilt("loss", &format!("is {loss:.3e}, beyond {bound:.3e}: it diverges"), *steps))
    }

    /// What the distillation came to, or why it failed.
    pub fn finish(mut self) -> Result<Taught> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let progress = &self.progress;
        let count = progress.recent.len() as f64;
        let layers = (0..progress.initial.len())
            .map(|lane| LayerLoss {
                layer: self.lanes[lane].layer as u32,
                initial: progress.initial[lane],
                r#final: progress.recent.iter().map(|losses| losses[lane]).sum::<f64>() / count,
                output_variance: progress.output_variance[lane],
            })
            .collect();
        let result = DistilResult {
            tokens: progress.steps * super::tokens_per_step(&self.recipe),
            steps: progress.steps,
            layers,
            curve: progress.curve.clone(),
            num_parameters: self.lanes.iter_mut().map(|lane| count_parameters(&mut lane.twin)).sum(),
        };
        Ok(Taught { result, tensors: self.tensors(), seconds: self.progress.seconds })
    }

    /// The twins of the layers that are learnt, as they are.
    pub fn twins(&self) -> Twins {
        Twins { layers: self.lanes.iter().map(|lane| lane.twin.clone()).collect() }
    }

    fn tensors(&self) -> Tensors {
        Tensors::of(&mut Learnt(self.lanes.iter().map(|lane| (lane.layer, lane.twin.clone())).collect()))
    }

    /// Writes twins, moments and progress, so that a kill loses what came after. Where a twin was spoilt what was written before stays.
    pub fn save(&self) -> Result<()> {
        if self.failure.is_some() {
            return Ok(());
        }
        let mut tensors = self.tensors();
        for lane in &self.lanes {
            lane.optimizer.store(&mut tensors, &format!("adamw.{}", lane.layer));
        }
        tensors.note(serde_json::to_string(&self.progress).expect("progress is plain JSON"));
        self.checkpoint.write(&tensors.to_bytes()?)
    }

    /// Continues from the checkpoint, if one lies there.
    fn resume(&mut self, variant: &Variant, base: &Decoder, device: &Device) -> Result<()> {
        let Some(bytes) = self.checkpoint.read()? else { return Ok(()) };
        let path = self.checkpoint.path().to_owned();
        let mut checkpoint = Checkpoint::parse(bytes, &path, device)?;
        let note = checkpoint.note().unwrap_or_default();
        self.progress = serde_json::from_str(note).map_err(|cause| {
            Error::environment(format!("`{}` holds no progress", path.display())).with_source(cause)
        })?;
        for lane in &mut self.lanes {
            lane.twin = Twins::one(variant, base, lane.layer, &mut checkpoint)?;
            lane.optimizer.restore(&mut checkpoint, &format!("adamw.{}", lane.layer), self.progress.steps)?;
        }
        checkpoint.finish()
    }
}

/// Twins with their layers.
struct Learnt(Vec<(usize, Mixer)>);

impl Parameters for Learnt {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        for (layer, twin) in &mut self.0 {
            twin.visit(&mut |part, slot| visitor(&format!("{}.{part}", Twins::name(*layer)), slot));
        }
    }
}

/// What a distillation came to, with the twins, in the processor's memory.
pub struct Taught {
    /// What is recorded of it.
    pub result: DistilResult,
    /// Seconds of work, over all the processes that took part.
    pub seconds: f64,
    tensors: Tensors,
}

impl Taught {
    /// The same with the layers that follow, which were taught the same tokens.
    #[must_use]
    pub fn with(mut self, next: Self) -> Self {
        let (own, other) = (&mut self.result, next.result);
        own.layers.extend(other.layers);
        own.num_parameters += other.num_parameters;
        for (point, other) in own.curve.iter_mut().zip(other.curve) {
            point.losses.extend(other.losses);
        }
        self.seconds += next.seconds;
        self.tensors.extend(next.tensors);
        self
    }

    /// Writes the twins to `path`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_twins(&self, path: &Path) -> Result<()> {
        save(&self.tensors, path)
    }
}

/// The variance of all elements about their mean.
fn variance(x_btd: &Tensor<3>) -> f64 {
    let x = x_btd.clone().cast(DType::F32);
    let mean = x.clone().mean().reshape([1, 1, 1]);
    f64::from((x - mean).square().mean().into_scalar::<f32>())
}

//! One training step of all students of a base.

use std::ops::Range;

use rayon::prelude::*;

use dtr_core::error::Result;
use dtr_model::{Decoder, ForwardContext, MixerIo};
use dtr_ops::{is_cpu, run_on_device_thread};

use super::Student;
use super::stack_trainer::{PendingLosses, StackTrainer, StepLoss, read_losses};

/// Does the training step `step` on `batch`, with one forward pass of the base. The forward pass ends after
/// the last layer that is trained. Skips failed students, and students whose next step is not `step`.
///
/// All students must train the same layers. `num_steps` is the length of the learning-rate schedule.
pub fn train_step(base: &Decoder, students: &mut [Student], batch: &[Vec<u32>], step: u64, num_steps: u64) {
    let mut active: Vec<&mut Student> =
        students.iter_mut().filter(|student| student.is_next_step(step)).collect();
    let Some(layers) = active.first().map(|student| student.layers()) else { return };
    let context = StepContext::new(base, layers, [batch.len(), batch[0].len()], step, num_steps);
    let losses = match is_cpu(&base.device()) {
        true => context.train_in_parallel(batch, &mut active),
        false => run_on_device_thread(&base.device(), || context.train_stack_by_stack(batch, &mut active)),
    };
    for (student, losses) in active.into_iter().zip(losses) {
        student.finish_step(losses);
    }
}

/// Trains a student's first stack of twins without a forward pass of the base. `io` holds the inputs and
/// outputs of the full-attention blocks in the stack's layers, one layer after another.
pub fn train_first_stack(base: &Decoder, student: &mut Student, io: &MixerIo, step: u64, num_steps: u64) {
    let [rows, time, _] = io.input.dims();
    let batch = rows / student.stack_trainers()[0].layers.len();
    let context = StepContext::new(base, student.layers(), [batch, time], step, num_steps);
    let losses = run_on_device_thread(&base.device(), || {
        let trainer = &mut student.stack_trainers()[0];
        let loss = trainer.train_step(&context, io);
        read_losses(vec![(trainer, loss)], step)
    });
    student.finish_step(losses);
}

/// The data that the trainers of all layers share in one step.
pub(super) struct StepContext<'a> {
    pub(super) base: &'a Decoder,
    /// The layers that are trained.
    layers: Range<usize>,
    pub(super) forward_context: ForwardContext,
    /// The same context as `forward_context`, for tensors that autodiff tracks.
    pub(super) autodiff_context: ForwardContext,
    pub(super) step: u64,
    pub(super) num_steps: u64,
}

impl<'a> StepContext<'a> {
    fn new(
        base: &'a Decoder,
        layers: Range<usize>,
        [batch, time]: [usize; 2],
        step: u64,
        num_steps: u64,
    ) -> Self {
        let forward_context = ForwardContext::new(&base.config, batch, time, 0, None, &base.device());
        Self { base, layers, autodiff_context: forward_context.autodiff(), forward_context, step, num_steps }
    }

    /// Runs the base on `batch`. Calls `callback` for each trained layer in order. The arguments are the
    /// layer's index among the trained layers, and the input and output of the layer's attention.
    fn for_each_mixer_io(&self, batch: &[Vec<u32>], mut callback: impl FnMut(usize, MixerIo)) {
        let Range { start, end } = self.layers;
        self.base.for_each_mixer_io(batch, &self.forward_context, end, |layer, io| {
            if layer >= start {
                callback(layer - start, io);
            }
        });
    }

    /// Computes the attention inputs and outputs of all layers. Then trains all twins in parallel on the
    /// threads of the CPU. On a CPU, each stack holds a single twin.
    fn train_in_parallel(
        &self,
        batch: &[Vec<u32>],
        students: &mut [&mut Student],
    ) -> Vec<Vec<Result<StepLoss>>> {
        let mut mixer_ios = Vec::with_capacity(self.layers.len());
        self.for_each_mixer_io(batch, |_, io| mixer_ios.push(io));
        let train = |(trainer, io): (&mut StackTrainer, &MixerIo)| {
            let loss = trainer.train_step(self, io);
            read_losses(vec![(trainer, loss)], self.step).remove(0)
        };
        let train_all = |student: &mut &mut Student| {
            student.stack_trainers().par_iter_mut().zip(&mixer_ios).map(train).collect()
        };
        students.par_iter_mut().map(train_all).collect()
    }

    /// Trains the twins of each stack as soon as the base has run the layers of this stack. The device
    /// therefore holds the attention inputs and outputs of only one stack at a time. Enqueues all work before
    /// it reads any loss, so that the device does not wait for the host within a step.
    fn train_stack_by_stack(
        &self,
        batch: &[Vec<u32>],
        students: &mut [&mut Student],
    ) -> Vec<Vec<Result<StepLoss>>> {
        let mut pending: Vec<Vec<PendingLosses>> = students.iter().map(|_| Vec::new()).collect();
        let mut mixer_ios = Vec::new();
        let mut stack = 0;
        self.for_each_mixer_io(batch, |_, io| {
            mixer_ios.push(io);
            if mixer_ios.len() < students[0].stack_trainers()[stack].layers.len() {
                return;
            }
            let io = MixerIo::stack(std::mem::take(&mut mixer_ios));
            for (student, pending) in students.iter_mut().zip(&mut pending) {
                pending.push(student.stack_trainers()[stack].train_step(self, &io));
            }
            stack += 1;
        });
        let trainers = students.iter_mut().flat_map(|student| &*student.stack_trainers());
        let pending = trainers.zip(pending.into_iter().flatten()).collect();
        let mut losses = read_losses(pending, self.step).into_iter();
        students.iter().map(|_| losses.by_ref().take(self.layers.len()).collect()).collect()
    }
}

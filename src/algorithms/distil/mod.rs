//! Stage one: block-wise local distillation.
//!
//! For every layer the twin gets the same normalised hidden states as the full-attention block it is
//! to replace and learns its output by mean squared error. Only twins train; the teacher's own
//! trajectory feeds every layer (teacher-forced), so all layers and all variants learn side by side
//! from one teacher forward, and no twin's result depends on who shares the pass.

mod config;
mod result;
mod student;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Instant;

use rayon::prelude::*;

pub use config::DistilConfig;
pub use result::{DistilResult, LayerCurvePoint, LayerLoss};
use student::{Lane, Mark, Outcome, marks};
pub use student::{Student, Taught};

use crate::algorithms::saving::Saving;
use crate::data::sequences::{Extent, Sequences};
use crate::observer::Observer;
use dtr_core::error::Result;
use dtr_model::{Decoder, LayerIo, Pass};
use dtr_ops::{is_cpu, run_on_device_thread};

/// How many steps a token budget makes: whole batches, at least one.
pub fn num_steps(recipe: &DistilConfig) -> u64 {
    (recipe.token_budget.0 / tokens_per_step(recipe)).max(1)
}

/// Tokens of one step.
pub fn tokens_per_step(recipe: &DistilConfig) -> u64 {
    (recipe.batch_size * recipe.sequence_length) as u64
}

/// The sequences that a recipe asks for.
pub fn extent(recipe: &DistilConfig) -> Extent {
    Extent { length: recipe.sequence_length, count: num_steps(recipe) * recipe.batch_size as u64 }
}

/// Distils all `pupils` of `base` from one stream of `sequences`, one teacher forward a step.
///
/// A pupil whose checkpoint is ahead of the others waits, and one that fails leaves; each of the
/// others ends exactly as if alone.
///
/// # Errors
/// Interruption, and what no pupil can do without (data, disk). A pupil's own failure is kept in it.
pub fn distil(
    base: &Decoder,
    pupils: &mut [Student],
    recipe: &DistilConfig,
    sequences: &Sequences,
    observer: &dyn Observer,
) -> Result<()> {
    let total = num_steps(recipe);
    let first = pupils.iter().map(Student::steps).min().unwrap_or(total);
    observer.advance(first * tokens_per_step(recipe));
    let mut saving = Saving::start();
    for step in first..total {
        let batch = sequences.batch(step, recipe.batch_size)?;
        lesson(base, pupils, &batch, step, total);
        observer.advance(tokens_per_step(recipe));
        saving.perhaps(observer.interrupted(), || pupils.iter().try_for_each(Student::save))?;
        observer.check()?;
    }
    Ok(())
}

/// One teacher forward over `batch`, as far as the last layer that is learnt; every twin of every pupil that has not seen
/// it learns from it. The pupils are of the same layers.
pub fn lesson(base: &Decoder, pupils: &mut [Student], batch: &[Vec<u32>], step: u64, total: u64) {
    let start = Instant::now();
    let mut attending: Vec<&mut Student> = pupils.iter_mut().filter(|pupil| pupil.attends(step)).collect();
    let Some(layers) = attending.first().map(|pupil| pupil.layers()) else { return };
    let class = Class::new(base, layers, [batch.len(), batch[0].len()], step, total);
    let marks = match is_cpu(&base.device()) {
        true => class.side_by_side(batch, &mut attending),
        false => run_on_device_thread(&base.device(), || class.in_turn(batch, &mut attending)),
    };
    let share = start.elapsed().as_secs_f64() / attending.len() as f64;
    for (pupil, marks) in attending.into_iter().zip(marks) {
        pupil.finish_step(marks, share);
    }
}

/// One step of a pupil's first twin on a `lesson` that is at hand: what a step takes without a teacher.
pub fn practise(base: &Decoder, pupil: &mut Student, lesson: &LayerIo, step: u64, total: u64) {
    let [rows, time, _] = lesson.input.dims();
    let class = Class::new(base, pupil.layers(), [rows, time], step, total);
    let marks = run_on_device_thread(&base.device(), || {
        let lane = &mut pupil.lanes()[0];
        let outcome = lane.learn(&class, lesson);
        marks(vec![(lane, outcome)], step)
    });
    pupil.finish_step(marks, 0.0);
}

/// A step of pupils that share a teacher's pass.
struct Class<'a> {
    base: &'a Decoder,
    /// The layers that they learn.
    layers: Range<usize>,
    pass: Pass,
    tracked: Pass,
    step: u64,
    total: u64,
}

impl<'a> Class<'a> {
    /// The step of so many rows and tokens.
    fn new(base: &'a Decoder, layers: Range<usize>, [rows, time]: [usize; 2], step: u64, total: u64) -> Self {
        let pass = Pass::new(&base.config, rows, time, 0, None, &base.device());
        Self { base, layers, tracked: pass.tracked(), pass, step, total }
    }

    /// Has `hear` what is taught of each layer that is learnt, in order.
    fn teach(&self, batch: &[Vec<u32>], mut hear: impl FnMut(usize, LayerIo)) {
        let Range { start, end } = self.layers;
        self.base.teach(batch, &self.pass, end, |layer, lesson| {
            if layer >= start {
                hear(layer - start, lesson);
            }
        });
    }

    /// Twins share nothing, so they learn side by side on however many threads there are.
    fn side_by_side(&self, batch: &[Vec<u32>], pupils: &mut [&mut Student]) -> Vec<Vec<Result<Mark>>> {
        let mut lessons = Vec::with_capacity(self.layers.len());
        self.teach(batch, |_, lesson| lessons.push(lesson));
        let learn = |(lane, lesson): (&mut Lane, &LayerIo)| {
            let outcome = lane.learn(self, lesson);
            marks(vec![(lane, outcome)], self.step).remove(0)
        };
        let all = |pupil: &mut &mut Student| pupil.lanes().par_iter_mut().zip(&lessons).map(learn).collect();
        pupils.par_iter_mut().map(all).collect()
    }

    /// One after the other as the teacher comes by, so that a lesson is held no longer than it is learnt. Nothing is read before all
    /// was asked for, so that the device never waits to be told.
    fn in_turn(&self, batch: &[Vec<u32>], pupils: &mut [&mut Student]) -> Vec<Vec<Result<Mark>>> {
        let mut outcomes: Vec<Vec<Outcome>> = pupils.iter().map(|_| Vec::new()).collect();
        self.teach(batch, |lane, lesson| {
            for (pupil, outcomes) in pupils.iter_mut().zip(&mut outcomes) {
                outcomes.push(pupil.lanes()[lane].learn(self, &lesson));
            }
        });
        let lanes = pupils.iter_mut().flat_map(|pupil| &*pupil.lanes());
        let all = lanes.zip(outcomes.into_iter().flatten()).collect();
        let mut marks = marks(all, self.step).into_iter();
        pupils.iter().map(|_| marks.by_ref().take(self.layers.len()).collect()).collect()
    }
}

//! Stage one: block-wise local distillation.
//!
//! For every layer the twin gets the same normalised hidden states as the full-attention block it is
//! to replace and learns its output by mean squared error. Only twins train; the teacher's own
//! trajectory feeds every layer (teacher-forced), so all layers and all variants learn side by side
//! from one teacher forward, and no twin's result depends on who shares the pass.

mod pupil;
#[cfg(test)]
mod tests;

use std::time::Instant;

use rayon::prelude::*;

pub use pupil::Pupil;
use pupil::{Attempt, Lane};

use crate::error::Result;
use crate::manifest::Distil;
use crate::model::{Decoder, LayerIo, Pass};
use crate::observer::Observer;
use crate::ops::{computes_in_threads, exclusively};
use crate::saving::Saving;
use crate::sequences::{Extent, Sequences};

/// How many steps a token budget makes: whole batches, at least one.
pub fn num_steps(recipe: &Distil) -> u64 {
    (recipe.token_budget.0 / tokens_per_step(recipe)).max(1)
}

/// Tokens of one step.
pub fn tokens_per_step(recipe: &Distil) -> u64 {
    (recipe.batch_size * recipe.sequence_length) as u64
}

/// The sequences that a recipe asks for.
pub fn extent(recipe: &Distil) -> Extent {
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
    pupils: &mut [Pupil],
    recipe: &Distil,
    sequences: &Sequences,
    observer: &dyn Observer,
) -> Result<()> {
    let total = num_steps(recipe);
    let first = pupils.iter().map(Pupil::steps).min().unwrap_or(total);
    observer.advance(first * tokens_per_step(recipe));
    let mut saving = Saving::start();
    for step in first..total {
        let batch = sequences.batch(step, recipe.batch_size)?;
        lesson(base, pupils, &batch, step, total);
        observer.advance(tokens_per_step(recipe));
        saving.perhaps(observer.interrupted(), || pupils.iter().try_for_each(Pupil::save))?;
        observer.check()?;
    }
    Ok(())
}

/// A step of the twins of one pupil.
struct Learning<'a> {
    lessons: &'a [LayerIo],
    pass: &'a Pass,
    step: u64,
    total: u64,
}

impl Learning<'_> {
    fn side_by_side(&self, lanes: &mut [Lane]) -> Vec<Result<f64>> {
        let learn = |lane: &mut Lane| lane.learn(self.lessons, self.pass, self.step, self.total);
        lanes.par_iter_mut().map(learn).collect()
    }

    /// One after the other, each asked for before the loss of the one before is read, so that the device never waits to
    /// be told.
    fn in_turn(&self, lanes: &mut [Lane]) -> Vec<Result<f64>> {
        let mut losses = Vec::with_capacity(lanes.len());
        let mut before: Option<Attempt> = None;
        for index in 0..=lanes.len() {
            let next = lanes.get(index).map(|lane| lane.attempt(self.lessons, self.pass));
            if let Some(attempt) = std::mem::replace(&mut before, next) {
                losses.push(lanes[index - 1].improve(attempt, self.step, self.total));
            }
        }
        losses
    }
}

/// One teacher forward over `batch`; every twin of every pupil that has not seen it learns from it.
pub fn lesson(base: &Decoder, pupils: &mut [Pupil], batch: &[Vec<u32>], step: u64, total: u64) {
    let start = Instant::now();
    let pass = Pass::new(&base.config, batch.len(), batch[0].len(), 0, None, &base.device());
    let lessons = base.lessons(batch, &pass);
    let tracked = pass.tracked();
    for pupil in pupils.iter_mut().filter(|pupil| step == 0 && pupil.attends(0)) {
        pupil.calibrate(base, &lessons, &pass);
    }
    let mut attending: Vec<&mut Pupil> = pupils.iter_mut().filter(|pupil| pupil.attends(step)).collect();
    let learn = Learning { lessons: &lessons, pass: &tracked, step, total };
    let losses: Vec<Vec<Result<f64>>> = match computes_in_threads(&base.device()) {
        // Twins share nothing, so they learn side by side on however many threads there are.
        true => attending.par_iter_mut().map(|pupil| learn.side_by_side(pupil.lanes())).collect(),
        false => exclusively(&base.device(), || {
            attending.iter_mut().map(|pupil| learn.in_turn(pupil.lanes())).collect()
        }),
    };
    let share = start.elapsed().as_secs_f64() / attending.len().max(1) as f64;
    for (pupil, losses) in attending.into_iter().zip(losses) {
        pupil.finish_step(losses, &lessons, share);
    }
}

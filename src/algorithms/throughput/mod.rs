//! How fast a base or a hybrid reads a prompt and decodes after it.
//!
//! The protocol is that of Jet-Nemotron's public script, which the paper goes by: prompts of random tokens,
//! read chunk by chunk, then tokens decoded greedily one by one; the first runs are dropped. A clock is read
//! only once the device has done all that it was asked to. Weights play no part, so that they are random.

mod config;
mod result;
mod weights;

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use rand::RngExt;

pub use config::{Replaced, ThroughputConfig, TimedLayers};
pub use result::{ThroughputResult, TimedRun};
pub use weights::Tiled;

use crate::observer::Observer;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::{Decoding, Hybrid, State, StateBytes};

/// What a model was timed on.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Tokens of the prompt.
    pub context: usize,
    /// Prompts side by side.
    pub batch_size: usize,
}

/// Times `model` as `recipe` says; what its state holds after the prompt, and the runs that count.
///
/// # Errors
/// When the device fails, or the user asked to stop.
pub fn measure(
    model: &Hybrid<'_>,
    recipe: &ThroughputConfig,
    size: Size,
    device: &Device,
    observer: &dyn Observer,
) -> Result<(StateBytes, Vec<TimedRun>)> {
    let prompt = prompt(recipe.seed, size, model.config().vocab_size);
    let mut bytes = StateBytes::default();
    let mut runs = Vec::with_capacity(recipe.repeats);
    for run in 0..recipe.warm_up + recipe.repeats {
        let mut state = State::new(model.num_layers()).for_tokens(size.context + recipe.new_tokens);
        let (next, prefill) = timed(device, || read(model, recipe, &prompt, &mut state, observer))?;
        bytes = state.bytes();
        let ((), decode) = timed(device, || decode(model, recipe, &next, state, observer))?;
        if run >= recipe.warm_up {
            runs.push(TimedRun { prefill, decode });
        }
    }
    Ok((bytes, runs))
}

/// Random tokens, `[batch][context]`.
fn prompt(seed: Seed, size: Size, vocab_size: usize) -> Vec<Vec<u32>> {
    let mut rng = seed.child("throughput/prompt").rng();
    let mut row = |_| (0..size.context).map(|_| rng.random_range(0..vocab_size as u32)).collect();
    (0..size.batch_size).map(&mut row).collect()
}

/// What `work` gives, and the seconds until the device had done it.
fn timed<T>(device: &Device, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let sync = || {
        device.sync().map_err(|cause| Error::failed(format!("the device cannot be waited for: {cause:?}")))
    };
    sync()?;
    let start = Instant::now();
    let result = work()?;
    sync()?;
    Ok((result, start.elapsed().as_secs_f64()))
}

/// Reads the prompts chunk by chunk; the first token after each.
fn read(
    model: &Hybrid<'_>,
    recipe: &ThroughputConfig,
    prompt: &[Vec<u32>],
    state: &mut State,
    observer: &dyn Observer,
) -> Result<Vec<u32>> {
    let context = prompt[0].len();
    let mut next = Vec::new();
    for start in (0..context).step_by(recipe.prefill_chunk) {
        observer.check_interrupted()?;
        let end = context.min(start + recipe.prefill_chunk);
        let chunk: Vec<Vec<u32>> = prompt.iter().map(|row| row[start..end].to_vec()).collect();
        let hidden = model.forward(&chunk, None, Some(state));
        if end == context {
            next = likeliest(model, hidden.narrow(1, end - start - 1, 1));
        }
        observer.advance((prompt.len() * (end - start)) as u64);
    }
    Ok(next)
}

/// Decodes token after token, greedily.
fn decode(
    model: &Hybrid<'_>,
    recipe: &ThroughputConfig,
    next: &[u32],
    state: State,
    observer: &dyn Observer,
) -> Result<()> {
    let mut decoding = Decoding::new(model, state, next, recipe.new_tokens);
    for _ in 0..recipe.new_tokens {
        observer.check_interrupted()?;
        decoding.step();
        observer.advance(next.len() as u64);
    }
    Ok(())
}

/// The likeliest token after hidden states `x_b1d`, for each row.
fn likeliest(model: &Hybrid<'_>, x_b1d: Tensor<3>) -> Vec<u32> {
    let tokens = model.logits(x_b1d.squeeze_dim::<2>(1)).argmax(1);
    tokens.into_data().iter::<u32>().collect()
}

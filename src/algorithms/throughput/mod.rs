//! Measures the throughput of a base or a hybrid: the time to read prompts (prefill), and the time to decode
//! tokens after the prompts.
//!
//! The protocol follows Jet-Nemotron's public script, which the paper uses. Prompts are random tokens. A
//! model reads the prompts in chunks, and then decodes tokens greedily one by one. The first runs are a
//! warm-up. The clock is read after the device has finished all work. Speed does not depend on the values of
//! weights, so weights are random.

mod config;
mod repeated_weights;
mod result;

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use rand::RngExt;

pub use config::{ReplacedCounts, ReplacedLayerChoice, ThroughputConfig};
pub use repeated_weights::RepeatedRandomWeights;
pub use result::{ThroughputResult, TimedRun};

use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::{BatchDecoder, DecoderState, Hybrid, StateBytes};

use crate::observer::Observer;

/// The size of the prompts that a measurement reads.
#[derive(Clone, Copy, Debug)]
pub struct PromptShape {
    /// Number of tokens of each prompt.
    pub context: usize,
    /// Number of prompts in the batch.
    pub batch_size: usize,
}

/// Times prefill and decoding of `model`. Returns the size of the model's state after the prompts, and the
/// times of each run that follows the warm-up.
///
/// # Errors
/// Fails if the device fails or the user asked to stop.
pub fn measure_throughput(
    model: &Hybrid<'_>,
    config: &ThroughputConfig,
    shape: PromptShape,
    device: &Device,
    observer: &dyn Observer,
) -> Result<(StateBytes, Vec<TimedRun>)> {
    let prompts = random_prompts(config.seed, shape, model.config().vocab_size);
    let mut state_bytes = StateBytes::default();
    let mut runs = Vec::with_capacity(config.repeats);
    for run in 0..config.warm_up + config.repeats {
        let mut state =
            DecoderState::new(model.num_layers()).with_capacity(shape.context + config.new_tokens);
        let (next, prefill) =
            measure_seconds(device, || read_prompts(model, config, &prompts, &mut state, observer))?;
        state_bytes = state.num_bytes();
        let ((), decode) = measure_seconds(device, || decode(model, config, &next, state, observer))?;
        if run >= config.warm_up {
            runs.push(TimedRun { prefill, decode });
        }
    }
    Ok((state_bytes, runs))
}

/// Returns random tokens, `[batch][context]`.
fn random_prompts(seed: Seed, shape: PromptShape, vocab_size: usize) -> Vec<Vec<u32>> {
    let mut rng = seed.child("throughput/prompt").rng();
    let mut row = |_| (0..shape.context).map(|_| rng.random_range(0..vocab_size as u32)).collect();
    (0..shape.batch_size).map(&mut row).collect()
}

/// Returns the result of `work`, and the seconds until the device has finished the work.
fn measure_seconds<T>(device: &Device, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let synchronize =
        || device.sync().map_err(|cause| Error::failed(format!("cannot wait for the device: {cause:?}")));
    synchronize()?;
    let start = Instant::now();
    let result = work()?;
    synchronize()?;
    Ok((result, start.elapsed().as_secs_f64()))
}

/// Reads the prompts in chunks and returns the most likely token after each prompt.
fn read_prompts(
    model: &Hybrid<'_>,
    config: &ThroughputConfig,
    prompts: &[Vec<u32>],
    state: &mut DecoderState,
    observer: &dyn Observer,
) -> Result<Vec<u32>> {
    let context = prompts[0].len();
    let mut next = Vec::new();
    for start in (0..context).step_by(config.prefill_chunk) {
        observer.check_interrupted()?;
        let end = context.min(start + config.prefill_chunk);
        let chunk: Vec<Vec<u32>> = prompts.iter().map(|row| row[start..end].to_vec()).collect();
        let hidden_btd = model.forward_hidden(&chunk, None, Some(state));
        if end == context {
            next = most_likely_tokens(model, hidden_btd.narrow(1, end - start - 1, 1));
        }
        observer.advance((prompts.len() * (end - start)) as u64);
    }
    Ok(next)
}

fn decode(
    model: &Hybrid<'_>,
    config: &ThroughputConfig,
    next: &[u32],
    state: DecoderState,
    observer: &dyn Observer,
) -> Result<()> {
    let mut decoding = BatchDecoder::new(model, state, next, config.new_tokens);
    for _ in 0..config.new_tokens {
        observer.check_interrupted()?;
        decoding.step();
        observer.advance(next.len() as u64);
    }
    Ok(())
}

/// Returns the most likely token after each hidden state of `x_b1d`, `[batch, 1, dim]`.
fn most_likely_tokens(model: &Hybrid<'_>, x_b1d: Tensor<3>) -> Vec<u32> {
    let tokens = model.logits(x_b1d.squeeze_dim::<2>(1)).argmax(1);
    tokens.into_data().iter::<u32>().collect()
}

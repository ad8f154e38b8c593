//! Decoding greedily, one token after another, for rows of one length.

use burn::tensor::{Int, Tensor};

use super::decoder::token_tensor;
use super::hybrid::Hybrid;
use super::mixer::Pass;
use super::state::State;
use dtr_ops::{PositionCounter, RecordedStep};

/// Rows that are being continued. Where the device can count, a step is recorded once and then only asked for again.
pub struct Decoding<'a> {
    model: &'a Hybrid<'a>,
    state: State,
    /// The likeliest next token of each row, `[b]`.
    next: Tensor<1, Int>,
    counted: Option<(PositionCounter, Pass)>,
    replay: Option<RecordedStep>,
    steps: usize,
}

impl<'a> Decoding<'a> {
    /// Continues `state` with `next`, the first token of each row after it, by at most `tokens` tokens.
    pub fn new(model: &'a Hybrid<'a>, mut state: State, next: &[u32], tokens: usize) -> Self {
        let device = model.device();
        let counted = PositionCounter::new(state.past(), &device).map(|counter| {
            let room = state.make_room(state.past() + tokens);
            let pass = Pass::counted(model.config(), &counter, room, &device);
            (counter, pass)
        });
        let rows = next.len();
        let next = token_tensor(&[next.to_vec()], &device).reshape([rows]);
        Self { model, state, next, counted, replay: None, steps: 0 }
    }

    /// Decodes one token of each row.
    pub fn step(&mut self) {
        self.steps += 1;
        let Self { model, state, next, counted, replay, steps } = self;
        let Some((counter, pass)) = counted else {
            let mut pass = Pass::new(model.config(), next.dims()[0], 1, state.past(), None, &next.device());
            pass.room = state.room();
            *next = forward(model, &pass, state, next.clone());
            state.advance(1);
            return;
        };
        let mut once = || {
            *next = forward(model, pass, state, next.clone());
            counter.advance();
        };
        // What the first step does for the first time, such as compiling kernels, cannot be recorded.
        match (*steps, &replay) {
            (1, _) => once(),
            (_, Some(replay)) => replay.replay(),
            (_, None) => replay.insert(RecordedStep::record(&model.device(), once)).replay(),
        }
    }

    /// The next token of each row, which is yet to be decoded.
    pub fn next(&self) -> Vec<u32> {
        self.next.to_data().iter::<u32>().collect()
    }
}

/// The likeliest token after `next` of each row.
fn forward(model: &Hybrid<'_>, pass: &Pass, state: &mut State, next: Tensor<1, Int>) -> Tensor<1, Int> {
    let ids = next.clone().reshape([next.dims()[0], 1]);
    let hidden = model.continued(ids, pass, Some(state));
    dtr_ops::argmax_into(model.logits(hidden.squeeze_dim::<2>(1)), next)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::Architecture;
    use crate::testing::variants;
    use crate::{Config, Decoder, Mask, Random, Twins, computing_in};
    use dtr_core::seed::Seed;

    /// Decoded tokens, by a recorded step where the device has that, and by passes over tokens from the host.
    fn decode(model: &Hybrid<'_>, tokens: usize) -> [Vec<Vec<u32>>; 2] {
        let prompt: Vec<Vec<u32>> =
            (0..3).map(|row| (0..21).map(|at| (7 * row + at) % 90).collect()).collect();
        let likeliest = |hidden: Tensor<3>| -> Vec<u32> {
            let last = hidden.dims()[1] - 1;
            let logits = model.logits(hidden.narrow(1, last, 1).squeeze_dim::<2>(1));
            logits.argmax(1).into_data().iter::<u32>().collect()
        };
        let start = || {
            let mut state = State::new(model.num_layers()).for_tokens(21 + tokens);
            let next = likeliest(model.forward(&prompt, None, Some(&mut state)));
            (state, next)
        };
        let (state, next) = start();
        let mut decoding = Decoding::new(model, state, &next, tokens);
        let stepped = (0..tokens).map(|_| {
            decoding.step();
            decoding.next()
        });
        let stepped = stepped.collect();
        let (mut state, mut next) = start();
        let passed = (0..tokens).map(|_| {
            let rows: Vec<Vec<u32>> = next.iter().map(|&token| vec![token]).collect();
            next = likeliest(model.forward(&rows, None, Some(&mut state)));
            next.clone()
        });
        let passed = passed.collect();
        [stepped, passed]
    }

    fn check(device: &Device, dtype: DType) {
        let architecture = Architecture {
            hidden_size: 64,
            intermediate_size: 96,
            num_layers: 3,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 16,
            tokenizer: None,
        };
        for (qkv_bias, qk_norm) in [(false, false), (true, true)] {
            let config = Config { qkv_bias, qk_norm, ..Config::llama(&architecture, 90, 256) };
            let base = Decoder::new(&config, &mut Random::new(Seed(3), device)).unwrap();
            let base = computing_in(base, dtype);
            let [stepped, passed] = decode(&Hybrid::base(&base), 12);
            assert_eq!(stepped, passed, "base in {dtype:?}");
            for variant in variants() {
                let twins = Twins::new(&variant, &base, &mut Random::new(Seed(5), device)).unwrap();
                let twins = twins.computing_in(dtype);
                let [stepped, passed] = decode(&Hybrid::new(&base, &twins, &Mask::none().with(1)), 12);
                assert_eq!(stepped, passed, "{variant:?} in {dtype:?}");
            }
        }
    }

    #[test]
    fn steps_decode_what_passes_do() {
        check(&Device::flex(), DType::F32);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn recorded_steps_decode_what_passes_do() {
        let Some(device) = dtr_ops::cuda_devices().into_iter().next() else {
            eprintln!("SKIPPED: there is no CUDA device");
            return;
        };
        check(&device, DType::F32);
        check(&device, DType::BF16);
    }
}

//! Greedy decoding of token rows of equal lengths, one token at a time.

use burn::tensor::{Int, Tensor};

use crate::{DecoderState, ForwardContext, Hybrid, token_tensor};
use dtr_ops::{PositionCounter, RecordedStep};

/// A greedy decoder of a batch. On CUDA, a counter in device memory holds the position, so that one step can
/// be recorded as a graph and replayed for each token.
pub struct GreedyDecoder<'a> {
    model: &'a Hybrid<'a>,
    state: DecoderState,
    /// The most likely next token of each row, `[b]`.
    next_b: Tensor<1, Int>,
    /// The position counter and the context that reads it. `None` on a device without position counters.
    counted: Option<(PositionCounter, ForwardContext)>,
    replay: Option<RecordedStep>,
    num_steps: usize,
}

impl<'a> GreedyDecoder<'a> {
    /// Creates a decoder that continues `state` for at most `max_tokens` tokens. `next` is the first new
    /// token of each row.
    pub fn new(model: &'a Hybrid<'a>, mut state: DecoderState, next: &[u32], max_tokens: usize) -> Self {
        let device = model.device();
        let counted = PositionCounter::new(state.num_past_tokens(), &device).map(|counter| {
            let capacity = state.reserve(state.num_past_tokens() + max_tokens);
            let context = ForwardContext::at_counter(model.config(), &counter, capacity, &device);
            (counter, context)
        });
        let rows = next.len();
        let next_b = token_tensor(&[next.to_vec()], &device).reshape([rows]);
        Self { model, state, next_b, counted, replay: None, num_steps: 0 }
    }

    /// Runs the model on the next token of each row and chooses the token after it.
    pub fn step(&mut self) {
        self.num_steps += 1;
        let Self { model, state, next_b, counted, replay, num_steps } = self;
        let Some((counter, context)) = counted else {
            let (rows, past) = (next_b.dims()[0], state.num_past_tokens());
            let mut context = ForwardContext::new(model.config(), rows, 1, past, None, &next_b.device());
            context.cache_capacity = state.capacity();
            *next_b = choose_next(model, &context, state, next_b.clone());
            state.advance(1);
            return;
        };
        let mut run = || {
            *next_b = choose_next(model, context, state, next_b.clone());
            counter.advance();
        };
        // The first step is not recorded, because it compiles and tunes kernels. A recording cannot contain
        // such work.
        match (*num_steps, &replay) {
            (1, _) => run(),
            (_, Some(replay)) => replay.replay(),
            (_, None) => replay.insert(RecordedStep::record(&model.device(), run)).replay(),
        }
    }

    /// Returns the newest token of each row. The model has not run on these tokens yet.
    pub fn next_tokens(&self) -> Vec<u32> {
        self.next_b.to_data().iter::<u32>().collect()
    }
}

/// Runs the model on `next_b`, one token of each row. Returns the most likely next token of each row, `[b]`.
/// Writes the result to the memory of `next_b`.
fn choose_next(
    model: &Hybrid<'_>,
    context: &ForwardContext,
    state: &mut DecoderState,
    next_b: Tensor<1, Int>,
) -> Tensor<1, Int> {
    let ids_bt = next_b.clone().reshape([next_b.dims()[0], 1]);
    let hidden = model.forward_ids(ids_bt, context, Some(state));
    dtr_ops::argmax_into(model.logits(hidden.squeeze_dim::<2>(1)), next_b)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::testing::variants;
    use crate::{Decoder, DecoderConfig, DecoderShape, Mask, RandomParams, Twins, to_dtype};
    use dtr_core::seed::Seed;

    /// Decodes `num_tokens` tokens in two ways: by [`GreedyDecoder`], and by separate forward passes.
    fn decode(model: &Hybrid<'_>, num_tokens: usize) -> [Vec<Vec<u32>>; 2] {
        let prompt: Vec<Vec<u32>> =
            (0..3).map(|row| (0..21).map(|at| (7 * row + at) % 90).collect()).collect();
        let most_likely = |hidden: Tensor<3>| -> Vec<u32> {
            let last = hidden.dims()[1] - 1;
            let logits = model.logits(hidden.narrow(1, last, 1).squeeze_dim::<2>(1));
            logits.argmax(1).into_data().iter::<u32>().collect()
        };
        let start = || {
            let mut state = DecoderState::new(model.num_layers()).with_capacity(21 + num_tokens);
            let next = most_likely(model.forward_hidden(&prompt, None, Some(&mut state)));
            (state, next)
        };
        let (state, next) = start();
        let mut decoder = GreedyDecoder::new(model, state, &next, num_tokens);
        let decoded = (0..num_tokens).map(|_| {
            decoder.step();
            decoder.next_tokens()
        });
        let decoded = decoded.collect();
        let (mut state, mut next) = start();
        let recomputed = (0..num_tokens).map(|_| {
            let rows: Vec<Vec<u32>> = next.iter().map(|&token| vec![token]).collect();
            next = most_likely(model.forward_hidden(&rows, None, Some(&mut state)));
            next.clone()
        });
        let recomputed = recomputed.collect();
        [decoded, recomputed]
    }

    fn check(device: &Device, dtype: DType) {
        let shape = DecoderShape {
            hidden_size: 64,
            intermediate_size: 96,
            num_layers: 3,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 16,
            tokenizer: None,
        };
        for (qkv_bias, qk_norm) in [(false, false), (true, true)] {
            let config = DecoderConfig { qkv_bias, qk_norm, ..shape.llama_config(90, 256) };
            let base = Decoder::new(&config, &mut RandomParams::new(Seed(3), device)).unwrap();
            let base = to_dtype(base, dtype);
            let [decoded, recomputed] = decode(&Hybrid::from_base(&base), 12);
            assert_eq!(decoded, recomputed, "base in {dtype:?}");
            for variant in variants() {
                let twins = Twins::new(&variant, &base, &mut RandomParams::new(Seed(5), device)).unwrap();
                let twins = twins.to_dtype(dtype);
                let [decoded, recomputed] =
                    decode(&Hybrid::new(&base, &twins, &Mask::empty().with_layer(1)), 12);
                assert_eq!(decoded, recomputed, "{variant:?} in {dtype:?}");
            }
        }
    }

    #[test]
    fn steps_decode_the_same_tokens_as_forward_passes() {
        check(&Device::flex(), DType::F32);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn recorded_steps_decode_the_same_tokens_as_forward_passes() {
        let Some(device) = dtr_ops::open_cuda_devices().into_iter().next() else {
            eprintln!("SKIPPED: there is no CUDA device");
            return;
        };
        check(&device, DType::F32);
        check(&device, DType::BF16);
    }
}

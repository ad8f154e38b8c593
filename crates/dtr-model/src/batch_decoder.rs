//! Decoding of a batch of token rows, one token of each row at a time. Rows can have different positions, and
//! the row of a finished text can be filled with another prompt.

use burn::tensor::{Int, Tensor, TensorData};

use crate::{DecoderState, ForwardContext, Hybrid, token_tensor};
use dtr_ops::{PositionCounter, RecordedStep, TokenBuffer};

/// The largest number of steps whose tokens a CUDA device keeps until the host reads them.
pub const MAX_UNREAD_STEPS: usize = 32;

/// A decoder of a batch. On CUDA, counters in device memory hold the positions of the rows. Therefore one
/// step can be recorded as a CUDA graph and replayed for each token. Filling a row does not change the graph.
pub struct BatchDecoder<'a> {
    model: &'a Hybrid<'a>,
    state: DecoderState,
    capacity: usize,
    rows: Rows,
    replay: Option<RecordedStep>,
    num_steps: usize,
}

/// The next token of each row, and its position.
#[expect(clippy::large_enum_variant, reason = "one per decoder")]
enum Rows {
    /// In the memory of the host.
    Host { positions: Vec<usize>, tokens: Vec<u32> },
    /// In the memory of a CUDA device.
    Device { counter: PositionCounter, context: ForwardContext, tokens: TokenBuffer },
}

/// A prompt for a row of a [`BatchDecoder`].
pub struct FilledRow {
    /// The row of the decoder.
    pub row: usize,
    /// The row that holds the prompt's state, among the rows of several prompts.
    pub from_row: usize,
    /// The number of tokens of the prompt.
    pub num_tokens: usize,
    /// The token after the prompt.
    pub next: u32,
}

impl<'a> BatchDecoder<'a> {
    /// Creates a decoder that continues `state` for at most `max_tokens` tokens. `next` is the first new
    /// token of each row.
    pub fn new(model: &'a Hybrid<'a>, mut state: DecoderState, next: &[u32], max_tokens: usize) -> Self {
        let positions = vec![state.num_past_tokens(); next.len()];
        let capacity = state.reserve(state.num_past_tokens() + max_tokens);
        let rows = Rows::new(model, positions, next.to_vec(), capacity);
        Self { model, state, capacity, rows, replay: None, num_steps: 0 }
    }

    /// Creates a decoder of `rows` unused rows with space for `capacity` tokens each. The state has the
    /// shapes of `like`, except in the rows and the capacity.
    pub fn with_unused_rows(
        model: &'a Hybrid<'a>,
        like: &DecoderState,
        rows: usize,
        capacity: usize,
    ) -> Self {
        let state = like.empty_rows(rows, capacity);
        let rows = Rows::new(model, vec![0; rows], vec![0; rows], capacity);
        Self { model, state, capacity, rows, replay: None, num_steps: 0 }
    }

    /// Fills a row with the state after a prompt. `prompts` holds this state in its row `filled.from_row`.
    pub fn fill_row(&mut self, prompts: &DecoderState, filled: &FilledRow) {
        let &FilledRow { row, from_row, num_tokens, next } = filled;
        let state = &mut self.state;
        dtr_ops::run_on_device_thread(&self.model.device(), || {
            state.copy_row(row, prompts, from_row, num_tokens);
        });
        self.rows.set(row, num_tokens, next);
    }

    /// Marks a row as unused, and sets its position to 0. Later steps still compute the row, but at the low
    /// cost of a row with few tokens.
    pub fn release_row(&mut self, row: usize) {
        self.rows.set(row, 0, 0);
    }

    /// Keeps only the rows `kept`, in this order. Later steps then compute fewer rows.
    ///
    /// # Panics
    /// Panics if steps are recorded, because a recorded step has a fixed number of rows.
    pub(crate) fn keep_rows(&mut self, kept: &[usize]) {
        let Rows::Host { positions, tokens } = &mut self.rows else {
            panic!("a recorded step has a fixed number of rows")
        };
        (*positions, *tokens) = kept.iter().map(|&row| (positions[row], tokens[row])).unzip();
        let rows: Vec<i32> = kept.iter().map(|&row| row as i32).collect();
        let rows = Tensor::from_data(TensorData::new(rows, [kept.len()]), &self.model.device());
        self.state = self.state.select_rows(&rows);
    }

    /// Moves the rows `kept`, in this order, to a new state of `rows` rows with space for `capacity` tokens
    /// each. The other rows are unused. A device that records steps records the next step again.
    pub fn resize(&mut self, kept: &[usize], rows: usize, capacity: usize) {
        let (positions, tokens) = (self.rows.positions(), self.next_tokens());
        let mut state = self.state.empty_rows(rows, capacity);
        dtr_ops::run_on_device_thread(&self.model.device(), || {
            for (row, &from) in kept.iter().enumerate() {
                state.copy_row(row, &self.state, from, positions[from]);
            }
        });
        let unused = std::iter::repeat((0, 0));
        let kept = kept.iter().map(|&row| (positions[row], tokens[row]));
        let (positions, tokens) = kept.chain(unused).take(rows).unzip();
        let rows = Rows::new(self.model, positions, tokens, capacity);
        *self = Self { model: self.model, state, capacity, rows, replay: None, num_steps: 0 };
    }

    /// Returns whether steps are recorded as a CUDA graph. The host then need not read the tokens of each
    /// step.
    pub fn is_recorded(&self) -> bool {
        matches!(self.rows, Rows::Device { .. })
    }

    /// Runs the model on the next token of each row and chooses the most likely token after it.
    pub fn step(&mut self) {
        self.num_steps += 1;
        let Self { model, state, capacity, rows, replay, num_steps } = self;
        let Rows::Device { counter, context, tokens } = rows else {
            let logits = self.logits();
            self.set_next_tokens(&logits.argmax(1).into_data().iter::<u32>().collect::<Vec<_>>());
            return;
        };
        let mut run = || {
            let logits = next_logits(model, context, state, tokens.tensor());
            dtr_ops::argmax_into(logits, tokens.tensor());
            counter.advance(*capacity - 1);
        };
        // The first step is not recorded, because it compiles and tunes kernels. A recording cannot contain
        // such work.
        match (*num_steps, &replay) {
            (1, _) => run(),
            (_, Some(replay)) => replay.replay(),
            (_, None) => replay.insert(RecordedStep::record(&model.device(), run)).replay(),
        }
    }

    /// Runs `num_steps` steps, at most [`MAX_UNREAD_STEPS`]. Returns the tokens that each step chose,
    /// `[step][row]`. On a CUDA device, a token is `u32::MAX` if all of its logits were NaN.
    pub fn steps(&mut self, num_steps: usize) -> Vec<Vec<u32>> {
        let mut read = Vec::new();
        for _ in 0..num_steps {
            self.step();
            match &mut self.rows {
                Rows::Host { tokens, .. } => read.push(tokens.clone()),
                Rows::Device { tokens, .. } => tokens.record(),
            }
        }
        match &mut self.rows {
            Rows::Host { .. } => read,
            Rows::Device { tokens, .. } => tokens.take_history(),
        }
    }

    /// Runs the model on the next token of each row. Returns the logits of the token after it, `[b, vocab]`.
    /// The caller chooses the tokens and calls [`BatchDecoder::set_next_tokens`].
    pub fn logits(&mut self) -> Tensor<2> {
        let Self { model, state, capacity, rows, .. } = self;
        match rows {
            Rows::Host { positions, tokens } => {
                let device = model.device();
                let context = ForwardContext::at_positions(model.config(), positions, &device);
                let ids_b = token_tensor(std::slice::from_ref(tokens), &device).reshape([tokens.len()]);
                for position in positions {
                    *position = (*position + 1).min(*capacity - 1);
                }
                next_logits(model, &context, state, ids_b)
            }
            Rows::Device { counter, context, tokens } => {
                let logits = next_logits(model, context, state, tokens.tensor());
                counter.advance(*capacity - 1);
                logits
            }
        }
    }

    /// Sets the next token of each row.
    pub fn set_next_tokens(&mut self, next: &[u32]) {
        match &mut self.rows {
            Rows::Host { tokens, .. } => tokens.copy_from_slice(next),
            Rows::Device { tokens, .. } => tokens.set_all(next),
        }
    }

    /// Returns the newest token of each row. The model has not run on these tokens yet.
    pub fn next_tokens(&self) -> Vec<u32> {
        match &self.rows {
            Rows::Host { tokens, .. } => tokens.clone(),
            Rows::Device { tokens, .. } => tokens.tensor().to_data().iter::<u32>().collect(),
        }
    }
}

impl Rows {
    /// Creates rows in the memory of the model's device if the device can record the model's steps, and
    /// otherwise in the memory of the host.
    fn new(model: &Hybrid<'_>, positions: Vec<usize>, tokens: Vec<u32>, capacity: usize) -> Self {
        let device = model.device();
        let counter = model.is_recordable().then(|| PositionCounter::new(&positions, &device));
        match counter.flatten() {
            None => Self::Host { positions, tokens },
            Some(counter) => Self::Device {
                context: ForwardContext::at_counter(model.config(), &counter, capacity, &device),
                tokens: TokenBuffer::new(&tokens, MAX_UNREAD_STEPS, &device),
                counter,
            },
        }
    }

    /// Returns the position of the next token of each row.
    fn positions(&self) -> Vec<usize> {
        match self {
            Self::Host { positions, .. } => positions.clone(),
            Self::Device { counter, .. } => counter.read(),
        }
    }

    /// Sets the next token of a row, and its position.
    fn set(&mut self, row: usize, position: usize, token: u32) {
        match self {
            Self::Host { positions, tokens } => (positions[row], tokens[row]) = (position, token),
            Self::Device { counter, tokens, .. } => {
                counter.set(row, position);
                tokens.set(row, token);
            }
        }
    }
}

/// Runs the model on `next_b`, one token of each row. Returns the logits of the token after it, `[b, vocab]`.
fn next_logits(
    model: &Hybrid<'_>,
    context: &ForwardContext,
    state: &mut DecoderState,
    next_b: Tensor<1, Int>,
) -> Tensor<2> {
    let rows = next_b.dims()[0];
    let hidden = model.forward_ids(next_b.reshape([rows, 1]), context, Some(state));
    model.logits(hidden.squeeze_dim::<2>(1))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::testing::variants;
    use crate::{Decoder, DecoderConfig, DecoderShape, Mask, RandomParams, Twins, to_dtype};
    use dtr_core::seed::Seed;

    /// Decodes `num_tokens` tokens in two ways: by [`BatchDecoder`], and by separate forward passes.
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
        let mut decoder = BatchDecoder::new(model, state, &next, num_tokens);
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

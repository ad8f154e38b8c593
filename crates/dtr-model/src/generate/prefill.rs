//! Runs the model on prompts before decoding (prefill).

use burn::tensor::{Int, Tensor, TensorData};

use crate::{DecoderState, ForwardContext, Hybrid, token_tensor};
use dtr_ops::is_cpu;

/// The largest number of prompt tokens in one forward pass on a CPU. The limit bounds the memory for a long
/// prompt.
pub const CPU_PREFILL_TOKENS: usize = 1024;

/// The largest number of prompt tokens in one forward pass on a GPU, which needs more tokens to be fully
/// used.
const GPU_PREFILL_TOKENS: usize = 8192;

/// The state after each of several prompts, and the logits of the next tokens.
pub struct Prefilled {
    /// The state. Its row `i` belongs to prompt `i`.
    pub state: DecoderState,
    /// The logits of the token after each prompt.
    pub logits: Vec<Vec<f32>>,
}

/// Returns the largest number of prompt tokens, including padding, in one forward pass of `model`.
pub fn max_tokens_per_pass(model: &Hybrid<'_>) -> usize {
    if is_cpu(&model.device()) { CPU_PREFILL_TOKENS } else { GPU_PREFILL_TOKENS }
}

/// Divides prompts with these lengths into groups that fit one forward pass. A longer prompt gets a group of
/// its own. Returns the indices of each group's prompts. Prompts of similar lengths are in one group, so that
/// groups have little padding.
pub fn group_by_length(model: &Hybrid<'_>, lengths: &[usize]) -> Vec<Vec<usize>> {
    group_within(max_tokens_per_pass(model), lengths)
}

fn group_within(max_tokens: usize, lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&prompt| lengths[prompt]);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for prompt in order {
        match groups.last_mut() {
            Some(group) if (group.len() + 1) * lengths[prompt] <= max_tokens => group.push(prompt),
            _ => groups.push(vec![prompt]),
        }
    }
    groups
}

/// Runs `model` on the prompts of a group of [`group_by_length`]. A prompt's state and its logits do not
/// depend on the other prompts. On a CPU, this is true to the last bit.
pub fn prefill(model: &Hybrid<'_>, prompts: &[&[u32]]) -> Prefilled {
    match prompts {
        [prompt] => prefill_one(model, prompt, max_tokens_per_pass(model)),
        _ => prefill_group(model, prompts),
    }
}

/// Runs `model` on a prompt, in passes of at most `max_tokens` tokens.
pub fn prefill_one(model: &Hybrid<'_>, prompt: &[u32], max_tokens: usize) -> Prefilled {
    let mut state = DecoderState::new(model.num_layers()).with_capacity(prompt.len());
    let mut last = None;
    for tokens in prompt.chunks(max_tokens) {
        let hidden_1td = model.forward_hidden(&[tokens.to_vec()], None, Some(&mut state));
        last = Some(hidden_1td.narrow(1, tokens.len() - 1, 1).squeeze_dim::<2>(0));
    }
    let logits = read_logits(model, last.expect("a prompt has at least one token"));
    Prefilled { state, logits }
}

/// Runs `model` on several prompts in one pass. Shorter prompts are padded on the right: the first token of
/// each prompt then has the position 0 in KV caches.
fn prefill_group(model: &Hybrid<'_>, prompts: &[&[u32]]) -> Prefilled {
    let (hidden_btd, state) = run_right_padded(model, prompts);
    let [batch, time, width] = hidden_btd.dims();
    let last = prompts.iter().enumerate().map(|(row, prompt)| (row * time + prompt.len() - 1) as i32);
    let last = TensorData::new(last.collect::<Vec<_>>(), [batch]);
    let last = Tensor::<1, Int>::from_data(last, &model.device());
    let logits = read_logits(model, hidden_btd.reshape([batch * time, width]).select(0, last));
    Prefilled { state, logits }
}

/// Runs `model` on several prompts in one pass, with padding on the right of shorter prompts. Returns the
/// hidden states after the last layer, `[b, t, d]`, and the state. KV caches also hold the padding.
pub(super) fn run_right_padded(model: &Hybrid<'_>, prompts: &[&[u32]]) -> (Tensor<3>, DecoderState) {
    let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
    let time = lengths.iter().copied().max().expect("a group has prompts");
    let device = model.device();
    let padded = |prompt: &&[u32]| [prompt, vec![0; time - prompt.len()].as_slice()].concat();
    let ids: Vec<Vec<u32>> = prompts.iter().map(padded).collect();
    let context = ForwardContext::right_padded(model.config(), &lengths, time, &device);
    let mut state = DecoderState::new(model.num_layers());
    let hidden_btd = model.forward_ids(token_tensor(&ids, &device), &context, Some(&mut state));
    (hidden_btd, state)
}

/// Returns the logits for each hidden state of `x_nd`.
pub(super) fn read_logits(model: &Hybrid<'_>, x_nd: Tensor<2>) -> Vec<Vec<f32>> {
    rows_of_logits(model.logits(x_nd))
}

/// Copies logits to the host, row by row.
pub fn rows_of_logits(logits_nv: Tensor<2>) -> Vec<Vec<f32>> {
    let vocabulary = logits_nv.dims()[1];
    let logits: Vec<f32> = logits_nv.into_data().try_to_vec().expect("logits are f32");
    logits.chunks_exact(vocabulary).map(<[f32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{decoder, twins, twins_with_random_convolutions, variants};

    fn tokens(length: usize) -> Vec<u32> {
        (0..length as u32).map(|at| (at * at + 5 * at + length as u32) % 50).collect()
    }

    #[test]
    fn groups_fit_a_pass_and_hold_prompts_of_similar_lengths() {
        assert_eq!(group_within(12, &[4, 1, 9, 4, 30, 4]), [vec![1, 0, 3], vec![5], vec![2], vec![4]]);
        assert!(group_within(12, &[]).is_empty());
    }

    #[test]
    fn a_prompt_of_several_passes_equals_one_pass() {
        let base = decoder(false, false);
        let twins = twins(&variants()[1], &base);
        let model = Hybrid::new(&base, &twins, &(1..3).collect());
        let prompt = tokens(CPU_PREFILL_TOKENS + 76);
        let parts = prefill_one(&model, &prompt, CPU_PREFILL_TOKENS);
        let whole = prefill_one(&model, &prompt, prompt.len());
        for (a, b) in parts.logits[0].iter().zip(&whole.logits[0]) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }

    #[test]
    fn a_group_has_the_logits_and_the_next_step_of_each_prompt_alone_to_the_last_bit() {
        let base = decoder(true, true);
        let prompts: Vec<Vec<u32>> = [1, 2, 3, 17, 64, 70].map(tokens).to_vec();
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let next: Vec<Vec<u32>> = (0..6).map(|row| vec![row]).collect();
        for variant in variants() {
            let twins = twins_with_random_convolutions(&variant, &base);
            let model = Hybrid::new(&base, &twins, &(0..2).collect());
            let group = prefill(&model, &prompts);
            for (row, prompt) in prompts.iter().enumerate() {
                let mut alone = prefill(&model, &[prompt]);
                assert_eq!(group.logits[row], alone.logits[0], "{variant:?} {row}");
                let mut state = alone.state.empty_rows(1, 71);
                state.copy_row(0, &group.state, row, prompt.len());
                let context = ForwardContext::at_positions(model.config(), &[prompt.len()], &model.device());
                let ids = || token_tensor(&next[row..=row], &model.device());
                let copied = model.forward_ids(ids(), &context, Some(&mut state));
                let expected = model.forward_hidden(&next[row..=row], None, Some(&mut alone.state));
                assert_eq!(copied.into_data(), expected.into_data(), "{variant:?} {row}");
            }
        }
    }
}

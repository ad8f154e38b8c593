//! One forward pass over a part of one or several prompts, for callers that keep the states of prompts.

use std::ops::Range;

use burn::tensor::Tensor;

use super::prefill::{read_logits, run_right_padded};
use crate::{DecoderState, Hybrid};

/// The outputs of a forward pass over tokens of prompts.
pub struct PromptPass {
    hidden_btd: Tensor<3>,
}

impl PromptPass {
    /// Runs `model` on the first tokens of several prompts, `prompts`. Returns the pass, and the state after
    /// each prompt's tokens. On a CPU, neither depends on the other prompts, to the last bit.
    ///
    /// # Panics
    /// Panics if there are no prompts, or if a prompt is empty.
    pub fn first(model: &Hybrid<'_>, prompts: &[&[u32]]) -> (Self, Vec<DecoderState>) {
        if let [prompt] = prompts {
            let mut state = DecoderState::new(model.num_layers());
            return (Self::next(model, prompt, &mut state), vec![state]);
        }
        let (hidden_btd, state) = run_right_padded(model, prompts);
        let states = dtr_ops::run_on_device_thread(&model.device(), || {
            let rows = prompts.iter().enumerate();
            rows.map(|(row, prompt)| state.copy_tokens(row, 0..prompt.len())).collect()
        });
        (Self { hidden_btd }, states)
    }

    /// Runs `model` on the tokens of one prompt that follow `state`, and updates the state.
    ///
    /// # Panics
    /// Panics if there are no tokens.
    pub fn next(model: &Hybrid<'_>, tokens: &[u32], state: &mut DecoderState) -> Self {
        Self { hidden_btd: model.forward_hidden(&[tokens.to_vec()], None, Some(state)) }
    }

    /// Returns the logits after each of the tokens `tokens` of a row, `[token][vocabulary]`.
    pub fn logits(&self, model: &Hybrid<'_>, row: usize, tokens: Range<usize>) -> Vec<Vec<f32>> {
        let hidden_1td = self.hidden_btd.clone().narrow(0, row, 1);
        read_logits(model, hidden_1td.narrow(1, tokens.start, tokens.len()).squeeze_dim::<2>(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{decoder, twins_with_random_convolutions, variants};

    fn tokens(length: u32, first: u32) -> Vec<u32> {
        (0..length).map(|at| (at * at + 5 * at + first) % 50).collect()
    }

    /// Copies of the tokens up to two borders, joined, are the state of the prompt to the last bit.
    #[test]
    fn a_prompt_that_continues_from_stored_states_has_the_logits_of_a_prompt_without_them() {
        let base = decoder(true, true);
        let (prompt, other) = (tokens(80, 3), tokens(17, 8));
        for variant in variants() {
            let twins = twins_with_random_convolutions(&variant, &base);
            let model = Hybrid::new(&base, &twins, &(0..2).collect());
            let (_, states) = PromptPass::first(&model, &[&other, &prompt[..32]]);
            let mut state = DecoderState::concat(&[&states[1]], 80);
            let stored_32 = state.copy_tokens(0, 0..32);
            PromptPass::next(&model, &prompt[32..64], &mut state);
            let stored_64 = state.copy_tokens(0, 32..64);
            let expected = PromptPass::next(&model, &prompt[64..], &mut state).logits(&model, 0, 0..16);

            for capacity in [0, 80] {
                let mut restored = DecoderState::concat(&[&stored_32, &stored_64], capacity);
                assert_eq!(restored.num_past_tokens(), 64);
                let pass = PromptPass::next(&model, &prompt[64..], &mut restored);
                assert_eq!(pass.logits(&model, 0, 0..16), expected, "{variant:?} {capacity}");
            }
            let (_, mut alone) = PromptPass::first(&model, &[&prompt[..32]]);
            PromptPass::next(&model, &prompt[32..64], &mut alone[0]);
            let pass = PromptPass::next(&model, &prompt[64..], &mut alone[0]);
            assert_eq!(pass.logits(&model, 0, 0..16), expected, "{variant:?} alone");
        }
    }
}

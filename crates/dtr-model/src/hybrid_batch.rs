//! Runs several hybrids of one base at once. In each layer, hybrids with the same token mixer share a call of
//! the mixer, and all hybrids share a call of the MLP.

use burn::tensor::{Int, Tensor, TensorData};

use crate::{Hybrid, PrefixTree, PrefixTreeStates};

/// A hybrid, and the layer at which its run starts.
#[derive(Clone, Copy)]
pub struct PartialRun<'a> {
    /// The hybrid.
    pub hybrid: &'a Hybrid<'a>,
    /// The first layer to run, or the number of layers if no layer has to run.
    pub first_layer: usize,
}

/// Computes all `runs` on the tokens of `trees[0]`. For the tokens with the indices `positions`, returns the
/// hidden states after the last layer, `[n, d]`, one run after another. The last layer's MLP runs only on
/// these tokens.
///
/// The runs must be sorted by their first layers. A run that starts at `layer` continues from the hidden
/// states `states_before(layer)` of `trees[0]`. `trees[i]` must hold `i + 1` copies of `trees[0]`.
pub fn hidden_states_of_runs(
    runs: &[PartialRun<'_>],
    trees: &[PrefixTree],
    positions: &[usize],
    states_before: impl Fn(usize) -> PrefixTreeStates + Send,
) -> Tensor<2> {
    let device = runs[0].hybrid.device();
    dtr_ops::run_on_device_thread(&device, || RunBatch { runs, trees, positions }.run(states_before))
}

/// Several runs that are computed as one batch.
struct RunBatch<'a> {
    runs: &'a [PartialRun<'a>],
    trees: &'a [PrefixTree],
    positions: &'a [usize],
}

impl RunBatch<'_> {
    fn run(&self, states_before: impl Fn(usize) -> PrefixTreeStates) -> Tensor<2> {
        let hybrid = self.runs[0].hybrid;
        let num_layers = hybrid.num_layers();
        let mut outputs = Vec::new();
        let mut states: Vec<PrefixTreeStates> = Vec::new();
        let mut num_active = 0;
        for layer in self.runs[0].first_layer..num_layers {
            let num_new = self.runs[num_active..].iter().filter(|run| run.first_layer == layer).count();
            states.extend((0..num_new).map(|_| states_before(layer)));
            num_active += num_new;
            let active = PrefixTreeStates::concat(states);
            let mixed = self.mix_tokens(layer, &active, num_active);
            if layer + 1 == num_layers {
                let [x, mixed] =
                    [active, mixed].map(|states| self.select_positions(states, num_active).unsqueeze::<3>());
                outputs.push(hybrid.add_and_feed_forward_btd(layer, x, mixed).squeeze_dim::<2>(0));
                break;
            }
            states = vec![hybrid.add_and_feed_forward(layer, active, mixed)];
        }
        let without_layers = self.runs[num_active..].iter();
        outputs.extend(without_layers.map(|run| self.select_positions(states_before(run.first_layer), 1)));
        Tensor::cat(outputs, 0)
    }

    /// Runs the token mixers of `layer` for the first `num_active` runs. Consecutive runs with the same mixer
    /// share a call.
    fn mix_tokens(&self, layer: usize, states: &PrefixTreeStates, num_active: usize) -> PrefixTreeStates {
        let mut start = 0;
        let same_mixer = self.runs[..num_active].chunk_by(|a, b| a.hybrid.has_same_mixer(layer, b.hybrid));
        let outputs = same_mixer.map(|runs| {
            let inputs = states.select_copies(start..start + runs.len(), num_active);
            start += runs.len();
            runs[0].hybrid.mix_tokens(layer, inputs, &self.trees[runs.len() - 1])
        });
        PrefixTreeStates::concat(outputs.collect())
    }

    /// Returns the hidden states at `self.positions` of each of `num_copies` copies, `[n, d]`.
    fn select_positions(&self, states: PrefixTreeStates, num_copies: usize) -> Tensor<2> {
        let in_copy = |copy| {
            let index = move |&at| self.trees[0].token_index_after_repeat(at, copy, num_copies) as i32;
            self.positions.iter().map(index)
        };
        let indices: Vec<i32> = (0..num_copies).flat_map(in_copy).collect();
        let x_nd = states.flatten();
        let size = indices.len();
        let indices_n = Tensor::<1, Int>::from_data(TensorData::new(indices, [size]), &x_nd.device());
        x_nd.select(0, indices_n)
    }
}

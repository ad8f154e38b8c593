//! The state that a layer's token mixer carries from one forward pass to the next.

use burn::tensor::{Int, Tensor};

use dtr_ops::{ConvState, KvCache};

/// The state that a layer's token mixer carries from one forward pass to the next.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one per layer")]
pub enum MixerState {
    /// The state of full attention: the rotated keys, and the values, of all earlier tokens.
    Cache(KvCache),
    /// The state of a linear block.
    Recurrent {
        /// The recurrent state in f32, `[b, h, k, v]`.
        state: Tensor<4>,
        /// The last inputs of each short convolution.
        convs: Vec<ConvState>,
    },
}

impl MixerState {
    /// Returns the recurrent state and the convolution states in `past`. Before the first pass, `past` is
    /// `None`, and the function returns no states.
    pub(super) fn into_recurrent(past: Option<Self>) -> (Option<Tensor<4>>, Vec<ConvState>) {
        match past {
            Some(Self::Recurrent { state, convs }) => (Some(state), convs),
            Some(Self::Cache(_)) => unreachable!("a linear block cannot continue from a KV cache"),
            None => (None, Vec::new()),
        }
    }

    /// Reserves memory for `num_tokens` tokens in a KV cache. Does nothing for a recurrent state, which does
    /// not grow.
    pub(crate) fn reserve(&mut self, num_tokens: usize) {
        if let Self::Cache(cache) = self {
            *cache = cache.clone().with_capacity(num_tokens);
        }
    }

    /// Returns the size of this state on its device, in bytes.
    pub(crate) fn num_bytes(&self) -> u64 {
        fn size<const D: usize>(x: &Tensor<D>) -> u64 {
            (x.dtype().size() * x.dims().iter().product::<usize>()) as u64
        }
        match self {
            Self::Cache(cache) => cache.num_bytes(),
            Self::Recurrent { state, convs } => size(state) + convs.iter().map(size).sum::<u64>(),
        }
    }

    /// Returns the state of the batch rows `rows_b`, in that order.
    pub(crate) fn select_rows(&self, rows_b: &Tensor<1, Int>) -> Self {
        match self {
            Self::Cache(cache) => {
                let (keys, values) = cache.keys_and_values();
                let [keys, values] = [keys, values].map(|x| x.select(0, rows_b.clone()));
                Self::Cache(KvCache::new(keys, values))
            }
            Self::Recurrent { state, convs } => Self::Recurrent {
                state: state.clone().select(0, rows_b.clone()),
                convs: convs.iter().map(|conv| conv.clone().select(0, rows_b.clone())).collect(),
            },
        }
    }
}

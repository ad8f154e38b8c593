//! The state that a layer's token mixer carries from one forward pass to the next.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};

use dtr_ops::{ConvState, KvCache, overwrite};

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

    /// Returns a state of `rows` batch rows whose memory holds zeros. KV caches have capacity for `capacity`
    /// tokens. All other sizes, and the dtypes, are those of this state.
    pub(crate) fn empty_rows(&self, rows: usize, capacity: usize) -> Self {
        fn zeros<const D: usize>(x: &Tensor<D>, rows: usize) -> Tensor<D> {
            let mut shape = x.dims();
            shape[0] = rows;
            Tensor::zeros(shape, (&x.device(), x.dtype()))
        }
        match self {
            Self::Cache(cache) => Self::Cache(cache.empty_rows(rows, capacity)),
            Self::Recurrent { state, convs } => Self::Recurrent {
                state: zeros(state, rows),
                convs: convs.iter().map(|conv| zeros(conv, rows)).collect(),
            },
        }
    }

    /// Overwrites the state of batch row `row` with the state of batch row `from_row` of `from`. Copies
    /// `num_tokens` tokens of a KV cache.
    pub(crate) fn with_row_of(self, row: usize, from: &Self, from_row: usize, num_tokens: usize) -> Self {
        fn copy<const D: usize>(to: Tensor<D>, row: usize, from: &Tensor<D>, from_row: usize) -> Tensor<D> {
            let mut ranges = to.dims().map(|length| 0..length);
            ranges[0] = row..row + 1;
            overwrite(to, ranges, from.clone().narrow(0, from_row, 1))
        }
        match (self, from) {
            (Self::Cache(cache), Self::Cache(from)) => {
                Self::Cache(cache.with_row_of(row, from, from_row, num_tokens))
            }
            (Self::Recurrent { state, convs }, Self::Recurrent { state: from_state, convs: from_convs }) => {
                let convs = convs.into_iter().zip(from_convs);
                Self::Recurrent {
                    state: copy(state, row, from_state, from_row),
                    convs: convs.map(|(conv, from)| copy(conv, row, from, from_row)).collect(),
                }
            }
            _ => unreachable!("a layer has states of one kind"),
        }
    }

    /// Returns a copy of the state of batch row `row`, which shares no memory with this state. The copy of a
    /// KV cache holds the tokens `tokens`. The copy of a recurrent state is the state after the row's last
    /// token.
    pub(crate) fn copy_tokens(&self, row: usize, tokens: Range<usize>) -> Self {
        match self {
            Self::Cache(cache) => Self::Cache(cache.copy_tokens(row, tokens)),
            Self::Recurrent { state, .. } => {
                let row = TensorData::new(vec![row as i32], [1]);
                self.select_rows(&Tensor::from_data(row, &state.device()))
            }
        }
    }

    /// Returns the state after the tokens of `parts`, which follow each other. The result shares no memory
    /// with the parts. KV caches get capacity for `capacity` tokens.
    pub(crate) fn concat(parts: &[&Self], capacity: usize) -> Self {
        let caches: Vec<&KvCache> = parts
            .iter()
            .filter_map(|part| match part {
                Self::Cache(cache) => Some(cache),
                Self::Recurrent { .. } => None,
            })
            .collect();
        match parts.last().expect("a state has parts") {
            Self::Cache(_) => Self::Cache(KvCache::concat(&caches, capacity)),
            last @ Self::Recurrent { .. } => last.copy_tokens(0, 0..0),
        }
    }

    /// Returns the state of the batch rows `rows_b`, in that order.
    pub(crate) fn select_rows(&self, rows_b: &Tensor<1, Int>) -> Self {
        match self {
            Self::Cache(cache) => Self::Cache(cache.select_rows(rows_b)),
            Self::Recurrent { state, convs } => Self::Recurrent {
                state: state.clone().select(0, rows_b.clone()),
                convs: convs.iter().map(|conv| conv.clone().select(0, rows_b.clone())).collect(),
            },
        }
    }
}

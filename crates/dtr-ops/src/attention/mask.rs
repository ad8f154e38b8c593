//! Causal masks: the keys that each query may attend to.

use std::sync::OnceLock;

use burn::tensor::{Bool, Device, Tensor, TensorData};
#[cfg(feature = "cuda")]
use burn::tensor::{DType, Int};

use crate::cuda_graph::PositionCounter;

/// A causal mask. Each query sees the keys up to its own position, except the padding at the left of its row.
#[derive(Clone)]
pub struct CausalMask {
    num_queries: usize,
    num_past: usize,
    /// The first key that each batch row sees.
    first_keys: Option<Vec<usize>>,
    /// The position of the only query of each row, if counters on the device hold the positions.
    counter: Option<PositionCounter>,
    /// The position of the only query of each row, if rows have different positions that the host knows.
    positions: Option<Vec<usize>>,
    device: Device,
    is_autodiff: bool,
    /// The mask as a tensor, which is as large as the attention scores. It is built on first use, because
    /// neither linear attention nor the fused kernels need it.
    hidden_keys: OnceLock<Tensor<4, Bool>>,
    /// `first_keys` on the device, `[b]`, uploaded on first use.
    #[cfg(feature = "cuda")]
    first_keys_b: OnceLock<Tensor<1, Int>>,
}

impl CausalMask {
    /// Returns the mask of `num_queries` queries after `num_past` tokens. Query `i` is at position
    /// `num_past + i`. The first `left_pads[row]` tokens of each batch row are padding, which later queries
    /// do not see.
    pub fn new(num_queries: usize, num_past: usize, left_pads: Option<&[usize]>, device: &Device) -> Self {
        Self {
            num_queries,
            num_past,
            first_keys: left_pads.map(<[usize]>::to_vec),
            counter: None,
            positions: None,
            device: device.clone(),
            is_autodiff: false,
            hidden_keys: OnceLock::new(),
            #[cfg(feature = "cuda")]
            first_keys_b: OnceLock::new(),
        }
    }

    /// Returns the mask of `times` copies of the batch rows, one copy after another.
    #[must_use]
    pub fn repeat(&self, times: usize) -> Self {
        let repeat = |rows: &Option<Vec<usize>>| rows.as_ref().map(|rows| rows.repeat(times));
        let (first_keys, positions) = (repeat(&self.first_keys), repeat(&self.positions));
        Self { first_keys, positions, ..Self::new(self.num_queries, self.num_past, None, &self.device) }
    }

    /// Returns the mask of one query for each batch row, at the position in `positions`. The query sees every
    /// key of its row up to its own position.
    ///
    /// On CUDA devices, [`CausalMask::at_counter`] is faster.
    pub fn at_positions(positions: &[usize], device: &Device) -> Self {
        Self { positions: Some(positions.to_vec()), ..Self::new(1, 0, None, device) }
    }

    /// Returns the mask of one query for each batch row, at the row's position in `counter`. The query sees
    /// every key of its row up to its own position.
    pub fn at_counter(counter: &PositionCounter, device: &Device) -> Self {
        Self { counter: Some(counter.clone()), ..Self::new(1, 0, None, device) }
    }

    /// Returns the same mask for tensors on an autodiff graph.
    pub fn autodiff(&self) -> Self {
        Self { is_autodiff: true, hidden_keys: OnceLock::new(), ..self.clone() }
    }

    /// Returns the device of the mask's tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn counter(&self) -> Option<&PositionCounter> {
        self.counter.as_ref()
    }

    /// Returns the number of keys of each batch row. If the host knows the positions, this is the row's
    /// position plus 1. Otherwise it is `num_tokens`, the number of tokens in the cache.
    pub(super) fn num_keys(&self, batch: usize, num_tokens: usize) -> Vec<usize> {
        match &self.positions {
            Some(positions) => positions.iter().map(|position| position + 1).collect(),
            None => vec![num_tokens; batch],
        }
    }

    /// Returns the number of keys of the longest batch row, if the mask comes from
    /// [`CausalMask::at_positions`].
    pub(super) fn max_num_keys(&self) -> Option<usize> {
        self.positions.as_ref()?.iter().max().map(|position| position + 1)
    }

    pub(super) fn first_keys(&self) -> Option<&[usize]> {
        self.first_keys.as_deref()
    }

    /// Returns the first key that each batch row sees, `[b]`, on the device. A row of only padding sees its
    /// last key.
    #[cfg(feature = "cuda")]
    pub(super) fn first_keys_on_device(&self) -> Option<Tensor<1, Int>> {
        let first_keys = self.first_keys.as_ref()?;
        let upload = || {
            let last = self.num_past + self.num_queries - 1;
            let keys: Vec<i32> = first_keys.iter().map(|&key| key.min(last) as i32).collect();
            Tensor::from_data(TensorData::new(keys, [first_keys.len()]), (&self.device, DType::I32))
        };
        Some(self.first_keys_b.get_or_init(upload).clone())
    }

    /// Returns a tensor `[b or 1, 1, t, s]` that is true for hidden keys, or `None` if every query sees every
    /// key.
    pub(super) fn hidden_keys(&self) -> Option<&Tensor<4, Bool>> {
        let sees_all = self.num_queries == 1 && self.first_keys.is_none() && self.positions.is_none();
        (!sees_all).then(|| self.hidden_keys.get_or_init(|| self.build()))
    }

    fn build(&self) -> Tensor<4, Bool> {
        let rows = self.first_keys.as_ref().or(self.positions.as_ref()).map_or(1, Vec::len);
        let num_keys = self.max_num_keys().unwrap_or(self.num_past + self.num_queries);
        let mut hidden = Vec::with_capacity(rows * self.num_queries * num_keys);
        for row in 0..rows {
            let first = self.first_keys.as_ref().map_or(0, |first_keys| first_keys[row]);
            for query in 0..self.num_queries {
                let last = self.positions.as_ref().map_or(self.num_past + query, |positions| positions[row]);
                // The query of a padding token sees its own key. Without any key, the softmax would divide by
                // zero.
                hidden.extend((0..num_keys).map(|key| key > last || (key < first && key != last)));
            }
        }
        let shape = [rows, 1, self.num_queries, num_keys];
        let hidden = Tensor::from_data(TensorData::new(hidden, shape), &self.device);
        if self.is_autodiff { hidden.autodiff() } else { hidden }
    }
}

//! The context of a forward pass, which all layers share.

use burn::tensor::{Device, Tensor, TensorData};

use crate::DecoderConfig;
use dtr_ops::{CausalMask, ConvState, PositionCounter, Rope, RotaryAngles, conv_state_after};

/// The positions, masks and padding of one forward pass. All layers share them.
#[derive(Clone)]
pub struct ForwardContext {
    /// The rotary angles of the tokens' positions.
    pub(super) rope_angles: RotaryAngles,
    /// The capacity of KV caches, in tokens. It is 0 for a pass that no decoding step follows. The caches
    /// then reserve no memory for further tokens.
    pub(crate) cache_capacity: usize,
    /// The counters in device memory that hold the position of each row's only token. `None` if the host
    /// knows the positions.
    pub(super) counter: Option<PositionCounter>,
    /// The position of each row's only token, if rows have different positions that the host knows.
    pub(super) positions: Option<Vec<usize>>,
    /// The number of tokens of each row before its right padding. `None` without right padding.
    row_lengths: Option<Vec<usize>>,
    /// The keys that each query attends to.
    pub(super) causal_mask: CausalMask,
    /// 1 for tokens and 0 for padding, `[b, t, 1]`. `None` without padding.
    is_token_bt1: Option<Tensor<3>>,
}

impl ForwardContext {
    /// Creates the context of a pass over `batch` rows of `time` tokens each, which follow `past` tokens of
    /// earlier passes. `left_pads` holds the number of padding tokens at the beginning of each row, counted
    /// from the first pass. If a row has more padding than a pass has tokens, its padding continues in the
    /// next pass.
    pub fn new(
        config: &DecoderConfig,
        batch: usize,
        time: usize,
        past: usize,
        left_pads: Option<&[usize]>,
        device: &Device,
    ) -> Self {
        let pad = |row: usize| left_pads.map_or(0, |pads| pads[row]);
        let rows = left_pads.map_or(1, |_| batch);
        let positions: Vec<Vec<usize>> = (0..rows)
            .map(|row| (past..past + time).map(|at| at.saturating_sub(pad(row))).collect())
            .collect();
        let rope = Rope::new(config.head_dim, config.rope_theta, &config.rope_scaling);
        let is_token_bt1 = left_pads.map(|pads| {
            let values: Vec<f32> = pads
                .iter()
                .flat_map(|&pad| (past..past + time).map(move |at| if at < pad { 0.0 } else { 1.0 }))
                .collect();
            Tensor::from_data(TensorData::new(values, [batch, time, 1]), device)
        });
        Self {
            rope_angles: rope.angles(&positions, device),
            cache_capacity: 0,
            counter: None,
            positions: None,
            row_lengths: None,
            causal_mask: CausalMask::new(time, past, left_pads, device),
            is_token_bt1,
        }
    }

    /// Creates the context of the first pass over rows of `time` tokens each. The first `lengths[row]` tokens
    /// of a row are followed by padding. The padding has no effect on the outputs of these tokens, or on the
    /// states of linear blocks after the pass. KV caches also hold the keys and values of the padding.
    pub(crate) fn right_padded(
        config: &DecoderConfig,
        lengths: &[usize],
        time: usize,
        device: &Device,
    ) -> Self {
        let is_token = |length: usize| (0..time).map(move |at| if at < length { 1.0 } else { 0.0 });
        let values: Vec<f32> = lengths.iter().flat_map(|&length| is_token(length)).collect();
        Self {
            row_lengths: Some(lengths.to_vec()),
            is_token_bt1: Some(Tensor::from_data(TensorData::new(values, [lengths.len(), time, 1]), device)),
            ..Self::new(config, lengths.len(), time, 0, None, device)
        }
    }

    /// Creates the context of a pass over one token in each row, without padding. `positions` holds the
    /// position of each row's token. KV caches must have capacity for the token.
    pub(crate) fn at_positions(config: &DecoderConfig, positions: &[usize], device: &Device) -> Self {
        let rope = Rope::new(config.head_dim, config.rope_theta, &config.rope_scaling);
        let rows: Vec<Vec<usize>> = positions.iter().map(|&position| vec![position]).collect();
        Self {
            rope_angles: rope.angles(&rows, device),
            cache_capacity: 0,
            counter: None,
            positions: Some(positions.to_vec()),
            row_lengths: None,
            causal_mask: CausalMask::at_positions(positions, device),
            is_token_bt1: None,
        }
    }

    /// Creates the context of a pass over one token in each row, without padding. `counter` holds the
    /// position of each row's token. KV caches have memory for `cache_capacity` tokens.
    pub(crate) fn at_counter(
        config: &DecoderConfig,
        counter: &PositionCounter,
        cache_capacity: usize,
        device: &Device,
    ) -> Self {
        let rope = Rope::new(config.head_dim, config.rope_theta, &config.rope_scaling);
        Self {
            rope_angles: rope.angles_from_counter(counter, cache_capacity, device),
            cache_capacity,
            counter: Some(counter.clone()),
            positions: None,
            row_lengths: None,
            causal_mask: CausalMask::at_counter(counter, device),
            is_token_bt1: None,
        }
    }

    /// Returns the device of the tensors.
    pub(crate) fn device(&self) -> &Device {
        self.causal_mask.device()
    }

    /// Returns the context of a batch that holds `times` copies of this batch, one whole copy after another.
    pub(crate) fn repeat(&self, times: usize) -> Self {
        let repeat = |rows: &Option<Vec<usize>>| rows.as_ref().map(|rows| rows.repeat(times));
        Self {
            rope_angles: self.rope_angles.repeat(times),
            cache_capacity: self.cache_capacity,
            counter: self.counter.clone(),
            positions: repeat(&self.positions),
            row_lengths: repeat(&self.row_lengths),
            causal_mask: self.causal_mask.repeat(times),
            is_token_bt1: self.is_token_bt1.as_ref().map(|rows| Tensor::cat(vec![rows.clone(); times], 0)),
        }
    }

    /// Returns the same context for tensors on an autodiff graph.
    pub fn autodiff(&self) -> Self {
        Self {
            rope_angles: self.rope_angles.autodiff(),
            causal_mask: self.causal_mask.autodiff(),
            is_token_bt1: self.is_token_bt1.clone().map(Tensor::autodiff),
            ..self.clone()
        }
    }

    /// Returns the state of a convolution over `x_btd` after the last token of each row. `next` is the state
    /// after the whole pass. Without right padding, both states are equal.
    pub(super) fn conv_state(&self, x_btd: Tensor<3>, next: ConvState) -> ConvState {
        match (&self.row_lengths, next.dims()[1]) {
            (None, _) | (_, 0) => next,
            (Some(lengths), num_inputs) => conv_state_after(x_btd, num_inputs, lengths),
        }
    }

    /// Sets `x_btd` to zero at padding tokens.
    pub(super) fn zero_padding(&self, x_btd: Tensor<3>) -> Tensor<3> {
        match &self.is_token_bt1 {
            Some(is_token) => {
                let is_token = is_token.clone().cast(x_btd.dtype());
                x_btd * is_token
            }
            None => x_btd,
        }
    }
}

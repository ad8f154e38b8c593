//! The KV cache: keys and values of past tokens, with capacity for further tokens.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};

use crate::overwrite::overwrite;
use crate::rope::RotaryAngles;

/// The keys and values of the past tokens of a full-attention layer. They are stored in two buffers,
/// `[b, g, capacity, k]`, of which the first `num_tokens` tokens are filled.
#[derive(Clone)]
pub struct KvCache {
    keys: Tensor<4>,
    values: Tensor<4>,
    num_tokens: usize,
}

impl KvCache {
    /// Returns a cache of these keys and values, `[b, g, t, k]` each, without capacity for further tokens.
    pub fn new(keys: Tensor<4>, values: Tensor<4>) -> Self {
        let num_tokens = keys.dims()[2];
        Self { keys, values, num_tokens }
    }

    /// Appends the keys and values of new tokens, `[b, g, t, k]` each. If the buffers are too small, copies
    /// the past tokens to new buffers. The new buffers have space for `capacity` tokens, or for exactly all
    /// tokens if `capacity` is too small.
    #[must_use]
    pub fn append(self, keys_bgtk: Tensor<4>, values_bgtk: Tensor<4>, capacity: usize) -> Self {
        let num_tokens = self.num_tokens + keys_bgtk.dims()[2];
        if num_tokens <= self.keys.dims()[2] {
            // burn writes in place if no other tensor shares the buffer.
            let keys = write(self.keys, keys_bgtk, self.num_tokens);
            let values = write(self.values, values_bgtk, self.num_tokens);
            return Self { keys, values, num_tokens };
        }
        let (keys, values) = self.keys_and_values();
        let extend = |old: Tensor<4>, new: Tensor<4>| {
            let [batch, heads, _, width] = new.dims();
            let spare = capacity.saturating_sub(num_tokens);
            let mut parts = vec![old, new];
            if spare > 0 {
                let place = (&parts[0].device(), parts[0].dtype());
                parts.push(Tensor::zeros([batch, heads, spare, width], place));
            }
            Tensor::cat(parts, 2)
        };
        Self { keys: extend(keys, keys_bgtk), values: extend(values, values_bgtk), num_tokens }
    }

    /// Rotates the queries and keys of `[q, k, v]` by `angles`. Writes the rotated keys and the values into
    /// the cache, starting at the position in the counter of `angles`. Returns the rotated queries and the
    /// cache.
    ///
    /// The cache must have capacity for the new tokens. [`num_tokens`](Self::num_tokens) is stale afterwards,
    /// since the counter is on the device and the host does not read it.
    ///
    /// If the counter holds several positions, each batch row has its own position.
    ///
    /// # Panics
    /// Panics if `angles` do not come from a position counter, or if another tensor shares a buffer.
    #[must_use]
    pub fn rotate_and_append(self, tokens: [Tensor<4>; 3], angles: &RotaryAngles) -> (Tensor<4>, Self) {
        let Self { keys, values, num_tokens } = self;
        let (queries, [keys, values]) = angles.rotate_and_append(tokens, [keys, values]);
        (queries, Self { keys, values, num_tokens })
    }

    /// Writes one new token into each batch row, at the row's position in `positions`. The keys and values of
    /// the new tokens are `[b, g, 1, k]` each. The cache must have capacity for these tokens.
    /// [`num_tokens`](Self::num_tokens) is stale afterwards, since rows can hold different numbers of tokens.
    #[must_use]
    pub fn write_at(self, keys_bg1k: Tensor<4>, values_bg1k: Tensor<4>, positions: &[usize]) -> Self {
        let Self { keys, values, num_tokens } = self;
        if positions.windows(2).all(|pair| pair[0] == pair[1]) {
            let write = |buffer, tokens| write(buffer, tokens, positions[0]);
            return Self { keys: write(keys, keys_bg1k), values: write(values, values_bg1k), num_tokens };
        }
        let write_rows = |buffer: Tensor<4>, tokens: Tensor<4>| {
            let rows = positions.iter().enumerate();
            rows.fold(buffer, |buffer, (row, &position)| {
                overwrite_row(buffer, row, tokens.clone().narrow(0, row, 1), position)
            })
        };
        Self { keys: write_rows(keys, keys_bg1k), values: write_rows(values, values_bg1k), num_tokens }
    }

    /// Returns an empty cache of `rows` batch rows with capacity for `capacity` tokens each. The heads,
    /// widths, dtypes and devices are those of this cache. The buffers are filled with zeros.
    #[must_use]
    pub fn empty_rows(&self, rows: usize, capacity: usize) -> Self {
        let zeros = |x: &Tensor<4>| {
            let [_, heads, _, width] = x.dims();
            Tensor::zeros([rows, heads, capacity, width], (&x.device(), x.dtype()))
        };
        Self { keys: zeros(&self.keys), values: zeros(&self.values), num_tokens: 0 }
    }

    /// Overwrites the beginning of batch row `row` with the first `num_tokens` tokens of batch row `from_row`
    /// of `from`. [`num_tokens`](Self::num_tokens) is stale afterwards.
    ///
    /// # Panics
    /// Panics if another tensor shares a buffer on a CUDA device.
    #[must_use]
    pub fn with_row_of(self, row: usize, from: &Self, from_row: usize, num_tokens: usize) -> Self {
        let copy = |to: Tensor<4>, from: &Tensor<4>| {
            let tokens = from.clone().narrow(0, from_row, 1).narrow(2, 0, num_tokens);
            overwrite_row(to, row, tokens, 0)
        };
        let Self { keys, values, num_tokens: stale } = self;
        Self { keys: copy(keys, &from.keys), values: copy(values, &from.values), num_tokens: stale }
    }

    /// Returns the cache of the batch rows `rows_b`, in that order, with the same capacity.
    #[must_use]
    pub fn select_rows(&self, rows_b: &Tensor<1, Int>) -> Self {
        let [keys, values] = [&self.keys, &self.values].map(|x| x.clone().select(0, rows_b.clone()));
        Self { keys, values, num_tokens: self.num_tokens }
    }

    /// Returns a copy of the tokens `tokens` of batch row `row`, without capacity for further tokens. The copy
    /// shares no memory with this cache.
    #[must_use]
    pub fn copy_tokens(&self, row: usize, tokens: Range<usize>) -> Self {
        let indices: Vec<i32> = tokens.clone().map(|token| token as i32).collect();
        let indices: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(indices, [tokens.len()]), &self.keys.device());
        // `select` always writes a new buffer, and `narrow` may return a view of the old buffer.
        let copy = |x: &Tensor<4>| x.clone().narrow(0, row, 1).select(2, indices.clone());
        Self { keys: copy(&self.keys), values: copy(&self.values), num_tokens: tokens.len() }
    }

    /// Returns a cache of the tokens of `parts`, in this order, with capacity for at least `capacity` tokens
    /// in total. Each part has the same batch rows.
    ///
    /// # Panics
    /// Panics if there are no parts.
    #[must_use]
    pub fn concat(parts: &[&Self], capacity: usize) -> Self {
        let num_tokens = parts.iter().map(|part| part.num_tokens).sum();
        let spare = capacity.saturating_sub(num_tokens);
        let concat = |of: fn((Tensor<4>, Tensor<4>)) -> Tensor<4>| {
            let mut tensors: Vec<Tensor<4>> = parts.iter().map(|part| of(part.keys_and_values())).collect();
            let [batch, heads, _, width] = tensors[0].dims();
            let place = (&tensors[0].device(), tensors[0].dtype());
            // A further part also makes sure that a single cache is copied.
            tensors.push(Tensor::zeros([batch, heads, spare.max(1), width], place));
            Tensor::cat(tensors, 2)
        };
        Self { keys: concat(|(keys, _)| keys), values: concat(|(_, values)| values), num_tokens }
    }

    /// Returns the cache with capacity for at least `capacity` tokens in total.
    #[must_use]
    pub fn with_capacity(self, capacity: usize) -> Self {
        let spare = capacity.saturating_sub(self.keys.dims()[2]);
        if spare == 0 {
            return self;
        }
        let extend = |x: Tensor<4>| {
            let [batch, heads, _, width] = x.dims();
            let zeros = Tensor::zeros([batch, heads, spare, width], (&x.device(), x.dtype()));
            Tensor::cat(vec![x, zeros], 2)
        };
        Self { keys: extend(self.keys), values: extend(self.values), num_tokens: self.num_tokens }
    }

    /// Returns the number of tokens in the cache.
    pub fn num_tokens(&self) -> usize {
        self.num_tokens
    }

    /// Returns the number of bytes that the tokens in the cache take, without the unused capacity.
    pub fn num_bytes(&self) -> u64 {
        let [batch, heads, _, width] = self.keys.dims();
        let value_width = self.values.dims()[3];
        (self.keys.dtype().size() * batch * heads * self.num_tokens * (width + value_width)) as u64
    }

    /// Returns the buffers of keys and values with their unused capacity, `[b, g, capacity, k]` each.
    pub(crate) fn buffers(&self) -> [Tensor<4>; 2] {
        [self.keys.clone(), self.values.clone()]
    }

    /// Returns the keys and the values of the tokens in the cache, `[b, g, s, k]` each.
    pub fn keys_and_values(&self) -> (Tensor<4>, Tensor<4>) {
        let filled = |x: &Tensor<4>| match x.dims()[2] == self.num_tokens {
            true => x.clone(),
            false => x.clone().narrow(2, 0, self.num_tokens),
        };
        (filled(&self.keys), filled(&self.values))
    }
}

fn write(buffer: Tensor<4>, tokens_bgtk: Tensor<4>, first: usize) -> Tensor<4> {
    let [batch, heads, time, width] = tokens_bgtk.dims();
    buffer.slice_assign([0..batch, 0..heads, first..first + time, 0..width], tokens_bgtk)
}

/// Writes `tokens_1gtk` into batch row `row` of `buffer`, from the token `first` on.
fn overwrite_row(buffer: Tensor<4>, row: usize, tokens_1gtk: Tensor<4>, first: usize) -> Tensor<4> {
    let [_, heads, time, width] = tokens_1gtk.dims();
    overwrite(buffer, [row..row + 1, 0..heads, first..first + time, 0..width], tokens_1gtk)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn a_cache_holds_the_same_tokens_with_any_capacity() {
        let device = Device::flex();
        let random = |time| Tensor::<4>::random([2, 3, time, 8], Distribution::Default, &device);
        let parts = [3, 1, 1, 4].map(|time| (random(time), random(time)));
        let cached = |capacity| {
            let mut parts = parts.clone().into_iter();
            let (keys, values) = parts.next().unwrap();
            parts.fold(KvCache::new(keys, values), |cache, (keys, values)| {
                cache.append(keys, values, capacity)
            })
        };
        let values = |x: Tensor<4>| -> Vec<f32> { x.into_data().try_to_vec().unwrap() };
        let all = parts.clone().map(|(keys, _)| keys).to_vec();
        for capacity in [0, 5, 9, 64] {
            let cache = cached(capacity);
            assert_eq!(cache.num_tokens(), 9);
            assert_eq!(cache.buffers()[0].dims()[2], capacity.max(9));
            assert_eq!(values(cache.keys_and_values().0), values(Tensor::cat(all.clone(), 2)), "{capacity}");
            assert_eq!(
                values(cache.keys_and_values().1),
                values(cached(0).keys_and_values().1),
                "{capacity}"
            );
        }
    }

    #[test]
    fn rows_of_a_cache_can_hold_different_numbers_of_tokens() {
        let device = Device::flex();
        let random = |rows, time| Tensor::<4>::random([rows, 3, time, 8], Distribution::Default, &device);
        let prompts = KvCache::new(random(2, 5), random(2, 5));
        let (keys, values) = prompts.keys_and_values();
        let cache = prompts.empty_rows(3, 7).with_row_of(2, &prompts, 1, 5).with_row_of(0, &prompts, 0, 2);
        for positions in [[2, 0, 5], [6, 6, 6]] {
            let (next_keys, next_values) = (random(3, 1), random(3, 1));
            let written = cache.clone().write_at(next_keys.clone(), next_values.clone(), &positions);
            let sources = [(&keys, &next_keys), (&values, &next_values)];
            for (buffer, (prompt, next)) in written.buffers().into_iter().zip(sources) {
                let part =
                    |row, first, time| buffer.clone().narrow(0, row, 1).narrow(2, first, time).into_data();
                let of_prompt = |row, time| prompt.clone().narrow(0, row, 1).narrow(2, 0, time).into_data();
                assert_eq!(part(0, 0, 2), of_prompt(0, 2));
                assert_eq!(part(2, 0, 5), of_prompt(1, 5));
                for (row, &position) in positions.iter().enumerate() {
                    assert_eq!(part(row, position, 1), next.clone().narrow(0, row, 1).into_data());
                }
            }
        }
    }

    #[test]
    fn copied_tokens_of_a_row_join_to_a_cache_of_that_row() {
        let device = Device::flex();
        let random = || Tensor::<4>::random([2, 3, 9, 8], Distribution::Default, &device);
        let cache = KvCache::new(random(), random());
        let [first, second] = [0..4, 4..9].map(|tokens| cache.copy_tokens(1, tokens));
        assert_eq!((first.num_tokens(), second.num_tokens()), (4, 5));
        let (keys, values) = cache.keys_and_values();
        let row_1 = |x: &Tensor<4>| x.clone().narrow(0, 1, 1).into_data();
        for capacity in [0, 9, 20] {
            let joined = KvCache::concat(&[&first, &second], capacity);
            assert_eq!(joined.num_tokens(), 9);
            assert!(joined.buffers()[0].dims()[2] >= capacity);
            let (joined_keys, joined_values) = joined.keys_and_values();
            assert_eq!(joined_keys.into_data(), row_1(&keys), "{capacity}");
            assert_eq!(joined_values.into_data(), row_1(&values), "{capacity}");
        }
    }
}

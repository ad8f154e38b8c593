//! The KV cache: keys and values of past tokens, with capacity for further tokens.

use burn::tensor::Tensor;

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

    /// Appends the keys and values of tokens, `[b, g, t, k]` each. If the buffers are too small, copies them
    /// to larger buffers. The larger buffers have space for `capacity` tokens, or for all tokens if
    /// `capacity` is too small.
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
    /// # Panics
    /// Panics if `angles` do not come from a position counter, or if another tensor shares a buffer.
    #[must_use]
    pub fn rotate_and_append(self, tokens: [Tensor<4>; 3], angles: &RotaryAngles) -> (Tensor<4>, Self) {
        let Self { keys, values, num_tokens } = self;
        let (queries, [keys, values]) = angles.rotate_and_append(tokens, [keys, values]);
        (queries, Self { keys, values, num_tokens })
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
}

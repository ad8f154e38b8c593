//! Keys and values of the tokens so far, with room for those to come.

use burn::tensor::Tensor;

use super::rope::RotaryAngles;

/// What full attention remembers, `[b, g, room, k]` each, of which the first `len` tokens are there.
#[derive(Clone)]
pub struct KvCache {
    keys: Tensor<4>,
    values: Tensor<4>,
    len: usize,
}

impl KvCache {
    /// The cache of these tokens, `[b, g, t, k]` each, without room for more.
    pub fn new(keys: Tensor<4>, values: Tensor<4>) -> Self {
        let len = keys.dims()[2];
        Self { keys, values, len }
    }

    /// The cache with these tokens after its own. Where it has no room it gets room for `room` tokens in all, or for just
    /// as many as there are.
    #[must_use]
    pub fn append(self, keys_bgtk: Tensor<4>, values_bgtk: Tensor<4>, room: usize) -> Self {
        let len = self.len + keys_bgtk.dims()[2];
        if len <= self.keys.dims()[2] {
            // In place, where nobody else holds the cache.
            let keys = write(self.keys, keys_bgtk, self.len);
            return Self { keys, values: write(self.values, values_bgtk, self.len), len };
        }
        let (keys, values) = self.tokens();
        let extend = |old: Tensor<4>, new: Tensor<4>| {
            let [batch, heads, _, width] = new.dims();
            let spare = room.saturating_sub(len);
            let mut parts = vec![old, new];
            if spare > 0 {
                let place = (&parts[0].device(), parts[0].dtype());
                parts.push(Tensor::zeros([batch, heads, spare, width], place));
            }
            Tensor::cat(parts, 2)
        };
        Self { keys: extend(keys, keys_bgtk), values: extend(values, values_bgtk), len }
    }

    /// Rotated queries, and the cache with these keys, rotated too, and values from where the device has counted to; it has room
    /// for them, and its own length is not told any more.
    #[must_use]
    pub fn rotate_and_append(self, [q, k, v]: [Tensor<4>; 3], angles: &RotaryAngles) -> (Tensor<4>, Self) {
        let Self { keys, values, len } = self;
        let (queries, (keys, values)) = angles.rotate_and_append([q, k, v], (keys, values));
        (queries, Self { keys, values, len })
    }

    /// The cache with room for `room` tokens in all.
    #[must_use]
    pub fn with_capacity(self, room: usize) -> Self {
        let spare = room.saturating_sub(self.keys.dims()[2]);
        if spare == 0 {
            return self;
        }
        let extend = |x: Tensor<4>| {
            let [batch, heads, _, width] = x.dims();
            let zeros = Tensor::zeros([batch, heads, spare, width], (&x.device(), x.dtype()));
            Tensor::cat(vec![x, zeros], 2)
        };
        Self { keys: extend(self.keys), values: extend(self.values), len: self.len }
    }

    /// Tokens that are there.
    pub fn num_tokens(&self) -> usize {
        self.len
    }

    /// Bytes of the tokens that are there, without the room behind them.
    pub fn num_bytes(&self) -> u64 {
        let [batch, heads, _, width] = self.keys.dims();
        let value_width = self.values.dims()[3];
        (self.keys.dtype().size() * batch * heads * self.len * (width + value_width)) as u64
    }

    /// Keys and values with the room behind them, `[b, g, room, k]`.
    pub(super) fn whole(&self) -> (Tensor<4>, Tensor<4>) {
        (self.keys.clone(), self.values.clone())
    }

    /// Keys and values, `[b, g, s, k]`.
    pub fn tokens(&self) -> (Tensor<4>, Tensor<4>) {
        let those_there = |x: &Tensor<4>| match x.dims()[2] == self.len {
            true => x.clone(),
            false => x.clone().narrow(2, 0, self.len),
        };
        (those_there(&self.keys), those_there(&self.values))
    }
}

fn write(cache: Tensor<4>, tokens_bgtk: Tensor<4>, at: usize) -> Tensor<4> {
    let [batch, heads, time, width] = tokens_bgtk.dims();
    cache.slice_assign([0..batch, 0..heads, at..at + time, 0..width], tokens_bgtk)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn tokens_are_the_same_with_capacity_and_without() {
        let device = Device::flex();
        let random = |time| Tensor::<4>::random([2, 3, time, 8], Distribution::Default, &device);
        let parts = [3, 1, 1, 4].map(|time| (random(time), random(time)));
        let cached = |room| {
            let mut parts = parts.clone().into_iter();
            let (keys, values) = parts.next().unwrap();
            parts.fold(KvCache::new(keys, values), |cache, (keys, values)| cache.append(keys, values, room))
        };
        let values = |x: Tensor<4>| -> Vec<f32> { x.into_data().try_to_vec().unwrap() };
        let all = parts.clone().map(|(keys, _)| keys).to_vec();
        for room in [0, 5, 9, 64] {
            let cache = cached(room);
            assert_eq!(cache.num_tokens(), 9);
            assert_eq!(cache.whole().0.dims()[2], room.max(9));
            assert_eq!(values(cache.tokens().0), values(Tensor::cat(all.clone(), 2)), "{room}");
            assert_eq!(values(cache.tokens().1), values(cached(0).tokens().1), "{room}");
        }
    }
}

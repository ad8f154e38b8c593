use burn::tensor::{Device, Tensor};

use super::{PositionCounter, RecordedStep, TokenBuffer};
use crate::attention::{CausalMask, attention};
use crate::cuda_testing::{
    assert_close, cuda_device, fill_free_memory_with_nan, for_each_dtype, random_bf16_exact, to_device,
};
use crate::kv_cache::KvCache;
use crate::rope::{Rope, RopeScaling};

/// The positions of three rows of a cache with capacity for 700 tokens.
const POSITIONS: [usize; 3] = [0, 613, 41];

#[test]
fn rows_at_their_own_positions_match_the_portable_form_of_each_row() {
    for_each_dtype(|device, dtype, bound| {
        for (heads, groups, width) in [(4, 4, 32), (8, 2, 64), (6, 2, 96), (12, 2, 128)] {
            let random = |heads, time| random_bf16_exact([3, heads, time, width], -2.0, 2.0);
            let past = [random(groups, 700), random(groups, 700)];
            let tokens = [random(heads, 1), random(groups, 1), random(groups, 1)];
            let rope = Rope::new(width, 1e4, &RopeScaling::None);
            let truth = POSITIONS.iter().enumerate().map(|(row, &position)| {
                let of_row = |x: &Tensor<4>| x.clone().narrow(0, row, 1);
                let angles = rope.angles(&[vec![position]], &Device::flex());
                let [q, k, v] = tokens.each_ref().map(of_row);
                let (q, k) = (Rope::apply(q, &angles), Rope::apply(k, &angles));
                let [keys, values] = [(&past[0], k), (&past[1], v)].map(|(past, new)| match position {
                    0 => new,
                    _ => Tensor::cat(vec![of_row(past).narrow(2, 0, position), new], 2),
                });
                let mask = CausalMask::new(1, position, None, &Device::flex());
                attention(q, &KvCache::new(keys, values), &mask)
            });
            let truth = Tensor::cat(truth.collect(), 0);
            fill_free_memory_with_nan(device);
            let place = |x: &Tensor<4>| to_device(device, dtype, x);
            let counter = PositionCounter::new(&[5, 613, 5], device).unwrap();
            counter.set(0, POSITIONS[0]);
            counter.set(2, POSITIONS[2] - 1);
            // The second row is at the last position that `advance` allows.
            counter.advance(POSITIONS[1]);
            counter.set(0, POSITIONS[0]);
            let angles = rope.angles_from_counter(&counter, 700, device);
            let cache = KvCache::new(place(&past[0]), place(&past[1]));
            let (q, cache) = cache.rotate_and_append(tokens.each_ref().map(place), &angles);
            let found = attention(q, &cache, &CausalMask::at_counter(&counter, device));
            assert_close(&format!("rows {heads}/{groups} {width} {dtype:?}"), &found, &truth, bound);
        }
    });
}

#[test]
fn a_history_holds_the_tokens_of_replayed_steps() {
    let Some(device) = cuda_device() else { return };
    let mut tokens = TokenBuffer::new(&[3, 4, 5], 4, &device);
    let logits = Tensor::<2>::from_data([[0.0, 1.0, 0.5], [2.0, 0.0, 0.0], [f32::NAN; 3]], &device);
    let run = |tokens: &TokenBuffer| {
        crate::argmax_into(logits.clone(), tokens.tensor());
    };
    // The first run compiles the kernel, because a kernel cannot be compiled during a recording.
    run(&tokens);
    tokens.set_all(&[3, 4, 5]);
    let step = RecordedStep::record(&device, || run(&tokens));
    tokens.record();
    step.replay();
    tokens.record();
    tokens.set(1, 9);
    tokens.record();
    assert_eq!(tokens.take_history(), [vec![3, 4, 5], vec![1, 0, u32::MAX], vec![1, 9, u32::MAX]]);
    tokens.set_all(&[7, 8, 9]);
    tokens.record();
    assert_eq!(tokens.take_history(), [[7, 8, 9]]);
    assert!(tokens.take_history().is_empty());
}

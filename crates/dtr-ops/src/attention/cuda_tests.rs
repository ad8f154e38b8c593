use burn::tensor::{Device, Tensor};

use super::{CausalMask, attention};
use crate::cuda_testing::{
    F32_TRAINING_BOUND, assert_close, assert_gradients_close, assert_gradients_close_in, cuda_device,
    fill_free_memory_with_nan, for_each_dtype, random_beyond_tf32, random_bf16_exact, to_device,
};
use crate::kv_cache::KvCache;

#[test]
fn attention_over_caches_matches_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        let cases = [
            (1, 4, 2, 1, 0, 64, false),
            (2, 8, 2, 1, 700, 128, false),
            (2, 8, 2, 4, 64, 64, true),
            (3, 4, 4, 63, 0, 32, true),
            (2, 8, 2, 130, 65, 128, true),
            (1, 32, 8, 257, 0, 128, false),
            (2, 6, 2, 65, 300, 96, true),
        ];
        for (batch, heads, groups, time, past, width, is_padded) in cases {
            let keys = past + time;
            let q = random_bf16_exact([batch, heads, time, width], -2.0, 2.0);
            let k = random_bf16_exact([batch, groups, keys, width], -2.0, 2.0);
            let v = random_bf16_exact([batch, groups, keys, width], -2.0, 2.0);
            let pads = is_padded.then(|| (0..batch).map(|row| row * keys / 3).collect::<Vec<_>>());
            let mask = |device: &Device| CausalMask::new(time, past, pads.as_deref(), device);
            let flex = Device::flex();
            let truth = attention(q.clone(), &KvCache::new(k.clone(), v.clone()), &mask(&flex));
            fill_free_memory_with_nan(device);
            let place = |x: &Tensor<4>| to_device(device, dtype, x);
            // The cache has unused capacity after the last key. Kernels must not read it.
            let capacity = if past == 0 { 0 } else { keys + 37 };
            let first = |x: &Tensor<4>, count| place(&x.clone().narrow(2, 0, count));
            let cache = match past {
                0 => KvCache::new(place(&k), place(&v)),
                past => KvCache::new(first(&k, past), first(&v, past)).append(
                    place(&k.clone().narrow(2, past, time)),
                    place(&v.clone().narrow(2, past, time)),
                    capacity,
                ),
            };
            let found = attention(place(&q), &cache, &mask(device));
            let label = format!("attention {batch} {heads}/{groups} {time} after {past} {width} {dtype:?}");
            assert_close(&label, &found, &truth, bound);
        }
    });
}

#[test]
fn training_computes_in_true_f32() {
    let Some(device) = cuda_device() else { return };
    for (batch, heads, groups, time, width) in [(1, 4, 2, 7, 32), (3, 4, 4, 65, 64), (2, 8, 2, 130, 32)] {
        let inputs = [heads, groups, groups].map(|heads| random_beyond_tf32([batch, heads, time, width]));
        let run = |[q, k, v]: [Tensor<4>; 3], device: &Device| {
            let mask = CausalMask::new(time, 0, None, device).autodiff();
            attention(q, &KvCache::new(k, v), &mask)
        };
        let label = format!("attention {batch} {heads}/{groups} {time} {width}");
        assert_gradients_close(F32_TRAINING_BOUND, &label, &device, inputs, run, run);
    }
}

#[test]
fn training_with_padding_matches_the_portable_form() {
    for_each_dtype(|device, dtype, bound| {
        for (batch, heads, groups, time, width) in [(1, 4, 2, 7, 32), (3, 4, 4, 64, 64), (2, 6, 2, 130, 32)] {
            let inputs = [heads, groups, groups]
                .map(|heads| random_bf16_exact([batch, heads, time, width], -2.0, 2.0));
            let pads: Vec<usize> = (0..batch).map(|row| row * time / 3).collect();
            let run = |[q, k, v]: [Tensor<4>; 3], device: &Device| {
                let mask = CausalMask::new(time, 0, Some(&pads), device).autodiff();
                attention(q, &KvCache::new(k, v), &mask)
            };
            let label = format!("padded attention {batch} {heads}/{groups} {time} {width} {dtype:?}");
            assert_gradients_close_in((dtype, bound), &label, device, inputs, run, run);
        }
    });
}

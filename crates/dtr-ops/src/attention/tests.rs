use burn::tensor::{Device, Tensor};

use super::{CausalMask, attention, attention_by_scores, naive};
use crate::heads::repeat_heads;
use crate::kv_cache::KvCache;
use crate::testing::{assert_close, random, to_f32};

type Form = fn(Tensor<4>, Tensor<4>, Tensor<4>, &CausalMask) -> Tensor<4>;

fn fused(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &CausalMask) -> Tensor<4> {
    attention(q, &KvCache::new(k, v), mask)
}

#[test]
fn every_form_matches_attention_over_repeated_heads() {
    let (b, h, g, t, k) = (2, 6, 2, 13, 8);
    let q = random("q", [b, h, t, k], -2.0, 2.0);
    let keys = random("k", [b, g, t, k], -2.0, 2.0);
    let values = random("v", [b, g, t, k], -2.0, 2.0);
    let mask = CausalMask::new(t, 0, None, &Device::flex());
    let expected =
        naive::attention(&q, &repeat_heads(keys.clone(), h / g), &repeat_heads(values.clone(), h / g));
    for (form, attention) in [("one pass", fused as Form), ("scores", attention_by_scores)] {
        let found = attention(to_f32(&q), to_f32(&keys), to_f32(&values), &mask);
        assert_close(&format!("attention by {form}"), &found, &expected, 1e-5);
    }
}

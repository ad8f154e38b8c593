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

#[test]
fn every_form_supports_rows_at_their_own_positions() {
    let (b, h, g, k, capacity) = (3, 6, 2, 8, 50);
    let positions = [0, 49, 17];
    let q = random("q", [b, h, 1, k], -2.0, 2.0);
    let keys = random("k", [b, g, capacity, k], -2.0, 2.0);
    let values = random("v", [b, g, capacity, k], -2.0, 2.0);
    let mask = CausalMask::at_positions(&positions, &Device::flex());
    let expected = positions.iter().enumerate().map(|(row, &position)| {
        let part = |x: &Tensor<4>| repeat_heads(x.clone().narrow(0, row, 1), h / g);
        // The reference needs as many queries as keys. Only its last query is compared.
        let queries = q.clone().narrow(0, row, 1).expand([1, h, position + 1, k]);
        let [keys, values] = [&keys, &values].map(|x| part(x).narrow(2, 0, position + 1));
        naive::attention(&queries, &keys, &values).narrow(2, position, 1)
    });
    let expected = Tensor::cat(expected.collect(), 0);
    let fused = fused(to_f32(&q), to_f32(&keys), to_f32(&values), &mask);
    assert_close("attention in one pass", &fused, &expected, 1e-5);
    // No kernel supports f64.
    let by_scores = attention(q, &KvCache::new(keys, values), &mask);
    assert_close("attention by scores", &by_scores, &expected, 1e-9);
}

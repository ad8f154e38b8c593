//! Pairs of SIMD vectors: loads, stores and arithmetic.

use pulp::Simd;

/// Two SIMD vectors that together hold neighbouring numbers. If a slice has fewer numbers than the pair has
/// lanes, [`load`] sets the other lanes to zero.
pub(crate) type VectorPair<S> = [<S as Simd>::f32s; 2];

/// Returns how many numbers a [`VectorPair`] holds.
#[inline(always)]
pub(crate) fn lanes_per_pair<S: Simd>() -> usize {
    2 * S::F32_LANES
}

#[inline(always)]
pub(crate) fn zeros<S: Simd>(simd: S) -> VectorPair<S> {
    [simd.splat_f32s(0.0); 2]
}

/// Loads a slice of at most [`lanes_per_pair`] numbers.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, x: &[f32]) -> VectorPair<S> {
    let (first, second) = x.split_at(x.len().min(S::F32_LANES));
    [simd.partial_load_f32s(first), simd.partial_load_f32s(second)]
}

/// Stores the leading lanes of `x` in `out`, which holds at most [`lanes_per_pair`] numbers.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, out: &mut [f32], x: VectorPair<S>) {
    let middle = out.len().min(S::F32_LANES);
    let (first, second) = out.split_at_mut(middle);
    simd.partial_store_f32s(first, x[0]);
    simd.partial_store_f32s(second, x[1]);
}

/// Returns `Σ a[i] b[i]`.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: VectorPair<S>, b: VectorPair<S>) -> f32 {
    simd.reduce_sum_f32s(simd.mul_add_e_f32s(a[1], b[1], simd.mul_f32s(a[0], b[0])))
}

/// Returns `out + factor · x`.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(
    simd: S,
    out: VectorPair<S>,
    factor: f32,
    x: VectorPair<S>,
) -> VectorPair<S> {
    let factor = simd.splat_f32s(factor);
    [simd.mul_add_e_f32s(factor, x[0], out[0]), simd.mul_add_e_f32s(factor, x[1], out[1])]
}

/// Returns `out + a · b`, element by element.
#[inline(always)]
pub(crate) fn add_product<S: Simd>(
    simd: S,
    out: VectorPair<S>,
    a: VectorPair<S>,
    b: VectorPair<S>,
) -> VectorPair<S> {
    [simd.mul_add_e_f32s(a[0], b[0], out[0]), simd.mul_add_e_f32s(a[1], b[1], out[1])]
}

/// Returns `factor · x`.
#[inline(always)]
pub(crate) fn scale<S: Simd>(simd: S, factor: f32, x: VectorPair<S>) -> VectorPair<S> {
    let factor = simd.splat_f32s(factor);
    [simd.mul_f32s(factor, x[0]), simd.mul_f32s(factor, x[1])]
}

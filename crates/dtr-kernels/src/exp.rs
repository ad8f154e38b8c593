//! The exponential function on SIMD vectors.

use pulp::{Arch, Simd, WithSimd};

/// Returns `e^x` of each lane, with an error of at most two units in the last place.
///
/// The range reduction by multiples of `ln 2` and the polynomial are those of `expf` in the Cephes library.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// 1.5 · 2^23. After the addition of this number to `y`, the low bits of the sum hold the integer nearest
    /// to `y`.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    let splat = |x: f32| simd.splat_f32s(x);
    // Clamping `x` keeps the exponents of the powers of 2 in range. For very low `x`, `e^x` becomes 0. For
    // very high `x`, `e^x` becomes infinite. NaN stays NaN.
    let x = simd.max_f32s(splat(-105.0), x);
    let x = simd.min_f32s(splat(89.0), x);
    let rounded = simd.mul_add_e_f32s(x, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let integer = simd.sub_f32s(rounded, splat(ROUND));
    let rest = simd.mul_add_e_f32s(integer, splat(-LN_2_HIGH), x);
    let rest = simd.mul_add_e_f32s(integer, splat(-LN_2_LOW), rest);
    let mut sum = splat(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        sum = simd.mul_add_e_f32s(sum, rest, splat(*coefficient));
    }
    let fraction = simd.mul_add_e_f32s(sum, simd.mul_f32s(rest, rest), simd.add_f32s(rest, splat(1.0)));
    // 2^integer may be too small or too large for an f32, so it is split into two powers of 2. `both` is the
    // sum of the biased exponents of the two powers.
    let offset = simd.splat_u32s(254_u32.wrapping_sub(ROUND.to_bits()));
    let both = simd.add_u32s(simd.transmute_u32s_f32s(rounded), offset);
    let first = simd.wrapping_dyn_shr_u32s(both, simd.splat_u32s(1));
    let second = simd.sub_u32s(both, first);
    let power = |exponent: S::u32s| {
        simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23)))
    };
    simd.mul_f32s(simd.mul_f32s(fraction, power(first)), power(second))
}

/// Returns `e^x` of each number of a slice.
pub(crate) fn exp_slice(x: &[f32]) -> Vec<f32> {
    struct ExpSlice<'a>(&'a [f32]);

    impl WithSimd for ExpSlice<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut powers = vec![0.0; self.0.len()];
            for (powers, x) in powers.chunks_mut(S::F32_LANES).zip(self.0.chunks(S::F32_LANES)) {
                simd.partial_store_f32s(powers, exp(simd, simd.partial_load_f32s(x)));
            }
            powers
        }
    }

    Arch::new().dispatch(ExpSlice(x))
}

//! Sums and products over neighbouring columns, in the processor's own vectors.

use pulp::Simd;

/// Neighbouring columns of one row, two vectors of them; where a row has fewer left, the rest are zero.
pub(crate) type Lanes<S> = [<S as Simd>::f32s; 2];

/// The number of columns side by side.
#[inline(always)]
pub(crate) fn count<S: Simd>() -> usize {
    2 * S::F32_LANES
}

/// Zeros.
#[inline(always)]
pub(crate) fn zeros<S: Simd>(simd: S) -> Lanes<S> {
    [simd.splat_f32s(0.0); 2]
}

/// At most [`count`] numbers.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, x: &[f32]) -> Lanes<S> {
    let (first, second) = x.split_at(x.len().min(S::F32_LANES));
    [simd.partial_load_f32s(first), simd.partial_load_f32s(second)]
}

/// Puts at most [`count`] numbers back.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, out: &mut [f32], x: Lanes<S>) {
    let middle = out.len().min(S::F32_LANES);
    let (first, second) = out.split_at_mut(middle);
    simd.partial_store_f32s(first, x[0]);
    simd.partial_store_f32s(second, x[1]);
}

/// `Σ a[i] b[i]`.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: Lanes<S>, b: Lanes<S>) -> f32 {
    simd.reduce_sum_f32s(simd.mul_add_e_f32s(a[1], b[1], simd.mul_f32s(a[0], b[0])))
}

/// `out + factor · x`.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(simd: S, out: Lanes<S>, factor: f32, x: Lanes<S>) -> Lanes<S> {
    let factor = simd.splat_f32s(factor);
    [simd.mul_add_e_f32s(factor, x[0], out[0]), simd.mul_add_e_f32s(factor, x[1], out[1])]
}

/// `out + a · b`, element by element.
#[inline(always)]
pub(crate) fn add_product<S: Simd>(simd: S, out: Lanes<S>, a: Lanes<S>, b: Lanes<S>) -> Lanes<S> {
    [simd.mul_add_e_f32s(a[0], b[0], out[0]), simd.mul_add_e_f32s(a[1], b[1], out[1])]
}

/// `factor · x`.
#[inline(always)]
pub(crate) fn scaled<S: Simd>(simd: S, factor: f32, x: Lanes<S>) -> Lanes<S> {
    let factor = simd.splat_f32s(factor);
    [simd.mul_f32s(factor, x[0]), simd.mul_f32s(factor, x[1])]
}

/// `e^x` to two units in the last place.
///
/// The reduction by multiples of `ln 2` and the polynomial are those of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// Adding it leaves the nearest whole number in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    let splat = |x: f32| simd.splat_f32s(x);
    // Below is 0 and above infinity, by way of powers of two that still fit. NaN stays.
    let x = simd.max_f32s(splat(-105.0), x);
    let x = simd.min_f32s(splat(89.0), x);
    let rounded = simd.mul_add_e_f32s(x, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let whole = simd.sub_f32s(rounded, splat(ROUND));
    let rest = simd.mul_add_e_f32s(whole, splat(-LN_2_HIGH), x);
    let rest = simd.mul_add_e_f32s(whole, splat(-LN_2_LOW), rest);
    let mut sum = splat(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        sum = simd.mul_add_e_f32s(sum, rest, splat(*coefficient));
    }
    let fraction = simd.mul_add_e_f32s(sum, simd.mul_f32s(rest, rest), simd.add_f32s(rest, splat(1.0)));
    // 2^whole in two factors, since 2^-150 alone is no number: their biased exponents add up.
    let offset = simd.splat_u32s(254_u32.wrapping_sub(ROUND.to_bits()));
    let both = simd.add_u32s(simd.transmute_u32s_f32s(rounded), offset);
    let first = simd.wrapping_dyn_shr_u32s(both, simd.splat_u32s(1));
    let second = simd.sub_u32s(both, first);
    let power = |exponent: S::u32s| {
        simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23)))
    };
    simd.mul_f32s(simd.mul_f32s(fraction, power(first)), power(second))
}

/// `e^x` of each number.
#[inline(always)]
pub(crate) fn exps<S: Simd>(simd: S, x: &[f32]) -> Vec<f32> {
    let mut powers = vec![0.0; x.len()];
    for (powers, x) in powers.chunks_mut(S::F32_LANES).zip(x.chunks(S::F32_LANES)) {
        simd.partial_store_f32s(powers, exp(simd, simd.partial_load_f32s(x)));
    }
    powers
}

/// A run of at most [`count`] columns of matrices with `width` columns.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    first: usize,
    count: usize,
    width: usize,
}

impl Columns {
    /// The run that begins at column `first`.
    #[inline(always)]
    pub(crate) fn from<S: Simd>(first: usize, width: usize) -> Self {
        Self { first, count: count::<S>().min(width - first), width }
    }

    /// These columns of row `row`.
    #[inline(always)]
    pub(crate) fn load<S: Simd>(self, simd: S, matrix: &[f32], row: usize) -> Lanes<S> {
        let start = row * self.width + self.first;
        load(simd, &matrix[start..start + self.count])
    }

    /// Puts them back.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(self, simd: S, matrix: &mut [f32], row: usize, lanes: Lanes<S>) {
        let start = row * self.width + self.first;
        store(simd, &mut matrix[start..start + self.count], lanes);
    }

    /// These columns of all rows.
    #[inline(always)]
    pub(crate) fn load_all<S: Simd>(self, simd: S, matrix: &[f32]) -> Vec<Lanes<S>> {
        let mut rows = vec![zeros(simd); matrix.len() / self.width];
        for (row, lanes) in rows.iter_mut().enumerate() {
            *lanes = self.load(simd, matrix, row);
        }
        rows
    }

    /// Puts them back.
    #[inline(always)]
    pub(crate) fn store_all<S: Simd>(self, simd: S, matrix: &mut [f32], rows: &[Lanes<S>]) {
        for (row, lanes) in rows.iter().enumerate() {
            self.store(simd, matrix, row, *lanes);
        }
    }
}

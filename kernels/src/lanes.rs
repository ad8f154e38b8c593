//! Sums and products over a fixed number of lanes, whatever the processor's own width.

/// Lanes worked on side by side.
pub(crate) const LANES: usize = 32;

/// Neighbouring columns of one row; where a row has fewer left, the rest are zero.
pub(crate) type Lanes = [f32; LANES];

/// `Σ x[i]`, as a tree.
#[inline(always)]
pub(crate) fn sum(mut x: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            x[lane] += x[lane + width];
        }
        width /= 2;
    }
    x[0]
}

/// `Σ a[i] b[i]`.
#[inline(always)]
pub(crate) fn dot(a: &Lanes, b: &Lanes) -> f32 {
    let mut products = *a;
    for (product, b) in products.iter_mut().zip(b) {
        *product *= b;
    }
    sum(products)
}

/// `out[i] += factor · x[i]`.
#[inline(always)]
pub(crate) fn add_scaled(out: &mut Lanes, factor: f32, x: &Lanes) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = factor.mul_add(*x, *out);
    }
}

/// `out[i] += a[i] · b[i]`.
#[inline(always)]
pub(crate) fn add_product(out: &mut Lanes, a: &Lanes, b: &Lanes) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a.mul_add(*b, *out);
    }
}

/// `out[i] *= factor`.
#[inline(always)]
pub(crate) fn scale(out: &mut Lanes, factor: f32) {
    for out in out {
        *out *= factor;
    }
}

/// `e^x` to two units in the last place, in steps that any processor's vectors can take.
///
/// The reduction by multiples of `ln 2` and the polynomial are those of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it leaves the nearest whole number in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    // Below is 0 and above infinity, by way of numbers whose exponents still fit.
    let x = x.clamp(-105.0, 89.0);
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let power = rounded.to_bits() as i32 - ROUND.to_bits() as i32;
    let whole = rounded - ROUND;
    let rest = whole.mul_add(-LN_2_LOW, whole.mul_add(-LN_2_HIGH, x));
    let mut sum = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        sum = sum.mul_add(rest, *coefficient);
    }
    let fraction = sum.mul_add(rest * rest, rest) + 1.0;
    // In two factors, since 2^-150 alone is no number.
    let half = power >> 1;
    let two_to = |power: i32| f32::from_bits(((power + 127) << 23) as u32);
    fraction * two_to(half) * two_to(power - half)
}

/// `e^x` of each.
#[inline(always)]
pub(crate) fn exps(x: &[f32]) -> Vec<f32> {
    let mut powers = vec![0.0; x.len()];
    for (power, x) in powers.iter_mut().zip(x) {
        *power = exp(*x);
    }
    powers
}

/// A run of at most [`LANES`] columns of matrices with `width` columns.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    first: usize,
    count: usize,
    width: usize,
}

impl Columns {
    /// All columns of a matrix with `width` of them, run by run.
    pub(crate) fn of(width: usize) -> impl Iterator<Item = Self> {
        (0..width).step_by(LANES).map(move |first| Self { first, count: LANES.min(width - first), width })
    }

    /// These columns of row `row`.
    #[inline(always)]
    pub(crate) fn load(self, matrix: &[f32], row: usize) -> Lanes {
        let start = row * self.width + self.first;
        let mut lanes = [0.0; LANES];
        if self.count == LANES {
            lanes.copy_from_slice(&matrix[start..start + LANES]);
        } else {
            lanes[..self.count].copy_from_slice(&matrix[start..start + self.count]);
        }
        lanes
    }

    /// Puts them back.
    #[inline(always)]
    pub(crate) fn store(self, matrix: &mut [f32], row: usize, lanes: &Lanes) {
        let start = row * self.width + self.first;
        if self.count == LANES {
            matrix[start..start + LANES].copy_from_slice(lanes);
        } else {
            matrix[start..start + self.count].copy_from_slice(&lanes[..self.count]);
        }
    }

    /// These columns of all rows.
    #[inline(always)]
    pub(crate) fn load_all(self, matrix: &[f32]) -> Vec<Lanes> {
        let mut rows = vec![[0.0; LANES]; matrix.len() / self.width];
        for (row, lanes) in rows.iter_mut().enumerate() {
            *lanes = self.load(matrix, row);
        }
        rows
    }

    /// Puts them back.
    #[inline(always)]
    pub(crate) fn store_all(self, matrix: &mut [f32], rows: &[Lanes]) {
        for (row, lanes) in rows.iter().enumerate() {
            self.store(matrix, row, lanes);
        }
    }
}

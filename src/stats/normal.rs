//! Quantiles of the standard normal distribution.
//!
//! Algorithm AS 241 (PPND16) of M. J. Wichura, "The percentage points of the normal distribution",
//! Applied Statistics 37 (1988): three rational approximations, good to about one part in 1e16.

// Coefficients of ascending powers. Centre: |p - 1/2| <= 0.425; the tails are approximated in
// r = sqrt(-ln p), on both sides of r = 5.
const CENTRE_TOP: [f64; 8] = [
    3.387_132_872_796_366_5,
    133.141_667_891_784_38,
    1_971.590_950_306_551_3,
    13_731.693_765_509_46,
    45_921.953_931_549_87,
    67_265.770_927_008_7,
    33_430.575_583_588_13,
    2_509.080_928_730_122_7,
];
const CENTRE_BOTTOM: [f64; 8] = [
    1.0,
    42.313_330_701_600_91,
    687.187_007_492_057_9,
    5_394.196_021_424_751,
    21_213.794_301_586_597,
    39_307.895_800_092_71,
    28_729.085_735_721_943,
    5_226.495_278_852_854,
];
const TAIL_TOP: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    0.241_780_725_177_450_6,
    0.022_723_844_989_269_184,
    0.000_774_545_014_278_341_4,
];
const TAIL_BOTTOM: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    0.689_767_334_985_1,
    0.148_103_976_427_480_08,
    0.015_198_666_563_616_457,
    0.000_547_593_808_499_534_5,
    1.050_750_071_644_416_9e-09,
];
const FAR_TOP: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    0.296_560_571_828_504_87,
    0.026_532_189_526_576_124,
    0.001_242_660_947_388_078_4,
    2.711_555_568_743_487_6e-05,
    2.010_334_399_292_288_1e-07,
];
const FAR_BOTTOM: [f64; 8] = [
    1.0,
    0.599_832_206_555_888,
    0.136_929_880_922_735_8,
    0.014_875_361_290_850_615,
    0.000_786_869_131_145_613_3,
    1.846_318_317_510_054_8e-05,
    1.421_511_758_316_446e-07,
    2.044_263_103_389_939_7e-15,
];

/// The value that a standard normal variable stays under with `probability`.
///
/// Minus and plus infinity at 0 and 1; not a number outside.
pub fn normal_quantile(probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) {
        return f64::NAN;
    }
    let from_centre = probability - 0.5;
    if from_centre.abs() <= 0.425 {
        return from_centre * ratio(&CENTRE_TOP, &CENTRE_BOTTOM, 0.425 * 0.425 - from_centre * from_centre);
    }
    let depth = (-probability.min(1.0 - probability).ln()).sqrt();
    tail(depth).copysign(from_centre)
}

/// The distance from the centre of the point whose tail probability is `exp(-depth^2)`.
fn tail(depth: f64) -> f64 {
    if depth.is_infinite() {
        depth
    } else if depth <= 5.0 {
        ratio(&TAIL_TOP, &TAIL_BOTTOM, depth - 1.6)
    } else {
        ratio(&FAR_TOP, &FAR_BOTTOM, depth - 5.0)
    }
}

fn ratio(top: &[f64; 8], bottom: &[f64; 8], x: f64) -> f64 {
    polynomial(top, x) / polynomial(bottom, x)
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.norm.ppf`, scipy 1.17.1.
    const SCIPY: [(f64, f64); 15] = [
        (1e-300, -37.0470962993612),
        (1e-12, -7.034483825301131),
        (1e-5, -4.264890793922825),
        (0.001, -3.090232306167813),
        (0.02425, -1.972961051311885),
        (0.025, -1.9599639845400545),
        (0.1, -1.2815515655446004),
        (0.3, -0.5244005127080409),
        (0.5, 0.0),
        (0.6, 0.2533471031357997),
        (0.95, 1.6448536269514722),
        (0.975, 1.959963984540054),
        (0.995, 2.5758293035489004),
        (0.9999, 3.719016485455709),
        (0.999999999, 5.997807019601637),
    ];

    #[test]
    fn quantiles_agree_with_scipy() {
        for (probability, expected) in SCIPY {
            let quantile = normal_quantile(probability);
            assert!((quantile - expected).abs() < 1e-9, "{probability}: {quantile} against {expected}");
        }
    }

    #[test]
    fn the_ends_are_infinite_and_beyond_them_is_nothing() {
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!(normal_quantile(-0.1).is_nan());
        assert!(normal_quantile(f64::NAN).is_nan());
    }
}

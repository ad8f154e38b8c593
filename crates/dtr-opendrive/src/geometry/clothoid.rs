//! Clothoids: curves whose curvature is a linear function of the length.

use super::Pose;

/// Nodes and weights of Gauss-Legendre quadrature with 10 points on -1..1. The negative nodes follow by
/// symmetry.
const NODES: [(f64, f64); 5] = [
    (0.148_874_338_981_631_21, 0.295_524_224_714_752_87),
    (0.433_395_394_129_247_2, 0.269_266_719_309_996_35),
    (0.679_409_568_299_024_4, 0.219_086_362_515_982_05),
    (0.865_063_366_688_984_5, 0.149_451_349_150_580_6),
    (0.973_906_528_517_171_7, 0.066_671_344_308_688_14),
];

/// The pose at the length `s` of a clothoid that starts at the origin along the x axis.
///
/// The curvature at `s` is `start + rate * s`, in 1/m and 1/m². The position is the integral of the
/// direction. It is computed in panels in which the direction turns by at most 1 radian, where the
/// quadrature's error is below 1e-15 of the panel's length.
pub fn clothoid(start: f64, rate: f64, s: f64) -> Pose {
    let curvature = start + rate * s;
    let turn = (start.abs().max(curvature.abs()) * s.abs()).min(1e6);
    let panels = (turn.ceil() as usize).max(1);
    let half = s / (2.0 * panels as f64);
    let (mut x, mut y) = (0.0, 0.0);
    for panel in 0..panels {
        let middle = half * (2 * panel + 1) as f64;
        for (node, weight) in NODES {
            for t in [middle - half * node, middle + half * node] {
                let (sin, cos) = (t * (start + 0.5 * rate * t)).sin_cos();
                x += weight * cos;
                y += weight * sin;
            }
        }
    }
    Pose { x: x * half, y: y * half, heading: s * (start + 0.5 * rate * s), curvature }
}

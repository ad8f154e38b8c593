//! Parametric cubics: `poly3` and `paramPoly3` (OpenDRIVE 1.8, sections 9.6 and 9.7).

use super::Pose;
use crate::map::{Cubic, Curve};

/// A parametric cubic in the frame of its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CubicCurve {
    pub u: [f64; 4],
    pub v: [f64; 4],
    /// The parameter at the end of the curve.
    pub end: f64,
}

impl CubicCurve {
    /// The curve of a record with this length in metres, if the record is a cubic.
    pub fn of(curve: &Curve, length: f64) -> Option<Self> {
        match *curve {
            Curve::Poly3 { v } => {
                let curve = Self { u: [0.0, 1.0, 0.0, 0.0], v, end: length };
                Some(Self { end: curve.parameter_by_length(length), ..curve })
            }
            Curve::ParamPoly3 { u, v, normalized } => {
                Some(Self { u, v, end: if normalized { 1.0 } else { length } })
            }
            _ => None,
        }
    }

    /// The pose at a value of the parameter.
    pub fn pose(&self, parameter: f64) -> Pose {
        let [u, v] = [self.u, self.v].map(|coefficients| Cubic { s: 0.0, coefficients });
        let (du, dv) = (u.slope(parameter), v.slope(parameter));
        let second = |c: [f64; 4]| 2.0 * c[2] + 6.0 * c[3] * parameter;
        let speed = du.hypot(dv);
        let curvature =
            if speed > 1e-12 { (du * second(self.v) - dv * second(self.u)) / speed.powi(3) } else { 0.0 };
        Pose { x: u.value(parameter), y: v.value(parameter), heading: dv.atan2(du), curvature }
    }

    /// The parameter at `s` metres of `length`. A parameter range of a record is proportional to `s`
    /// (section 9.7: `p` is `s` or `s / length`).
    pub fn parameter(&self, s: f64, length: f64) -> f64 {
        if length > 0.0 { self.end * s / length } else { 0.0 }
    }

    /// The same curve with a parameter from 0 to 1, in the frame of its own start and first direction.
    pub fn normalized(&self) -> Self {
        let (start, e) = (self.pose(0.0), self.end);
        let (sin, cos) = start.heading.sin_cos();
        let powers = [1.0, e, e * e, e * e * e];
        let turn = |a: [f64; 4], b: [f64; 4], p: f64, q: f64| {
            std::array::from_fn(|i| (p * a[i] + q * b[i]) * powers[i])
        };
        let (mut u, mut v): ([f64; 4], [f64; 4]) =
            (turn(self.u, self.v, cos, sin), turn(self.u, self.v, -sin, cos));
        (u[0], v[0], v[1]) = (0.0, 0.0, 0.0);
        Self { u, v, end: 1.0 }
    }

    /// The same curve from its end to its start, in the frame of its end and the direction back.
    pub fn reversed(&self) -> Self {
        let back = |coefficients: [f64; 4]| {
            let [a, b, c, d] = Cubic { s: 0.0, coefficients }.moved_to(self.end).coefficients;
            [a, -b, c, -d]
        };
        Self { u: back(self.u), v: back(self.v), end: self.end }.normalized()
    }

    /// The length of the curve up to a value of the parameter, in metres.
    pub fn arc_length(&self, parameter: f64) -> f64 {
        const PANELS: usize = 32;
        let [u, v] = [self.u, self.v].map(|coefficients| Cubic { s: 0.0, coefficients });
        let speed = |p: f64| u.slope(p).hypot(v.slope(p));
        let step = parameter / PANELS as f64;
        let root = (0.6f64).sqrt() / 2.0;
        let panel = |index: usize| {
            let middle = (index as f64 + 0.5) * step;
            let sides = speed(middle - root * step) + speed(middle + root * step);
            step * (5.0 * sides + 8.0 * speed(middle)) / 18.0
        };
        (0..PANELS).map(panel).sum()
    }

    /// The parameter up to which the curve has a length in metres. The curve's speed is at least 1.
    fn parameter_by_length(&self, length: f64) -> f64 {
        let (mut low, mut high) = (0.0, length);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.arc_length(middle) < length { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

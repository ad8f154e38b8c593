//! Records of the reference line in the units of the text.

use std::fmt;

use super::profile_text::integer;
use super::{curvature_of, curvature_text, quantize};
use crate::map::{Curve, Geometry};
use crate::{Error, Result};

/// A record of the reference line. It begins where the record before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `L length`, in centimetres.
    Line(i64),
    /// `A length,radius`, in centimetres. The radius is positive to the left.
    Arc([i64; 2]),
    /// `S length,radius at the start,radius at the end`, in centimetres. The radius 0 stands for straight.
    Spiral([i64; 3]),
    /// `P a,bx,by,cx,cy`: a cubic Bézier curve from the origin with the control points (a, 0), b and c, in
    /// millimetres, in the frame of its own start.
    Cubic([i64; 5]),
}

impl Piece {
    /// The text form of a record in canonical form.
    pub fn of(record: &Geometry) -> Self {
        let length = quantize(record.length, 100.0);
        let is_straight = |curvature: f64| curvature_text(curvature) == 0;
        match record.curve {
            Curve::Arc { curvature } if is_straight(curvature) => Self::Line(length),
            Curve::Spiral { start, end } if is_straight(start) && is_straight(end) => Self::Line(length),
            Curve::Line => Self::Line(length),
            Curve::Arc { curvature } => Self::Arc([length, curvature_text(curvature)]),
            Curve::Spiral { start, end } => {
                Self::Spiral([length, curvature_text(start), curvature_text(end)])
            }
            Curve::Poly3 { v } => Self::of_cubic([0.0, record.length, 0.0, 0.0], v),
            Curve::ParamPoly3 { u, v, .. } => Self::of_cubic(u, v),
        }
    }

    fn of_cubic(u: [f64; 4], v: [f64; 4]) -> Self {
        let controls = |c: [f64; 4]| {
            let first = c[1] / 3.0;
            [first, c[2] / 3.0 + 2.0 * first, c[1] + c[2] + c[3]]
        };
        let (x, y) = (controls(u), controls(v));
        Self::Cubic([x[0], x[1], y[1], x[2], y[2]].map(|value| quantize(value, 1000.0)))
    }

    /// The parameters in metres and 1/m, as far as the kind has them.
    pub(super) fn parameters(&self) -> Vec<f64> {
        match self {
            Self::Line(length) => vec![*length as f64 / 100.0],
            Self::Arc([length, radius]) => vec![*length as f64 / 100.0, curvature_of(*radius)],
            Self::Spiral([length, start, end]) => {
                vec![*length as f64 / 100.0, curvature_of(*start), curvature_of(*end)]
            }
            Self::Cubic(values) => values.iter().map(|&value| value as f64 / 1000.0).collect(),
        }
    }

    /// Parses a word such as `A1234,-5000`.
    pub fn parse(word: &str) -> Result<Self> {
        let refuse = || Error::new(format!("not a record of a reference line: {word:?}"));
        let kind = word.chars().next().filter(char::is_ascii).ok_or_else(refuse)?;
        let values: Vec<i64> = word[1..].split(',').take(6).map(integer).collect::<Result<_>>()?;
        let piece = match (kind, values.as_slice()) {
            ('L', &[length]) => Self::Line(length),
            ('A', &[length, radius]) if radius != 0 => Self::Arc([length, radius]),
            ('S', &[length, start, end]) => Self::Spiral([length, start, end]),
            ('P', &[a, bx, by, cx, cy]) => Self::Cubic([a, bx, by, cx, cy]),
            _ => return Err(refuse()),
        };
        let is_empty = match piece {
            Self::Line(length) | Self::Arc([length, _]) | Self::Spiral([length, ..]) => length < 0,
            Self::Cubic([a, ..]) => a <= 0,
        };
        if is_empty { Err(Error::new(format!("the record {word:?} has no length"))) } else { Ok(piece) }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[i64]| values.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Line(length) => write!(formatter, "L{length}"),
            Self::Arc(values) => write!(formatter, "A{}", list(values)),
            Self::Spiral(values) => write!(formatter, "S{}", list(values)),
            Self::Cubic(values) => write!(formatter, "P{}", list(values)),
        }
    }
}

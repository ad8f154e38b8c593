//! Exact evaluation of reference lines: position, heading and curvature at any `s`.

mod clothoid;
mod cubic_curve;
mod reference_line;

pub use clothoid::clothoid;
pub(crate) use cubic_curve::CubicCurve;

/// A point of a curve with its direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// In metres.
    pub x: f64,
    /// In metres.
    pub y: f64,
    /// In radians, counter-clockwise from the x axis.
    pub heading: f64,
    /// In 1/m, positive to the left.
    pub curvature: f64,
}

impl Pose {
    /// A pose without curvature.
    pub fn new(x: f64, y: f64, heading: f64) -> Self {
        Self { x, y, heading, curvature: 0.0 }
    }

    /// `local`, which is given in the frame of `self`, in the frame of `self`'s own coordinates.
    #[must_use]
    pub fn place(&self, local: &Self) -> Self {
        let (sin, cos) = self.heading.sin_cos();
        Self {
            x: self.x + local.x * cos - local.y * sin,
            y: self.y + local.x * sin + local.y * cos,
            heading: self.heading + local.heading,
            curvature: local.curvature,
        }
    }

    /// `other` in the frame of `self`; its heading is between -π and π.
    #[must_use]
    pub fn localize(&self, other: &Self) -> Self {
        let (sin, cos) = self.heading.sin_cos();
        let (dx, dy) = (other.x - self.x, other.y - self.y);
        Self {
            x: dx * cos + dy * sin,
            y: dy * cos - dx * sin,
            heading: wrap(other.heading - self.heading),
            curvature: other.curvature,
        }
    }

    /// The same point, seen by who travels in the opposite direction.
    #[must_use]
    pub fn turned(&self) -> Self {
        Self { heading: self.heading + std::f64::consts::PI, curvature: -self.curvature, ..*self }
    }

    /// The distance between two points in metres.
    pub fn distance(&self, other: &Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// The same angle between -π and π.
pub fn wrap(angle: f64) -> f64 {
    use std::f64::consts::{PI, TAU};
    let wrapped = (angle + PI).rem_euclid(TAU) - PI;
    if wrapped == -PI { PI } else { wrapped }
}

//! Poses along records of the plan view and along roads.

use super::cubic_curve::CubicCurve;
use super::{Pose, clothoid};
use crate::map::{Contact, Curve, Geometry, Road};

impl Geometry {
    /// The start of the record, with the curvature there.
    pub fn start(&self) -> Pose {
        self.pose(0.0)
    }

    /// The pose at the record's end.
    pub fn end(&self) -> Pose {
        self.pose(self.length)
    }

    /// The pose at `s` metres from the record's start. The heading continues without jumps of 2π.
    pub fn pose(&self, s: f64) -> Pose {
        let origin = Pose::new(self.x, self.y, self.heading);
        let local = match self.curve {
            Curve::Line => Pose::new(s, 0.0, 0.0),
            Curve::Arc { curvature } => clothoid(curvature, 0.0, s),
            Curve::Spiral { start, end } => {
                let rate = if self.length > 0.0 { (end - start) / self.length } else { 0.0 };
                clothoid(start, rate, s)
            }
            Curve::Poly3 { .. } | Curve::ParamPoly3 { .. } => self.cubic_pose(s),
        };
        origin.place(&local)
    }

    /// The pose of a cubic in the frame of its start. A `poly3` has no parameter other than its length; the
    /// parameter of a `paramPoly3` is proportional to `s`.
    fn cubic_pose(&self, s: f64) -> Pose {
        let upto = if matches!(self.curve, Curve::Poly3 { .. }) { s } else { self.length };
        let cubic = CubicCurve::of(&self.curve, upto).expect("the record is a cubic");
        cubic.pose(cubic.parameter(s, upto))
    }
}

impl Road {
    /// The pose of the reference line at `s` metres, which is limited to the road.
    pub fn pose(&self, s: f64) -> Pose {
        let after = self.plan.partition_point(|geometry| geometry.s <= s);
        match self.plan.get(after.saturating_sub(1)) {
            Some(geometry) => geometry.pose((s - geometry.s).clamp(0.0, geometry.length)),
            None => Pose::default(),
        }
    }

    /// The pose at the road's start or at the end of its last record, in the direction of ascending `s`.
    pub fn end_pose(&self, end: Contact) -> Pose {
        match end {
            Contact::Start => self.plan.first().map(Geometry::start),
            Contact::End => self.plan.last().map(Geometry::end),
        }
        .unwrap_or_default()
    }

    /// The pose at one end of who leaves the road there.
    pub fn leaving(&self, end: Contact) -> Pose {
        match end {
            Contact::Start => self.end_pose(end).turned(),
            Contact::End => self.end_pose(end),
        }
    }

    /// The sum of the lengths of the records in metres.
    pub fn plan_length(&self) -> f64 {
        self.plan.iter().map(|geometry| geometry.length).sum()
    }
}

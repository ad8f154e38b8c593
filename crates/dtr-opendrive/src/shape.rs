//! Curves between two poses: lines, arcs and clothoids where the directions meet, and cubics elsewhere.

use crate::geometry::{CubicCurve, Pose, clothoid};
use crate::map::{Curve, Geometry};

/// Turns below this angle in radians are drawn as a line or a cubic.
const SMALLEST_TURN: f64 = 0.03;
/// Turns above this angle in radians are drawn as a cubic.
const LARGEST_TURN: f64 = 2.8;

/// Puts curves of these lengths in metres one after another.
pub fn chain(start: Pose, parts: &[(f64, Curve)]) -> Vec<Geometry> {
    let (mut pose, mut s) = (start, 0.0);
    let mut records = Vec::with_capacity(parts.len());
    for (length, curve) in parts.iter().filter(|(length, _)| *length > 1e-6) {
        let record = Geometry {
            s,
            x: pose.x,
            y: pose.y,
            heading: pose.heading,
            length: *length,
            curve: curve.clone(),
        };
        pose = record.end();
        s += length;
        records.push(record);
    }
    records
}

/// The parts of a turn by `angle` radians with the radius `radius` in metres.
///
/// Two clothoids each turn by `easing / 2` of the angle, so that the curvature is continuous. The easing 0
/// gives an arc.
pub fn turn(angle: f64, radius: f64, easing: f64) -> Vec<(f64, Curve)> {
    let curvature = angle.signum() / radius;
    let (eased, arc) = (angle.abs() * easing / 2.0, angle.abs() * (1.0 - easing));
    let spiral = 2.0 * eased * radius;
    vec![
        (spiral, Curve::Spiral { start: 0.0, end: curvature }),
        (arc * radius, Curve::Arc { curvature }),
        (spiral, Curve::Spiral { start: curvature, end: 0.0 }),
    ]
}

/// A curve from one pose to another.
///
/// If the directions meet in front of `start` and behind `end`, the curve is a turn between two lines. The
/// turn takes the part `share` of the shorter line. Two arcs join parallel directions. Otherwise the curve is
/// a cubic.
pub fn connect(start: Pose, end: Pose, easing: f64, share: f64) -> Vec<Geometry> {
    let local = start.localize(&end);
    if local.heading.abs() < 1e-5 && local.y.abs() < 1e-4 && local.x > 0.0 {
        return chain(start, &[(local.x, Curve::Line)]);
    }
    let (sin, cos) = local.heading.sin_cos();
    let (after, before) = (local.y / sin, local.x - local.y / sin * cos);
    if local.heading.abs() < 1e-3 && local.x > 2.0 * local.y.abs() {
        return chain(start, &lane_shift(local, share));
    }
    let is_turn = (SMALLEST_TURN..LARGEST_TURN).contains(&local.heading.abs());
    if !(is_turn && before > 0.1 && after > 0.1) {
        return chain(start, &[cubic(local)]);
    }
    let tangent = share.clamp(0.1, 1.0) * before.min(after);
    let radius = tangent / unit_tangent(local.heading, easing);
    let mut parts = vec![(before - tangent, Curve::Line)];
    parts.extend(turn(local.heading, radius, easing));
    parts.push((after - tangent, Curve::Line));
    chain(start, &parts)
}

/// The distance from the start of a turn with radius 1 to the point where its directions meet, in metres.
pub fn unit_tangent(angle: f64, easing: f64) -> f64 {
    let mut pose = Pose::default();
    for (length, curve) in turn(angle.abs(), 1.0, easing) {
        let local = match curve {
            Curve::Arc { curvature } => clothoid(curvature, 0.0, length),
            Curve::Spiral { start, end } if length > 0.0 => clothoid(start, (end - start) / length, length),
            _ => Pose::default(),
        };
        pose = pose.place(&local);
    }
    pose.x - pose.y * angle.abs().cos() / angle.abs().sin()
}

/// Two arcs to a parallel line, between two lines that take what `share` leaves of the length.
fn lane_shift(end: Pose, share: f64) -> Vec<(f64, Curve)> {
    let bent = share.clamp(0.1, 1.0) * end.x;
    let angle = 2.0 * (end.y / bent).atan();
    let radius = bent / (2.0 * angle.abs().sin());
    let lead = (0.5 * (end.x - bent), Curve::Line);
    let arc = |side: f64| (angle.abs() * radius, Curve::Arc { curvature: side * angle.signum() / radius });
    vec![lead.clone(), arc(1.0), arc(-1.0), lead]
}

/// The cubic from the origin to a pose, with tangents as long as the chord.
fn cubic(end: Pose) -> (f64, Curve) {
    let chord = end.x.hypot(end.y).max(1e-3);
    let (sin, cos) = end.heading.sin_cos();
    let hermite =
        |to: f64, first: f64, last: f64| [0.0, first, 3.0 * to - 2.0 * first - last, first + last - 2.0 * to];
    let (u, v) = (hermite(end.x, chord, chord * cos), hermite(end.y, 0.0, chord * sin));
    let length = CubicCurve { u, v, end: 1.0 }.arc_length(1.0);
    (length, Curve::ParamPoly3 { u, v, normalized: true })
}

//! Poses of all kinds of plan-view records, against reference values and closed forms.

use dtr_opendrive::geometry::clothoid;
use dtr_opendrive::map::{Curve, Geometry};

/// Start curvature, rate, length, x, y and heading, printed by `reference_clothoids.py` with scipy's
/// `fresnel`.
const CLOTHOIDS: [(f64, f64, f64, f64, f64, f64); 10] = [
    (0.0, 0.001, 30.0, 29.39816877132832, 4.435328616860129, 0.44999999999999996),
    (0.0, -0.002, 50.0, 26.593366248249016, -26.387313538533707, -2.5),
    (0.01, 0.0005, 40.0, 36.791490369122165, 12.709318473201693, 0.8),
    (-0.02, 0.001, 60.0, 58.578367411238794, -0.12175628696857821, 0.5999999999999999),
    (0.05, -0.0025, 25.0, 23.10013592675299, 8.829294014124416, 0.46875),
    (0.0, 1e-06, 500.0, 499.21931493660253, 20.81009340177363, 0.125),
    (0.1, 0.02, 20.0, 2.013024009208137, 3.5011803017738425, 6.0),
    (0.002, -4e-05, 120.0, 119.92628337439419, 2.8791311527508356, -0.04800000000000004),
    (-0.15, 0.03, 9.0, 8.631542091190099, -2.3901585981924365, -0.1349999999999998),
    (0.0125, 0.00025, 200.0, 36.367731975691946, 40.007046300587305, 7.5),
];

#[test]
fn clothoids_equal_fresnel_integrals_to_1e_9() {
    for (start, rate, length, x, y, heading) in CLOTHOIDS {
        let pose = clothoid(start, rate, length);
        assert!((pose.x - x).abs() < 1e-9, "{start} {rate} {length}: x {} {x}", pose.x);
        assert!((pose.y - y).abs() < 1e-9, "{start} {rate} {length}: y {} {y}", pose.y);
        assert!((pose.heading - heading).abs() < 1e-12);
        assert!((pose.curvature - (start + rate * length)).abs() < 1e-15);
    }
}

fn record(curve: Curve, length: f64) -> Geometry {
    Geometry { s: 0.0, x: 10.0, y: -5.0, heading: 0.0, length, curve }
}

#[test]
fn arcs_lie_on_their_circle() {
    let arc = record(Curve::Arc { curvature: -0.02 }, 300.0);
    let pose = arc.pose(130.0);
    assert!((pose.x - (10.0 + 50.0 * (2.6f64).sin())).abs() < 1e-9);
    assert!((pose.y - (-5.0 - 50.0 * (1.0 - (2.6f64).cos()))).abs() < 1e-9);
    assert!((pose.heading + 2.6).abs() < 1e-12);
}

#[test]
fn a_cubic_has_the_heading_and_curvature_of_its_derivatives() {
    let curve = Curve::ParamPoly3 { u: [0.0, 20.0, 0.0, 0.0], v: [0.0, 0.0, 3.0, -2.0], normalized: true };
    let pose = record(curve, 20.1).pose(20.1 / 2.0);
    assert!((pose.x - 20.0).abs() < 1e-9 && (pose.y + 4.5).abs() < 1e-9);
    // v'(0.5) = 1.5, u' = 20 and v''(0.5) = 0.
    assert!((pose.heading - (1.5f64 / 20.0).atan()).abs() < 1e-12);
    assert!(pose.curvature.abs() < 1e-12);
}

#[test]
fn a_poly3_ends_where_its_length_ends() {
    // A straight line of slope 3/4: after 5 metres, u is 4 and v is 3.
    let end = record(Curve::Poly3 { v: [0.0, 0.75, 0.0, 0.0] }, 5.0).end();
    assert!((end.x - 14.0).abs() < 1e-9 && (end.y + 2.0).abs() < 1e-9);
    assert!((end.heading - (0.75f64).atan()).abs() < 1e-12);
}

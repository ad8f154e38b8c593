//! Closes a reference line: changes the written lengths and curvatures by as little as possible so that the
//! line ends in the pose that the text names. Rounded numbers alone would end some decimetres away on long
//! roads.

use super::Piece;
use crate::geometry::{CubicCurve, Pose, wrap};
use crate::map::{Curve, Geometry};

/// Steps of Gauss-Newton. The written numbers are close, so few are needed.
const STEPS: usize = 25;
/// How far the end may be from its pose without cost, in metres and radians.
const CLOSURE: [f64; 3] = [1e-4, 1e-4, 1e-5];
/// No record gets shorter than this many metres.
const SHORTEST: f64 = 1e-3;
/// The largest turn of a record in radians.
const LARGEST_TURN: f64 = 20.0;

/// The records from `start` whose end is as close to `end` as the kinds allow.
pub(super) fn closed_line(pieces: &[Piece], start: Pose, end: Pose) -> Vec<Geometry> {
    let written: Vec<f64> = pieces.iter().flat_map(Piece::parameters).collect();
    let weights = weights(pieces, &written);
    let written = limited(pieces, written);
    let mut parameters = written.clone();
    let mut best = (cost(pieces, &parameters, &written, &weights, start, end), parameters.clone());
    for _ in 0..STEPS {
        let next = step(pieces, &parameters, &written, &weights, start, end);
        parameters = limited(pieces, next);
        let cost = cost(pieces, &parameters, &written, &weights, start, end);
        if cost < best.0 {
            best = (cost, parameters.clone());
        }
    }
    line(pieces, &best.1, start)
}

/// The squared standard deviations with which the numbers of the text may change.
fn weights(pieces: &[Piece], written: &[f64]) -> Vec<f64> {
    let mut values = written.iter();
    let mut weights = Vec::with_capacity(written.len());
    for piece in pieces {
        for index in 0..piece.parameters().len() {
            let value: f64 = values.next().map_or(0.0, |value| value.abs());
            let deviation = match (piece, index) {
                (Piece::Cubic(_), _) => 5e-4 + 1e-4 * value,
                (_, 0) => 5e-3 + 1e-3 * value,
                _ => 2e-6 + 1e-3 * value,
            };
            weights.push(deviation * deviation);
        }
    }
    weights
}

/// Keeps lengths positive and turns small enough to be evaluated.
fn limited(pieces: &[Piece], mut parameters: Vec<f64>) -> Vec<f64> {
    let mut from = 0;
    for piece in pieces {
        let own = &mut parameters[from..from + piece.parameters().len()];
        own[0] = own[0].max(SHORTEST);
        if !matches!(piece, Piece::Cubic(_)) {
            let largest = LARGEST_TURN / own[0];
            own[1..].iter_mut().for_each(|curvature| *curvature = curvature.clamp(-largest, largest));
        }
        from += own.len();
    }
    parameters
}

fn residual(pieces: &[Piece], parameters: &[f64], start: Pose, end: Pose) -> [f64; 3] {
    let last = chain_end(pieces, parameters, start);
    [end.x - last.x, end.y - last.y, wrap(end.heading - last.heading)]
}

fn cost(
    pieces: &[Piece],
    parameters: &[f64],
    written: &[f64],
    weights: &[f64],
    start: Pose,
    end: Pose,
) -> f64 {
    let missed = residual(pieces, parameters, start, end);
    let closure: f64 = missed.iter().zip(CLOSURE).map(|(miss, sigma)| (miss / sigma).powi(2)).sum();
    let change = parameters.iter().zip(written).zip(weights).map(|((a, b), weight)| (a - b).powi(2) / weight);
    closure + change.sum::<f64>()
}

/// One step of Gauss-Newton: `p = p0 + W Jᵀ (J W Jᵀ + C)⁻¹ (r + J (p - p0))`.
fn step(pieces: &[Piece], at: &[f64], written: &[f64], weights: &[f64], start: Pose, end: Pose) -> Vec<f64> {
    let missed = residual(pieces, at, start, end);
    let jacobian = jacobian(pieces, at, weights, start);
    let mut matrix = [[0.0; 3]; 3];
    let mut right = missed;
    for (index, column) in jacobian.iter().enumerate() {
        for row in 0..3 {
            right[row] += column[row] * (at[index] - written[index]);
            for other in 0..3 {
                matrix[row][other] += column[row] * weights[index] * column[other];
            }
        }
    }
    for (index, sigma) in CLOSURE.iter().enumerate() {
        matrix[index][index] += sigma * sigma;
    }
    let multipliers = solve(matrix, right);
    let change = |index: usize| {
        let column = jacobian[index];
        weights[index] * (0..3).map(|row| column[row] * multipliers[row]).sum::<f64>()
    };
    (0..at.len()).map(|index| written[index] + change(index)).collect()
}

/// The derivative of the end pose by each parameter, from differences.
fn jacobian(pieces: &[Piece], at: &[f64], weights: &[f64], start: Pose) -> Vec<[f64; 3]> {
    let derivative = |index: usize| {
        let delta = (weights[index].sqrt() * 1e-2).max(1e-9);
        let moved = |by: f64| {
            let mut parameters = at.to_vec();
            parameters[index] += by;
            chain_end(pieces, &parameters, start)
        };
        let (plus, minus) = (moved(delta), moved(-delta));
        let turn = wrap(plus.heading - minus.heading);
        [plus.x - minus.x, plus.y - minus.y, turn].map(|change| change / (2.0 * delta))
    };
    (0..at.len()).map(derivative).collect()
}

/// Solves a symmetric positive definite system of three equations by elimination.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        for row in pivot + 1..3 {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            let upper = matrix[pivot];
            for (value, above) in matrix[row].iter_mut().zip(upper).skip(pivot) {
                *value -= factor * above;
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..3).rev() {
        for column in row + 1..3 {
            right[row] -= matrix[row][column] * right[column];
        }
        right[row] /= matrix[row][row];
    }
    right
}

fn chain_end(pieces: &[Piece], parameters: &[f64], start: Pose) -> Pose {
    line(pieces, parameters, start).last().map_or(start, Geometry::end)
}

/// The records with these parameters, each from the end of the one before.
fn line(pieces: &[Piece], parameters: &[f64], start: Pose) -> Vec<Geometry> {
    let (mut pose, mut s, mut from) = (start, 0.0, 0);
    let mut records = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let own = &parameters[from..from + piece.parameters().len()];
        from += own.len();
        let (length, curve) = match (piece, own) {
            (Piece::Arc(_), &[length, curvature]) => (length, Curve::Arc { curvature }),
            (Piece::Spiral(_), &[length, start, end]) => (length, Curve::Spiral { start, end }),
            (Piece::Cubic(_), &[a, bx, by, cx, cy]) => cubic(a, [bx, by], [cx, cy]),
            _ => (own[0], Curve::Line),
        };
        let record = Geometry { s, x: pose.x, y: pose.y, heading: pose.heading, length, curve };
        pose = record.end();
        s += length;
        records.push(record);
    }
    records
}

/// The `paramPoly3` of a Bézier curve and its length.
fn cubic(a: f64, b: [f64; 2], c: [f64; 2]) -> (f64, Curve) {
    let powers = |first: f64, second: f64, last: f64| {
        [0.0, 3.0 * first, 3.0 * (second - 2.0 * first), last - 3.0 * second + 3.0 * first]
    };
    let (u, v) = (powers(a, b[0], c[0]), powers(0.0, b[1], c[1]));
    let length = CubicCurve { u, v, end: 1.0 }.arc_length(1.0);
    (length, Curve::ParamPoly3 { u, v, normalized: true })
}

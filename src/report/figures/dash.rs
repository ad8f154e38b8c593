//! Dashed lines, which plotters' SVG backend does not have.

use super::canvas::Point;

/// Cuts a line into its dashes: pixels on, off, on, off; one whole stroke when `dash` is empty.
pub(super) fn strokes(points: &[Point], dash: &[f64]) -> Vec<Vec<Point>> {
    if dash.is_empty() {
        return vec![points.to_vec()];
    }
    let (mut strokes, mut stroke) = (Vec::new(), Vec::new());
    let (mut phase, mut left) = (0, dash[0]);
    for ends in points.windows(2) {
        let (from, to) = (ends[0], ends[1]);
        let length = f64::from(to.0 - from.0).hypot(f64::from(to.1 - from.1));
        let mut done = 0.0;
        if phase % 2 == 0 {
            stroke.push(from);
        }
        while length - done > left {
            done += left;
            stroke.push(between(from, to, done / length));
            // A stroke ends where a gap begins; at a gap's end the next stroke has its first point.
            if phase % 2 == 0 {
                strokes.push(std::mem::take(&mut stroke));
            }
            phase = (phase + 1) % dash.len();
            left = dash[phase];
        }
        left -= length - done;
    }
    if let (0, Some(last)) = (phase % 2, points.last()) {
        stroke.push(*last);
        strokes.push(stroke);
    }
    strokes
}

fn between(from: Point, to: Point, share: f64) -> Point {
    let mix = |from: i32, to: i32| (f64::from(from) + f64::from(to - from) * share).round() as i32;
    (mix(from.0, to.0), mix(from.1, to.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_round_corners() {
        let line = [(0, 0), (10, 0), (10, 10)];
        let expected = vec![vec![(0, 0), (6, 0)], vec![(8, 0), (10, 0), (10, 4)], vec![(10, 6), (10, 10)]];
        assert_eq!(strokes(&line, &[6.0, 2.0]), expected);
        assert_eq!(strokes(&line, &[]), vec![line.to_vec()]);
    }
}

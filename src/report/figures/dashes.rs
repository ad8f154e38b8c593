//! Dashed lines, which the SVG backend of plotters does not support.

use super::svg_canvas::Point;

/// Splits a line into its dashes.
///
/// `dash` has the lengths of dashes and gaps in pixels, alternately. If `dash` is empty, returns the whole
/// line.
pub(super) fn split_into_dashes(points: &[Point], dash: &[f64]) -> Vec<Vec<Point>> {
    if dash.is_empty() {
        return vec![points.to_vec()];
    }
    let (mut dashes, mut current) = (Vec::new(), Vec::new());
    let (mut phase, mut remaining) = (0, dash[0]);
    for ends in points.windows(2) {
        let (from, to) = (ends[0], ends[1]);
        let length = f64::from(to.0 - from.0).hypot(f64::from(to.1 - from.1));
        let mut done = 0.0;
        if phase % 2 == 0 {
            current.push(from);
        }
        while length - done > remaining {
            done += remaining;
            current.push(interpolate(from, to, done / length));
            // At this point a dash ends, or a gap ends and the next dash starts.
            if phase % 2 == 0 {
                dashes.push(std::mem::take(&mut current));
            }
            phase = (phase + 1) % dash.len();
            remaining = dash[phase];
        }
        remaining -= length - done;
    }
    if let (0, Some(last)) = (phase % 2, points.last()) {
        current.push(*last);
        dashes.push(current);
    }
    dashes
}

/// Returns the point at the fraction `share` of the way between two points.
fn interpolate(from: Point, to: Point, share: f64) -> Point {
    let mix = |from: i32, to: i32| (f64::from(from) + f64::from(to - from) * share).round() as i32;
    (mix(from.0, to.0), mix(from.1, to.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_continues_around_a_corner() {
        let line = [(0, 0), (10, 0), (10, 10)];
        let expected = vec![vec![(0, 0), (6, 0)], vec![(8, 0), (10, 0), (10, 4)], vec![(10, 6), (10, 10)]];
        assert_eq!(split_into_dashes(&line, &[6.0, 2.0]), expected);
        assert_eq!(split_into_dashes(&line, &[]), vec![line.to_vec()]);
    }
}

//! How well a road that a model wrote equals the hidden road.

use crate::canonical::canonical;
use crate::check::{Rule, check_road};
use crate::gap::{Gap, Neighbors};
use crate::geometry::wrap;
use crate::map::{Contact, Lane, LaneSection, Map, Road};
use crate::{Error, text};

/// Up to which errors a road counts as equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Distance of each end in metres.
    pub position: f64,
    /// Heading of each end in radians.
    pub heading: f64,
    /// Curvature of each end in 1/m.
    pub curvature: f64,
    /// Length, as a part of the hidden road's length.
    pub length: f64,
    /// Lane widths and lane offsets in metres.
    pub width: f64,
    /// Borders of lane sections in metres. The part `length` of the road's length is added.
    pub section: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { position: 0.1, heading: 0.01, curvature: 0.005, length: 0.02, width: 0.05, section: 0.5 }
    }
}

/// The errors of one end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndError {
    /// Distance in metres.
    pub position: f64,
    /// Difference of the headings in radians.
    pub heading: f64,
    /// Difference of the curvatures in 1/m.
    pub curvature: f64,
}

/// How the lanes of two roads differ. Both roads are in canonical form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneError {
    /// Whether both roads have the same number of lane sections, and each the same lanes.
    pub ids_equal: bool,
    /// Whether the lane types are equal; false if the lanes are not the same.
    pub kinds_equal: bool,
    /// Whether the links of the lanes are equal; false if the lanes are not the same.
    pub links_equal: bool,
    /// The largest difference of widths in metres; infinite if the lanes are not the same.
    pub width: f64,
    /// The largest difference of lane offsets in metres; infinite if the numbers of sections differ.
    pub offset: f64,
    /// The largest difference of the borders of lane sections in metres; infinite if their numbers differ.
    pub section: f64,
}

/// All parts of the comparison. A stricter or laxer success can be computed from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The errors at the road's start and end.
    pub ends: [EndError; 2],
    /// Whether predecessor and successor are equal.
    pub links_equal: bool,
    /// How the lanes differ.
    pub lanes: LaneError,
    /// The difference of the lengths as a part of the hidden road's length.
    pub length: f64,
    /// The largest distance between the reference lines in metres, at 33 equal parts of both.
    pub deviation: f64,
    /// Rules that the road breaks and the hidden road keeps.
    pub broken_rules: Vec<Rule>,
}

/// The score of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Whether the road is valid and equal within the tolerance.
    pub success: bool,
    /// The parts, or why the text is not a road.
    pub parts: Result<Comparison, Error>,
}

/// Scores the text of a road against the hidden road. `map` may contain the hidden road.
pub fn score_answer(
    map: &Map,
    gap: &Gap,
    neighbors: &Neighbors,
    hidden: &Road,
    answer: &str,
    tolerance: &Tolerance,
) -> Score {
    match text::decode(answer, gap, neighbors) {
        Ok(road) => score_road(map, hidden, &road, tolerance),
        Err(error) => Score { success: false, parts: Err(error) },
    }
}

/// Scores a road against the hidden road.
pub fn score_road(map: &Map, hidden: &Road, road: &Road, tolerance: &Tolerance) -> Score {
    let parts = compare(map, hidden, road);
    Score { success: parts.is_within(tolerance, hidden.length), parts: Ok(parts) }
}

/// Compares a road with the hidden road.
pub fn compare(map: &Map, hidden: &Road, road: &Road) -> Comparison {
    let kept = check_road(map, hidden);
    let mut broken_rules: Vec<Rule> = check_road(map, road).into_iter().map(|finding| finding.rule).collect();
    broken_rules.retain(|rule| kept.iter().all(|finding| finding.rule != *rule));
    broken_rules.sort_unstable();
    broken_rules.dedup();
    let (hidden, road) = (&canonical(hidden), &canonical(road));
    let end = |end: Contact| {
        let (a, b) = (hidden.end_pose(end), road.end_pose(end));
        EndError {
            position: a.distance(&b),
            heading: wrap(a.heading - b.heading).abs(),
            curvature: (a.curvature - b.curvature).abs(),
        }
    };
    let place = |road: &Road, part: u32| road.pose(road.plan_length() * f64::from(part) / 32.0);
    let distances = (0..=32).map(|part| place(hidden, part).distance(&place(road, part)));
    Comparison {
        ends: [end(Contact::Start), end(Contact::End)],
        links_equal: hidden.predecessor == road.predecessor && hidden.successor == road.successor,
        lanes: compare_lanes(hidden, road),
        length: (hidden.plan_length() - road.length).abs() / hidden.plan_length().max(1e-6),
        deviation: distances.fold(0.0, f64::max),
        broken_rules,
    }
}

impl Comparison {
    /// Whether all parts are within the tolerance. `length` is the hidden road's length in metres.
    pub fn is_within(&self, tolerance: &Tolerance, length: f64) -> bool {
        let ends = self.ends.iter().all(|end| {
            end.position <= tolerance.position
                && end.heading <= tolerance.heading
                && end.curvature <= tolerance.curvature
        });
        let lanes = &self.lanes;
        let lanes_equal = lanes.ids_equal
            && lanes.kinds_equal
            && lanes.links_equal
            && lanes.width <= tolerance.width
            && lanes.offset <= tolerance.width
            && lanes.section <= tolerance.section + tolerance.length * length;
        ends && self.links_equal
            && lanes_equal
            && self.length <= tolerance.length
            && self.broken_rules.is_empty()
    }
}

fn compare_lanes(hidden: &Road, road: &Road) -> LaneError {
    let (a, b) = (&hidden.sections, &road.sections);
    let pairs = || a.iter().zip(b);
    let ids = |section: &LaneSection| section.lanes.iter().map(|lane| lane.id).collect::<Vec<_>>();
    let ids_equal = a.len() == b.len() && pairs().all(|(a, b)| ids(a) == ids(b));
    let lanes = || pairs().flat_map(|(a, b)| a.lanes.iter().zip(&b.lanes)).filter(|(lane, _)| lane.id != 0);
    let links = |lane: &Lane| (sorted(&lane.predecessors), sorted(&lane.successors));
    let section = pairs().map(|(a, b)| (a.s - b.s).abs()).fold(0.0, f64::max);
    let errors = (0..a.len().min(b.len())).map(|index| section_errors(hidden, road, index));
    let [width, offset] = errors.fold([0.0f64; 2], |[w, o], [width, offset]| [w.max(width), o.max(offset)]);
    LaneError {
        ids_equal,
        kinds_equal: ids_equal && lanes().all(|(a, b)| a.kind == b.kind),
        links_equal: ids_equal && lanes().all(|(a, b)| links(a) == links(b)),
        width: if ids_equal { width } else { f64::INFINITY },
        offset: if a.len() == b.len() { offset } else { f64::INFINITY },
        section: if a.len() == b.len() { section } else { f64::INFINITY },
    }
}

fn sorted(ids: &[i32]) -> Vec<i32> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

/// The largest differences of widths and of lane offsets in one lane section. Both sections are compared at
/// the middles of 16 equal parts, because functions may jump at the borders.
fn section_errors(hidden: &Road, road: &Road, index: usize) -> [f64; 2] {
    let start = |road: &Road| road.sections[index].s;
    let length = |road: &Road| road.section_end(index) - start(road);
    let parts = || (0..16).map(|part| (f64::from(part) + 0.5) / 16.0);
    let lanes = hidden.sections[index].lanes.iter().zip(&road.sections[index].lanes);
    let widths = lanes.flat_map(|(a, b)| {
        parts().map(|part| (a.width.value(length(hidden) * part) - b.width.value(length(road) * part)).abs())
    });
    let offset = |road: &Road, part: f64| road.lane_offset.value(start(road) + length(road) * part);
    let offsets = parts().map(|part| (offset(hidden, part) - offset(road, part)).abs());
    [widths.fold(0.0, f64::max), offsets.fold(0.0, f64::max)]
}

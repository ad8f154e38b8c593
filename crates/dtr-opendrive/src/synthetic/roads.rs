//! Roads between junctions: their reference lines, and lanes that begin or end on them.

use rand::{Rng, RngExt};

use super::between;
use super::cross_section::CrossSection;
use crate::geometry::Pose;
use crate::map::{Cubic, Curve, Geometry, LaneSection, Profile, Road};
use crate::shape::{chain, turn};

// The rules by which the maps are designed. Real maps follow such rules too. Without them, the neighbours of
// a hidden road would not tell how it looks.

/// The length in metres of the lines before and after bends.
const LEAD: f64 = 20.0;
/// The length in metres of the line between two bends.
const BETWEEN_BENDS: f64 = 10.0;
/// Bends with a smaller radius in metres have clothoids.
const SHARP_RADIUS: f64 = 150.0;
/// The part of a bend's angle that the clothoids take.
pub(super) const EASING: f64 = 0.5;
/// Where a lane begins to widen or to narrow, in metres from the road's start.
const TAPER_START: f64 = 10.0;
/// The length in metres over which a lane widens or narrows.
const TAPER: f64 = 20.0;

/// A road without links.
pub(super) fn road(id: usize, plan: Vec<Geometry>, sections: Vec<LaneSection>, heights: [f64; 2]) -> Road {
    let length: f64 = plan.iter().map(|record| record.length).sum();
    Road {
        id: id.to_string(),
        name: String::new(),
        junction: None,
        length,
        left_hand: false,
        predecessor: None,
        successor: None,
        plan,
        elevation: Profile { pieces: vec![Cubic::hermite(0.0, length, heights, [0.0; 2])] },
        lane_offset: Profile::default(),
        sections,
        line: 0,
    }
}

/// A random reference line: straight, a bend, or two bends of one radius. Its curvature is continuous in
/// bends below `SHARP_RADIUS`.
pub(super) fn random_line(random: &mut impl Rng, start: Pose) -> Vec<Geometry> {
    let bends = *[0, 1, 1, 2].get(random.random_range(0..4)).unwrap_or(&0);
    if bends == 0 {
        return chain(start, &[(rounded(between(random, 15.0, 150.0)), Curve::Line)]);
    }
    let radius = rounded(between(random, 25.0, 250.0));
    let easing = if radius < SHARP_RADIUS { EASING } else { 0.0 };
    let mut side = if random.random_bool(0.5) { 1.0 } else { -1.0 };
    let mut parts = vec![(LEAD, Curve::Line)];
    for bend in 0..bends {
        if bend > 0 {
            parts.push((BETWEEN_BENDS, Curve::Line));
        }
        let angle = side * between(random, 0.15, 1.3f64.min(140.0 / radius));
        parts.extend(turn(angle, radius, easing));
        side = -side;
    }
    parts.push((LEAD, Curve::Line));
    chain(start, &parts)
}

/// A length in whole decimetres.
fn rounded(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

/// The lane sections of a road on which an outer driving lane of the right side begins or ends, and the lanes
/// at its end. `None` if the side has the smallest or largest number of lanes.
pub(super) fn lane_change(
    random: &mut impl Rng,
    lanes: &CrossSection,
    length: f64,
) -> Option<(Vec<LaneSection>, CrossSection)> {
    let driving = lanes.right.driving();
    let begins = if driving == 1 || random.random_bool(0.5) { driving < 3 } else { false };
    if length < 2.0 * (TAPER_START + TAPER) || (!begins && driving == 1) {
        return None;
    }
    let width = lanes.right.lanes[0].1;
    let (at, taper) = (TAPER_START, TAPER);
    let mut after = lanes.clone();
    let (wide, borders, values) = if begins {
        after.right.lanes.insert(driving, ("driving", width));
        (after.clone(), [at, at + taper], [0.0, width])
    } else {
        after.right.lanes.remove(driving - 1);
        (lanes.clone(), [at, at + taper], [width, 0.0])
    };
    let changed = if begins { driving } else { driving - 1 };
    let taper_width = Profile { pieces: vec![Cubic::hermite(0.0, taper, values, [0.0; 2])] };
    let mut middle = wide.section(borders[0], true, true);
    let id = -i32::try_from(changed + 1).expect("a road has few lanes");
    let lane = middle.lanes.iter_mut().find(|lane| lane.id == id)?;
    lane.width = taper_width;
    let mut sections = vec![lanes.section(0.0, true, true), middle, after.section(borders[1], true, true)];
    let border = if begins { 0 } else { 1 };
    relink(&mut sections, border, id, begins);
    Some((sections, after))
}

/// Links the lanes at the border after section `border`, where lane `id` begins or ends. Lanes further out
/// have other ids on both sides of the border.
fn relink(sections: &mut [LaneSection], border: usize, id: i32, begins: bool) {
    for lane in sections[border].lanes.iter_mut().filter(|lane| lane.id <= id) {
        lane.successors = match (begins, lane.id == id) {
            (true, _) => vec![lane.id - 1],
            (false, true) => Vec::new(),
            (false, false) => vec![lane.id + 1],
        };
    }
    for lane in sections[border + 1].lanes.iter_mut().filter(|lane| lane.id <= id) {
        lane.predecessors = match (begins, lane.id == id) {
            (true, true) => Vec::new(),
            (true, false) => vec![lane.id + 1],
            (false, _) => vec![lane.id - 1],
        };
    }
}

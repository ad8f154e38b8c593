//! Roads between junctions: their reference lines, and lanes that begin or end on them.

use rand::{Rng, RngExt};

use super::between;
use super::cross_section::CrossSection;
use crate::geometry::Pose;
use crate::map::{Cubic, Curve, Geometry, LaneSection, Profile, Road};
use crate::shape::{chain, turn};

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

/// A random reference line: straight, a bend, or two bends. Its curvature is continuous.
pub(super) fn random_line(random: &mut impl Rng, start: Pose) -> Vec<Geometry> {
    let mut line = |low, high| (rounded(between(random, low, high)), Curve::Line);
    let mut parts = vec![line(15.0, 90.0)];
    let bends = *[0, 1, 1, 2].get(random.random_range(0..4)).unwrap_or(&0);
    let mut side = if random.random_bool(0.5) { 1.0 } else { -1.0 };
    for _ in 0..bends {
        let radius = rounded(between(random, 25.0, 250.0));
        let easing = if random.random_bool(0.7) { between(random, 0.2, 0.8) } else { 0.0 };
        let angle = side * between(random, 0.15, 1.3f64.min(140.0 / radius));
        parts.extend(turn(angle, radius, easing));
        side = if random.random_bool(0.7) { -side } else { side };
    }
    if bends > 0 {
        parts.push((rounded(between(random, 10.0, 60.0)), Curve::Line));
    }
    chain(start, &parts)
}

/// A length in whole decimetres.
fn rounded(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

/// The lane sections of a road on which an outer driving lane of the right side begins or ends, and the lanes at
/// its end. `None` if the side has the smallest or largest number of lanes.
pub(super) fn lane_change(
    random: &mut impl Rng,
    lanes: &CrossSection,
    length: f64,
) -> Option<(Vec<LaneSection>, CrossSection)> {
    let driving = lanes.right.driving();
    let begins = if driving == 1 || random.random_bool(0.5) { driving < 3 } else { false };
    if length < 40.0 || (!begins && driving == 1) {
        return None;
    }
    let width = lanes.right.lanes[0].1;
    let taper = rounded(between(random, 15.0, 30.0));
    let at = rounded(between(random, 3.0, length - taper - 3.0));
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

/// Links the lanes at the border after section `border`, where lane `id` begins or ends. Lanes further out have
/// other ids on both sides of the border.
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

//! Grows a tree of junctions and of chains of roads between them.

use std::f64::consts::{FRAC_PI_2, PI};

use rand::{Rng, RngExt};

use super::cross_section::CrossSection;
use super::junctions::{Arm, add_junction};
use super::roads::{lane_change, random_line, road};
use super::{SyntheticOptions, between};
use crate::geometry::Pose;
use crate::map::{Contact, Link, Map, Road};

/// An arm of a junction from which no road leads yet.
struct Bud {
    junction: String,
    /// The arm's mouth, in the direction away from the junction.
    mouth: Pose,
    lanes: CrossSection,
    height: f64,
}

/// The state of a growing map.
pub(super) struct Growth {
    pub map: Map,
    next_id: usize,
}

impl Growth {
    /// A new id. Roads and junctions share the numbers.
    pub fn id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }
}

pub(super) fn grow(random: &mut impl Rng, options: &SyntheticOptions) -> Map {
    let map = Map { version: (1, 7), ..Map::default() };
    let mut growth = Growth { map, next_id: random.random_range(0..400) };
    let mut buds: Vec<Bud> = Vec::new();
    let mut centers: Vec<Pose> = Vec::new();
    let start =
        Pose::new(between(random, -50.0, 50.0), between(random, -50.0, 50.0), between(random, -PI, PI));
    let lanes = CrossSection::random(random);
    let first = lead_to_junction(random, &mut growth, options, None, start, lanes, 0.0, &mut centers);
    buds.extend(first.unwrap_or_default());
    let mut attempts = 0;
    while growth.map.junctions.len() < options.junctions
        && !buds.is_empty()
        && attempts < 20 * options.junctions
    {
        attempts += 1;
        let Bud { junction, mouth, lanes, height } = buds.swap_remove(random.random_range(0..buds.len()));
        let lead = lead_to_junction(
            random,
            &mut growth,
            options,
            Some(&junction),
            mouth,
            lanes,
            height,
            &mut centers,
        );
        buds.extend(lead.unwrap_or_default());
    }
    for Bud { junction, mouth, lanes, height } in buds {
        add_chain(random, &mut growth, options, Some(&junction), mouth, lanes, height);
    }
    link_arms(&mut growth.map);
    growth.map
}

/// Adds a chain of roads and a junction at its end. Returns the other arms of the junction. If the junction
/// would be too close to another one, the chain ends without a junction.
#[expect(clippy::too_many_arguments, reason = "the chain begins with all of them")]
fn lead_to_junction(
    random: &mut impl Rng,
    growth: &mut Growth,
    options: &SyntheticOptions,
    from: Option<&str>,
    start: Pose,
    lanes: CrossSection,
    height: f64,
    centers: &mut Vec<Pose>,
) -> Option<Vec<Bud>> {
    let (last, end, lanes, height) = add_chain(random, growth, options, from, start, lanes, height);
    let radius = between(random, 14.0, 22.0);
    let center = end.place(&Pose::new(radius, 0.0, 0.0));
    if centers.iter().any(|other| other.distance(&center) < 90.0) {
        return None;
    }
    centers.push(center);
    let mut angles = vec![0.0, FRAC_PI_2, -FRAC_PI_2];
    if random.random_bool(0.4) {
        angles.remove(random.random_range(0..3));
    }
    let mut arms =
        vec![Arm { road: last, contact: Contact::End, mouth: end.turned(), lanes: lanes.turned() }];
    let mut buds = Vec::new();
    let junction = growth.id().to_string();
    for angle in angles {
        let turn = angle + between(random, -0.2, 0.2);
        let toward = center.place(&Pose::new(0.0, 0.0, turn));
        let mouth = toward.place(&Pose::new(radius, 0.0, 0.0));
        let arm_lanes = if random.random_bool(0.5) { lanes.clone() } else { CrossSection::random(random) };
        // The road gets its id when it grows; until then the arm has the number of the bud.
        let name = growth.id().to_string();
        arms.push(Arm { road: name.clone(), contact: Contact::Start, mouth, lanes: arm_lanes.clone() });
        buds.push(Bud { junction: format!("{junction} {name}"), mouth, lanes: arm_lanes, height });
    }
    let is_wide = random.random_bool(0.4);
    add_junction(growth, &junction, &arms, height, is_wide);
    Some(buds)
}

/// Adds two or three roads in a row. Returns the last road, the pose at its end, its lanes and its height
/// there. `from` is the junction and the id that the first road must have, separated by a space.
fn add_chain(
    random: &mut impl Rng,
    growth: &mut Growth,
    options: &SyntheticOptions,
    from: Option<&str>,
    start: Pose,
    lanes: CrossSection,
    height: f64,
) -> (String, Pose, CrossSection, f64) {
    let (mut pose, mut lanes, mut height) = (Pose { curvature: 0.0, ..start }, lanes, height);
    let (junction, first_id) = from.and_then(|from| from.split_once(' ')).unzip();
    let mut before: Option<Link> = junction.map(|id| Link::Junction { id: id.to_owned() });
    let count = random.random_range(2..=3);
    let mut last = String::new();
    for index in 0..count {
        let id = match first_id.filter(|_| index == 0).and_then(|id| id.parse().ok()) {
            Some(id) => id,
            None => growth.id(),
        };
        let plan = random_line(random, pose);
        let length: f64 = plan.iter().map(|record| record.length).sum();
        let change =
            random.random_bool(options.lane_changes).then(|| lane_change(random, &lanes, length)).flatten();
        let (mut sections, after) =
            change.unwrap_or_else(|| (vec![lanes.section(0.0, true, true)], lanes.clone()));
        let end_height = height + between(random, -0.02, 0.02) * length;
        unlink_ends(&mut sections, !matches!(before, Some(Link::Road { .. })), index + 1 == count);
        let mut road = road(id, plan, sections, [height, end_height]);
        road.predecessor = before.take();
        pose = Pose { curvature: 0.0, ..road.end_pose(Contact::End) };
        if let (Some(previous), true) = (growth.map.roads.last_mut(), index > 0) {
            previous.successor = Some(Link::Road { id: road.id.clone(), contact: Some(Contact::Start) });
        }
        before = Some(Link::Road { id: road.id.clone(), contact: Some(Contact::End) });
        last.clone_from(&road.id);
        growth.map.roads.push(road);
        (lanes, height) = (after, end_height);
    }
    (last, pose, lanes, height)
}

/// Removes links of lanes where no road follows.
fn unlink_ends(sections: &mut [crate::map::LaneSection], at_start: bool, at_end: bool) {
    if let (Some(first), true) = (sections.first_mut(), at_start) {
        first.lanes.iter_mut().for_each(|lane| lane.predecessors.clear());
    }
    if let (Some(last), true) = (sections.last_mut(), at_end) {
        last.lanes.iter_mut().for_each(|lane| lane.successors.clear());
    }
}

/// Sets the successor of each road that ends at a junction.
fn link_arms(map: &mut Map) {
    let mut ends = Vec::new();
    for road in map.roads.iter().filter(|road| road.junction.is_some()) {
        for link in [&road.predecessor, &road.successor].into_iter().flatten() {
            if let Link::Road { id, contact: Some(Contact::End) } = link {
                ends.push((id.clone(), road.junction.clone().unwrap_or_default()));
            }
        }
    }
    for (id, junction) in ends {
        let is_open = |road: &&mut Road| road.id == id && road.successor.is_none();
        if let Some(road) = map.roads.iter_mut().find(is_open) {
            road.successor = Some(Link::Junction { id: junction });
        }
    }
}

//! A completion without a model: a curve through the gap's poses, and the lanes of the neighbours.

use crate::canonical::canonical;
use crate::gap::{Gap, Neighbor, NeighborLane, Neighbors};
use crate::geometry::{Pose, wrap};
use crate::map::{Contact, Link};
use crate::shape::connect;
use crate::text::{LaneText, LinkText, Piece, ProfileText, RoadText, SectionText, quantize};

/// The text of the road that the neighbours suggest.
///
/// The reference line is a line, an arc between two lines, or a cubic. A connecting road has the lanes that the
/// junction links, and leaves the gap on the lane that has the same place among the lanes of its direction. Another
/// road has the lanes of a neighbour.
pub fn baseline(gap: &Gap, neighbors: &Neighbors) -> String {
    let (lanes, shifts) = if gap.junction.is_some() {
        connecting_lanes(gap, neighbors)
    } else {
        (road_lanes(gap, neighbors), [0.0; 2])
    };
    let place = |frame: &Pose, shift: f64| frame.place(&Pose::new(0.0, shift, 0.0));
    let (start, end) = (place(&neighbors.entry, shifts[0]), place(&neighbors.exit, shifts[1]));
    let plan = connect(Pose { curvature: 0.0, ..start }, end, 0.0, 1.0);
    let link = |end: Contact| match gap.link(end) {
        Link::Road { contact, .. } => LinkText::Road(contact.unwrap_or(Contact::Start)),
        Link::Junction { .. } => LinkText::Junction,
    };
    let offset = reference(gap, neighbors).map_or(0.0, |neighbor| neighbor.lane_offset);
    let offset = if gap.junction.is_some() { 0 } else { quantize(offset, 100.0) };
    let shift = |value: f64| [quantize(value, 100.0), 0, 0];
    RoadText {
        links: [link(Contact::Start), link(Contact::End)],
        start: shift(shifts[0]),
        end: shift(shifts[1]),
        pieces: plan.iter().map(Piece::of).collect(),
        lane_offset: (offset != 0).then(|| ProfileText::constant(offset)),
        elevation: None,
        sections: vec![lanes],
    }
    .to_text()
}

/// The neighbour whose lanes a road takes: a road if there is one, else the first connecting road.
fn reference<'a>(gap: &Gap, neighbors: &'a Neighbors) -> Option<&'a Neighbor> {
    let is_road = |end: Contact| matches!(gap.link(end), Link::Road { .. });
    let from_exit = !is_road(Contact::Start) && is_road(Contact::End);
    if from_exit { neighbors.at_exit.first() } else { neighbors.at_entry.first() }
}

fn road_lanes(gap: &Gap, neighbors: &Neighbors) -> SectionText {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let is_road = |end: Contact| matches!(gap.link(end), Link::Road { .. });
    for lane in reference(gap, neighbors).map_or(&[][..], |neighbor| &neighbor.lanes) {
        let has = |side: &[Neighbor]| side.first().is_some_and(|other| other.lanes.iter().any(|one| one.id == lane.id));
        let links = |end: Contact, side: &[Neighbor]| if is_road(end) && has(side) { vec![lane.id] } else { Vec::new() };
        let text = LaneText {
            kind: lane.kind.clone(),
            width: ProfileText::constant(quantize(lane.width, 100.0)),
            predecessors: links(Contact::Start, &neighbors.at_entry),
            successors: links(Contact::End, &neighbors.at_exit),
        };
        match lane.id {
            0 => {}
            1.. => left.push(text),
            _ => right.push(text),
        }
    }
    SectionText { s: 0, left, right }
}

/// The lanes of a connecting road, and how far its ends are from the reference lines of the neighbours in metres.
fn connecting_lanes(gap: &Gap, neighbors: &Neighbors) -> (SectionText, [f64; 2]) {
    let (entry, exit) = (&neighbors.at_entry[0], &neighbors.at_exit[0]);
    let linked = |neighbor: &Neighbor| -> Vec<(i32, i32)> {
        let pairs = neighbor.lanes.iter().flat_map(|lane| lane.links.iter().map(|&own| (own, lane.id)));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(own, _)| own.unsigned_abs());
        pairs
    };
    let turn = wrap(neighbors.exit.heading - neighbors.entry.heading);
    let (at_entry, at_exit) = (linked(entry), linked(exit));
    // A lane that the junction links at one end continues to the lane of the same place at the other end.
    let mut pairs: Vec<[i32; 3]> = Vec::new();
    for &(own, lane) in &at_entry {
        let other = at_exit.iter().find(|pair| pair.0 == own).map(|pair| pair.1);
        pairs.push([own, lane, other.unwrap_or_else(|| counterpart(entry, exit, lane, turn))]);
    }
    for &(own, lane) in &at_exit {
        if !pairs.iter().any(|pair| pair[0] == own) {
            pairs.push([own, counterpart(exit, entry, lane, turn), lane]);
        }
    }
    let Some(&[own, first, last]) = pairs.first() else {
        let lane = |id: i32| LaneText { predecessors: vec![id], successors: vec![id], ..default_lane() };
        let right = if gap.left_hand { Vec::new() } else { vec![lane(-1)] };
        let left = if gap.left_hand { vec![lane(1)] } else { Vec::new() };
        return (SectionText { s: 0, left, right }, [0.0; 2]);
    };
    let shifts = [inner_border(entry, first), inner_border(exit, last)];
    let lane = |pair: &[i32; 3]| {
        let width = |neighbor: &Neighbor, id: i32| neighbor.lanes.iter().find(|lane| lane.id == id).map(|lane| lane.width);
        let from = quantize(width(entry, pair[1]).unwrap_or(3.5), 100.0);
        let to = quantize(width(exit, pair[2]).unwrap_or(3.5), 100.0);
        LaneText { width: ProfileText::ease(from, to), predecessors: vec![pair[1]], successors: vec![pair[2]], ..default_lane() }
    };
    let mut lanes: Vec<LaneText> = pairs.iter().filter(|pair| pair[0].signum() == own.signum()).map(lane).collect();
    let section = if own > 0 {
        lanes.reverse();
        SectionText { s: 0, left: lanes, right: Vec::new() }
    } else {
        SectionText { s: 0, left: Vec::new(), right: lanes }
    };
    (section, shifts)
}

fn default_lane() -> LaneText {
    LaneText {
        kind: "driving".to_owned(),
        width: ProfileText::constant(350),
        predecessors: Vec::new(),
        successors: Vec::new(),
    }
}

/// The lane of `to` that a lane of `from` leads to: the innermost driving lane for left turns, the outermost one
/// for right turns, and the lane of the same place otherwise.
fn counterpart(from: &Neighbor, to: &Neighbor, lane: i32, turn: f64) -> i32 {
    let side = |neighbor: &Neighbor| -> Vec<i32> {
        let is_on_side = |one: &&NeighborLane| one.id.signum() == lane.signum() && one.kind == "driving";
        let mut ids: Vec<i32> = neighbor.lanes.iter().filter(is_on_side).map(|one| one.id).collect();
        ids.sort_by_key(|id| id.unsigned_abs());
        ids
    };
    let (own, other) = (side(from), side(to));
    let place = own.iter().position(|&id| id == lane).unwrap_or(0);
    let place = if turn * f64::from(lane.signum()) < -0.6 {
        place
    } else if turn.abs() > 0.6 {
        other.len().saturating_sub(own.len().saturating_sub(place))
    } else {
        place
    };
    other.get(place).or(other.last()).copied().unwrap_or(lane)
}

/// The lateral position of a lane's inner border in metres, in the neighbour's frame and the gap's direction.
fn inner_border(neighbor: &Neighbor, id: i32) -> f64 {
    let inside = neighbor.lanes.iter().filter(|lane| lane.id.signum() == id.signum() && lane.id.abs() < id.abs());
    neighbor.lane_offset + f64::from(id.signum()) * inside.map(|lane| lane.width).sum::<f64>()
}

/// The canonical form of the road that the baseline's text gives.
pub fn baseline_road(gap: &Gap, neighbors: &Neighbors) -> crate::Result<crate::map::Road> {
    Ok(canonical(&crate::text::decode(&baseline(gap, neighbors), gap, neighbors)?))
}

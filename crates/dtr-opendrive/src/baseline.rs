//! A completion without a model: a curve through the gap's poses, and the lanes of the neighbours.

use crate::gap::{Gap, Neighbor, NeighborLane, Neighbors};
use crate::geometry::{Pose, wrap};
use crate::map::{Contact, Link};
use crate::shape::connect;
use crate::text::{LaneText, LinkText, Piece, ProfileText, RoadText, SectionText, quantize};

/// The part of the distance to the point where the directions meet that a bend between straight ends takes.
const STRAIGHT_SHARE: f64 = 0.9;

/// The text of the road that the neighbours suggest.
///
/// The reference line is a line, an arc between two lines, or a cubic. A connecting road has the lanes that
/// the junction links, and leaves the gap on the lane that has the same place among the lanes of its
/// direction. Another road has the lanes of a neighbour.
pub fn baseline(gap: &Gap, neighbors: &Neighbors) -> String {
    let (lanes, shifts) =
        if gap.junction.is_some() { connecting_lanes(gap, neighbors) } else { road_lanes(gap, neighbors) };
    let place = |frame: &Pose, shift: f64| frame.place(&Pose::new(0.0, shift, 0.0));
    let (start, end) = (place(&neighbors.entry, shifts[0]), place(&neighbors.exit, shifts[1]));
    // Neighbours that are straight at the gap suggest straight ends.
    let is_bent = [neighbors.entry, neighbors.exit].iter().any(|pose| pose.curvature.abs() > 1e-4);
    let plan =
        connect(Pose { curvature: 0.0, ..start }, end, 0.0, if is_bent { 1.0 } else { STRAIGHT_SHARE });
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

/// The lanes of a road, and how far its ends are from the reference lines of the neighbours in metres.
fn road_lanes(gap: &Gap, neighbors: &Neighbors) -> (SectionText, [f64; 2]) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let Some(source) = reference(gap, neighbors) else {
        return (SectionText { s: 0, left, right }, [0.0; 2]);
    };
    let links = |side: &[Neighbor], end: Contact, id: i32| {
        let neighbor = side.first().filter(|_| matches!(gap.link(end), Link::Road { .. }));
        let linking = neighbor.and_then(|one| one.lanes.iter().find(|lane| lane.links.contains(&id)));
        linking.map(|lane| vec![lane.id]).unwrap_or_default()
    };
    for (id, lane) in outward_ids(source) {
        let text = LaneText {
            kind: lane.kind.clone(),
            width: ProfileText::constant(quantize(lane.width, 100.0)),
            predecessors: links(&neighbors.at_entry, Contact::Start, id),
            successors: links(&neighbors.at_exit, Contact::End, id),
        };
        if id > 0 { left.push(text) } else { right.push(text) }
    }
    let shift = |neighbor: &Neighbor| {
        let linked = neighbor.lanes.iter().filter(|lane| lane.id != 0 && !lane.links.is_empty());
        let inner = linked.min_by_key(|lane| lane.links[0].unsigned_abs());
        inner.map_or(0.0, |lane| inner_border(neighbor, lane.id) - inner_border(source, lane.links[0]))
    };
    let shifts = [shift(&neighbors.at_entry[0]), shift(&neighbors.at_exit[0])];
    (SectionText { s: 0, left, right }, shifts)
}

/// The lanes of a neighbour but the centre lane, from left to right, with their ids in the gap's direction.
fn outward_ids(neighbor: &Neighbor) -> impl Iterator<Item = (i32, &NeighborLane)> {
    neighbor.lanes.iter().filter(|lane| lane.id != 0).map(|lane| (lane.id, lane))
}

/// The lanes of a connecting road, and how far its ends are from the reference lines of the neighbours in
/// metres.
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
    let Some(&[_, first, last]) = pairs.first() else {
        let lane = |id: i32| LaneText { predecessors: vec![id], successors: vec![id], ..default_lane() };
        let right = if gap.left_hand { Vec::new() } else { vec![lane(-1)] };
        let left = if gap.left_hand { vec![lane(1)] } else { Vec::new() };
        return (SectionText { s: 0, left, right }, [0.0; 2]);
    };
    let shifts = [inner_border(entry, first), inner_border(exit, last)];
    let lane = |pair: &[i32; 3]| {
        let width = |neighbor: &Neighbor, id: i32| {
            neighbor.lanes.iter().find(|lane| lane.id == id).map(|lane| lane.width)
        };
        let from = quantize(width(entry, pair[1]).unwrap_or(3.5), 100.0);
        let to = quantize(width(exit, pair[2]).unwrap_or(3.5), 100.0);
        let width = ProfileText::ease(from, to);
        LaneText { width, predecessors: vec![pair[1]], successors: vec![pair[2]], ..default_lane() }
    };
    let side = |sign: i32| pairs.iter().filter(move |pair| pair[0].signum() == sign).map(lane);
    let mut left: Vec<LaneText> = side(1).collect();
    left.reverse();
    (SectionText { s: 0, left, right: side(-1).collect() }, shifts)
}

fn default_lane() -> LaneText {
    LaneText {
        kind: "driving".to_owned(),
        width: ProfileText::constant(350),
        predecessors: Vec::new(),
        successors: Vec::new(),
    }
}

/// The lane of `to` that a lane of `from` leads to: the innermost driving lane for left turns, the outermost
/// one for right turns, and the lane of the same place otherwise.
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
    let inside =
        neighbor.lanes.iter().filter(|lane| lane.id.signum() == id.signum() && lane.id.abs() < id.abs());
    neighbor.lane_offset + f64::from(id.signum()) * inside.map(|lane| lane.width).sum::<f64>()
}

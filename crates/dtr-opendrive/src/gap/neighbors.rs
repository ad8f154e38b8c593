//! The roads around a gap, in the frame of the gap's entry.

use super::Gap;
use crate::canonical::touching_end;
use crate::geometry::Pose;
use crate::map::{Contact, LaneSection, Link, Map, Road};

/// The roads at both ends of a gap. The missing road itself is never looked at, even if the map has it.
#[derive(Clone, Debug)]
pub struct Neighbors {
    /// Where traffic enters the gap, in the map's frame. Its direction leads into the gap.
    pub entry: Pose,
    /// Where the gap ends, in the map's frame. Its direction leads out of the gap.
    pub exit: Pose,
    /// Roads at the entry. The first one gives the pose `entry`.
    pub at_entry: Vec<Neighbor>,
    /// Roads at the exit. The first one gives the pose `exit`.
    pub at_exit: Vec<Neighbor>,
}

/// A road that touches the missing road.
#[derive(Clone, Debug)]
pub struct Neighbor {
    /// The id of the road.
    pub road: String,
    /// The end that touches the missing road.
    pub contact: Contact,
    /// Whether the road's reference line runs against the direction of the gap.
    pub is_against: bool,
    /// The contact in the frame of the gap's entry, in the gap's direction.
    pub pose: Pose,
    /// The lateral shift of the centre lane at the contact in metres, in the gap's direction.
    pub lane_offset: f64,
    /// The height in metres and the slope at the contact, in the gap's direction.
    pub height: [f64; 2],
    /// The lanes from left to right in the gap's direction, with the centre lane.
    pub lanes: Vec<NeighborLane>,
}

/// A lane of a neighbour at the contact.
#[derive(Clone, Debug)]
pub struct NeighborLane {
    /// The id in the gap's direction: the neighbour's own id, negated if the neighbour runs against the gap.
    pub id: i32,
    /// The lane type.
    pub kind: String,
    /// The width at the contact in metres.
    pub width: f64,
    /// Ids of the missing road's lanes to which the neighbour or the junction links this lane.
    pub links: Vec<i32>,
}

impl Neighbors {
    /// The neighbours of a gap. `None` if one end has no road that the map knows.
    pub fn of(map: &Map, gap: &Gap) -> Option<Self> {
        let [mut at_entry, mut at_exit] = [Contact::Start, Contact::End].map(|end| touching(map, gap, end));
        let (entry, exit) = (at_entry.first()?.pose, at_exit.first()?.pose);
        for neighbor in at_entry.iter_mut().chain(&mut at_exit) {
            neighbor.pose = entry.localize(&neighbor.pose);
        }
        Some(Self { entry, exit, at_entry, at_exit })
    }

    /// Whether the first neighbour at an end runs against the gap, so that its lane ids have the other sign.
    pub fn is_against(&self, end: Contact) -> bool {
        let side = if end == Contact::Start { &self.at_entry } else { &self.at_exit };
        side.first().is_some_and(|neighbor| neighbor.is_against)
    }
}

/// The roads at one end of a gap, with poses in the map's frame.
fn touching(map: &Map, gap: &Gap, end: Contact) -> Vec<Neighbor> {
    match gap.link(end) {
        Link::Road { id, contact: Some(contact) } if *id != gap.road => {
            let road = map.road(id).filter(|road| !road.plan.is_empty());
            road.map(|road| neighbor(map, gap, end, road, *contact)).into_iter().collect()
        }
        Link::Road { .. } => Vec::new(),
        Link::Junction { id } => {
            let connects = |road: &&Road| {
                road.junction.as_deref() == Some(id) && road.id != gap.road && !road.plan.is_empty()
            };
            let connecting = map.roads.iter().filter(connects);
            let mut found: Vec<_> = connecting
                .filter_map(|road| Some((road, touching_end(road, &gap.road, end)?)))
                .map(|(road, contact)| neighbor(map, gap, end, road, contact))
                .collect();
            // The reference line of a road that joins the innermost lanes usually touches the missing road's
            // own.
            let innermost = |neighbor: &Neighbor| {
                let ids = neighbor.lanes.iter().flat_map(|lane| &lane.links);
                ids.map(|id| id.unsigned_abs()).min().unwrap_or(u32::MAX)
            };
            found.sort_by_key(innermost);
            found
        }
    }
}

fn neighbor(map: &Map, gap: &Gap, end: Contact, road: &Road, contact: Contact) -> Neighbor {
    // A road that ends at the gap's entry or begins at its exit has the gap's direction.
    let is_against = contact == end;
    let sign = if is_against { -1 } else { 1 };
    let factor = f64::from(sign);
    let s = road.s_of(contact);
    let pose = road.end_pose(contact);
    let piece = road.elevation.piece(s);
    let slope = piece.map_or(0.0, |piece| piece.slope(s - piece.s));
    let mut lanes = road
        .section_at(contact)
        .map_or(Vec::new(), |section| lanes_at(map, gap, end, road, contact, section, sign));
    if is_against {
        lanes.reverse();
    }
    Neighbor {
        road: road.id.clone(),
        contact,
        is_against,
        pose: if is_against { pose.turned() } else { pose },
        lane_offset: factor * road.lane_offset.value_before(s),
        height: [road.elevation.value(s), factor * slope],
        lanes,
    }
}

fn lanes_at(
    map: &Map,
    gap: &Gap,
    end: Contact,
    road: &Road,
    contact: Contact,
    section: &LaneSection,
    sign: i32,
) -> Vec<NeighborLane> {
    let at = road.s_of(contact) - section.s;
    let links_gap = matches!(road.link(contact), Some(Link::Road { id, .. }) if *id == gap.road);
    let junction = gap.junction.as_deref().and_then(|id| map.junction(id));
    let connections = junction.into_iter().flat_map(|junction| &junction.connections).filter(|connection| {
        connection.connecting.as_deref() == Some(&gap.road)
            && connection.incoming.as_deref() == Some(&road.id)
            && connection.contact == end
    });
    let pairs: Vec<(i32, i32)> = connections.flat_map(|connection| connection.lane_links.clone()).collect();
    let lane = |lane: &crate::map::Lane| {
        let own = if contact == Contact::Start { &lane.predecessors } else { &lane.successors };
        let mut links = if links_gap { own.clone() } else { Vec::new() };
        links.extend(pairs.iter().filter(|pair| pair.0 == lane.id).map(|pair| pair.1));
        links.dedup();
        let width = if at > 0.0 { lane.width.value_before(at) } else { lane.width.value(0.0) };
        NeighborLane { id: sign * lane.id, kind: lane.kind.clone(), width, links }
    };
    section.lanes.iter().map(lane).collect()
}

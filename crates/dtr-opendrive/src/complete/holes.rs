//! Finds roads that a map names and does not have.

use std::collections::HashSet;

use crate::gap::Gap;
use crate::map::{Contact, Link, Map, Road};

/// A missing road, as far as the rest of the map describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The id that links name.
    pub road: String,
    /// The junction that has the road as a connecting road.
    pub junction: Option<String>,
    /// Whether traffic keeps to the left, as on most roads of the map.
    pub left_hand: bool,
    /// What the road's start touches, if the map says so.
    pub entry: Option<Link>,
    /// What the road's end touches, if the map says so.
    pub exit: Option<Link>,
    /// What the unknown end of a connecting road may touch, the most likely first. A junction names only the
    /// road by which traffic enters a connecting road, not the road by which it leaves.
    pub candidates: Vec<Link>,
}

impl Hole {
    /// The gap, if both ends are known.
    pub fn gap(&self) -> Option<Gap> {
        Some(self.gap_between(self.entry.clone()?, self.exit.clone()?))
    }

    /// The gap, with the most likely candidate in place of one unknown end.
    pub fn likely_gap(&self) -> Option<Gap> {
        let candidate = || self.candidates.first().cloned();
        match (self.entry.clone(), self.exit.clone()) {
            (None, None) => None,
            (entry, exit) => Some(self.gap_between(entry.or_else(candidate)?, exit.or_else(candidate)?)),
        }
    }

    /// The gap between two ends of the caller's choice.
    pub fn gap_between(&self, entry: Link, exit: Link) -> Gap {
        Gap {
            road: self.road.clone(),
            junction: self.junction.clone(),
            left_hand: self.left_hand,
            entry,
            exit,
        }
    }
}

/// All missing roads, in the order in which the map names them.
pub fn holes(map: &Map) -> Vec<Hole> {
    let mut ids: Vec<&str> = Vec::new();
    let links = map.roads.iter().flat_map(|road| [&road.predecessor, &road.successor]).flatten();
    let linked = links.filter_map(|link| match link {
        Link::Road { id, .. } => Some(id.as_str()),
        Link::Junction { .. } => None,
    });
    let connections = map.junctions.iter().flat_map(|junction| &junction.connections);
    let connected =
        connections.flat_map(|connection| [&connection.connecting, &connection.incoming]).flatten();
    let mut known: HashSet<&str> = map.roads.iter().map(|road| road.id.as_str()).collect();
    for id in linked.chain(connected.map(String::as_str)) {
        if known.insert(id) {
            ids.push(id);
        }
    }
    ids.into_iter().map(|id| hole_of(map, id)).collect()
}

/// What the map says about the missing road `id`.
pub fn hole_of(map: &Map, id: &str) -> Hole {
    let is_left = |road: &&Road| road.left_hand;
    let mut hole = Hole {
        road: id.to_owned(),
        junction: None,
        left_hand: 2 * map.roads.iter().filter(is_left).count() > map.roads.len(),
        entry: None,
        exit: None,
        candidates: Vec::new(),
    };
    for road in &map.roads {
        for end in [Contact::Start, Contact::End] {
            let Some(Link::Road { id: linked, contact: Some(contact) }) = road.link(end) else { continue };
            if linked == id {
                // A connecting road touches the missing road on behalf of its junction.
                let link = match &road.junction {
                    Some(junction) => Link::Junction { id: junction.clone() },
                    None => Link::Road { id: road.id.clone(), contact: Some(end) },
                };
                set_end(&mut hole, *contact, link);
            }
        }
    }
    add_connections(map, &mut hole);
    hole
}

fn set_end(hole: &mut Hole, end: Contact, link: Link) {
    let target = if end == Contact::Start { &mut hole.entry } else { &mut hole.exit };
    target.get_or_insert(link);
}

/// Adds what the connections of junctions say of a missing connecting road.
fn add_connections(map: &Map, hole: &mut Hole) {
    for junction in &map.junctions {
        for connection in &junction.connections {
            if connection.connecting.as_deref() != Some(&hole.road) {
                continue;
            }
            hole.junction = Some(junction.id.clone());
            let incoming = connection.incoming.as_deref().and_then(|id| map.road(id));
            if let Some(link) = incoming.and_then(|road| end_at_junction(road, &junction.id)) {
                set_end(hole, connection.contact, link);
            }
        }
    }
    let Some(junction) = hole.junction.clone() else { return };
    let known = match (&hole.entry, &hole.exit) {
        (Some(known), None) | (None, Some(known)) => known.clone(),
        _ => return,
    };
    let arms = map.roads.iter().filter(|road| road.junction.is_none());
    let ends = arms.filter_map(|road| end_at_junction(road, &junction)).filter(|link| *link != known);
    let mut ends: Vec<Link> = ends.collect();
    let connections = |link: &Link| {
        let joins = |road: &&Road| {
            let links = [road.predecessor.as_ref(), road.successor.as_ref()];
            road.junction.as_deref() == Some(&junction)
                && links.contains(&Some(link))
                && links.contains(&Some(&known))
        };
        map.roads.iter().filter(joins).count()
    };
    ends.sort_by_key(connections);
    hole.candidates = ends;
}

/// The end of a road that touches a junction.
fn end_at_junction(road: &Road, junction: &str) -> Option<Link> {
    let touches = |end: &Contact| matches!(road.link(*end), Some(Link::Junction { id }) if id == junction);
    let end = [Contact::End, Contact::Start].into_iter().find(touches)?;
    Some(Link::Road { id: road.id.clone(), contact: Some(end) })
}

//! Reverses the direction of one road in a map, and all links to it.

use crate::map::{Contact, Link, Map};
use crate::transform::reversed_road;

/// Reverses the road `id`. The map describes the same lanes as before.
pub(super) fn flip(map: &mut Map, id: &str) {
    for road in map.roads.iter_mut().filter(|road| road.id != id) {
        for end in [Contact::Start, Contact::End] {
            let link = if end == Contact::Start { &mut road.predecessor } else { &mut road.successor };
            let Some(Link::Road { id: linked, contact }) = link else { continue };
            if linked != id {
                continue;
            }
            *contact = contact.map(Contact::opposite);
            let section =
                if end == Contact::Start { road.sections.first_mut() } else { road.sections.last_mut() };
            for lane in section.into_iter().flat_map(|section| &mut section.lanes) {
                let ids = if end == Contact::Start { &mut lane.predecessors } else { &mut lane.successors };
                ids.iter_mut().for_each(|id| *id = -*id);
            }
        }
    }
    for connection in map.junctions.iter_mut().flat_map(|junction| &mut junction.connections) {
        if connection.incoming.as_deref() == Some(id) {
            connection.lane_links.iter_mut().for_each(|link| link.0 = -link.0);
        }
    }
    for road in map.roads.iter_mut().filter(|road| road.id == id) {
        let mut flipped = reversed_road(road);
        restore_neighbors(&mut flipped);
        *road = flipped;
    }
}

/// `reversed_road` reverses the neighbours too. Only this road is reversed here, so its links to the
/// neighbours get their own ends and ids back.
fn restore_neighbors(road: &mut crate::map::Road) {
    for link in [&mut road.predecessor, &mut road.successor].into_iter().flatten() {
        if let Link::Road { contact, .. } = link {
            *contact = contact.map(Contact::opposite);
        }
    }
    let negate = |ids: &mut Vec<i32>| ids.iter_mut().for_each(|id| *id = -*id);
    if let Some(first) = road.sections.first_mut() {
        first.lanes.iter_mut().for_each(|lane| negate(&mut lane.predecessors));
    }
    if let Some(last) = road.sections.last_mut() {
        last.lanes.iter_mut().for_each(|lane| negate(&mut lane.successors));
    }
}

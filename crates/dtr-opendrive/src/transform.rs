//! Reflection and reversal of whole maps. Both give valid maps, so items of them are further training items.
//!
//! A rotation or a shift changes no item, because items are written in the frame of the gap's entry.

use crate::geometry::{CubicCurve, Pose};
use crate::map::{Curve, Geometry, Junction, Lane, LaneSection, Link, Map, Road};

/// The mirror image of a map at the x axis. Traffic keeps to the other side.
#[must_use]
pub fn reflected(map: &Map) -> Map {
    let junction = |junction: &Junction| with_lane_links(junction, |(from, to)| (-from, -to));
    Map {
        roads: map.roads.iter().map(reflected_road).collect(),
        junctions: map.junctions.iter().map(junction).collect(),
        ..map.clone()
    }
}

/// The map with the direction of every reference line reversed.
#[must_use]
pub fn reversed(map: &Map) -> Map {
    let junction = |junction: &Junction| {
        let mut junction = with_lane_links(junction, |(from, to)| (-from, -to));
        for connection in &mut junction.connections {
            connection.contact = connection.contact.opposite();
        }
        junction
    };
    Map {
        roads: map.roads.iter().map(reversed_road).collect(),
        junctions: map.junctions.iter().map(junction).collect(),
        ..map.clone()
    }
}

fn with_lane_links(junction: &Junction, change: impl Fn((i32, i32)) -> (i32, i32)) -> Junction {
    let mut junction = junction.clone();
    for connection in &mut junction.connections {
        connection.lane_links = connection.lane_links.iter().map(|&link| change(link)).collect();
    }
    junction
}

fn negated(ids: &[i32]) -> Vec<i32> {
    ids.iter().map(|id| -id).collect()
}

fn reflected_road(road: &Road) -> Road {
    let lane = |lane: &Lane| Lane {
        id: -lane.id,
        predecessors: negated(&lane.predecessors),
        successors: negated(&lane.successors),
        ..lane.clone()
    };
    let section = |section: &LaneSection| LaneSection {
        s: section.s,
        lanes: section.lanes.iter().rev().map(lane).collect(),
    };
    Road {
        left_hand: !road.left_hand,
        plan: road.plan.iter().map(reflected_record).collect(),
        lane_offset: road.lane_offset.scaled(-1.0),
        sections: road.sections.iter().map(section).collect(),
        ..road.clone()
    }
}

fn reflected_record(record: &Geometry) -> Geometry {
    let minus = |coefficients: [f64; 4]| coefficients.map(|c| -c);
    let curve = match record.curve {
        Curve::Line => Curve::Line,
        Curve::Arc { curvature } => Curve::Arc { curvature: -curvature },
        Curve::Spiral { start, end } => Curve::Spiral { start: -start, end: -end },
        Curve::Poly3 { v } => Curve::Poly3 { v: minus(v) },
        Curve::ParamPoly3 { u, v, normalized } => Curve::ParamPoly3 { u, v: minus(v), normalized },
    };
    Geometry { y: -record.y, heading: -record.heading, curve, ..record.clone() }
}

/// A road with the direction of its reference line reversed. Lane ids change their sign.
#[must_use]
pub fn reversed_road(road: &Road) -> Road {
    let turn = |link: &Link| match link {
        Link::Road { id, contact } => {
            Link::Road { id: id.clone(), contact: contact.map(|end| end.opposite()) }
        }
        Link::Junction { .. } => link.clone(),
    };
    let sections = road.sections.iter().enumerate().rev();
    Road {
        predecessor: road.successor.as_ref().map(turn),
        successor: road.predecessor.as_ref().map(turn),
        plan: road.plan.iter().rev().map(|record| reversed_record(record, road.length)).collect(),
        elevation: road.elevation.reversed(road.length),
        lane_offset: road.lane_offset.reversed(road.length).scaled(-1.0),
        sections: sections.map(|(index, section)| reversed_section(road, index, section)).collect(),
        ..road.clone()
    }
}

fn reversed_section(road: &Road, index: usize, section: &LaneSection) -> LaneSection {
    let end = road.section_end(index);
    let lane = |lane: &Lane| Lane {
        id: -lane.id,
        kind: lane.kind.clone(),
        width: lane.width.reversed((end - section.s).max(0.0)),
        predecessors: negated(&lane.successors),
        successors: negated(&lane.predecessors),
    };
    LaneSection { s: (road.length - end).max(0.0), lanes: section.lanes.iter().rev().map(lane).collect() }
}

fn reversed_record(record: &Geometry, road_length: f64) -> Geometry {
    let Pose { x, y, heading, .. } = record.end().turned();
    let curve = match record.curve {
        Curve::Line => Curve::Line,
        Curve::Arc { curvature } => Curve::Arc { curvature: -curvature },
        Curve::Spiral { start, end } => Curve::Spiral { start: -end, end: -start },
        Curve::Poly3 { .. } | Curve::ParamPoly3 { .. } => {
            let cubic =
                CubicCurve::of(&record.curve, record.length).expect("the record is a cubic").reversed();
            Curve::ParamPoly3 { u: cubic.u, v: cubic.v, normalized: true }
        }
    };
    let s = (road_length - record.s - record.length).max(0.0);
    Geometry { s, x, y, heading, length: record.length, curve }
}

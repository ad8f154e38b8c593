//! The canonical form of a road: the same road with as few records as possible.
//!
//! Editors split reference lines and lane sections where nothing changes, for example at signals. The
//! canonical form joins such parts. It is what the text form of a road describes and what the metric
//! compares.

use crate::geometry::CubicCurve;
use crate::map::{Contact, Cubic, Curve, Geometry, Lane, LaneSection, Profile, Road};

/// Two functions that differ by less than this many metres are equal.
const SAME_LENGTH: f64 = 2e-3;
/// Records of the plan view that are shorter than this many metres are left out.
const SHORTEST_RECORD: f64 = 1e-3;

/// Lane sections that are shorter than this many metres are left out.
const SHORTEST_SECTION: f64 = 1e-9;

/// The canonical form of a road.
#[must_use]
pub fn canonical(road: &Road) -> Road {
    let road = &without_short_sections(road);
    let mut sections: Vec<LaneSection> = Vec::new();
    for (index, section) in road.sections.iter().enumerate() {
        let mut section = section.clone();
        let length = (road.section_end(index) - section.s).max(0.0);
        for lane in &mut section.lanes {
            lane.width = simplified(&lane.width, length);
        }
        match sections.last_mut().filter(|last| joins(last, &section)) {
            Some(last) => join(last, &section),
            None => sections.push(section),
        }
    }
    let mut road = Road { sections, plan: canonical_plan(&road.plan), ..road.clone() };
    for index in 0..road.sections.len() {
        let length = (road.section_end(index) - road.sections[index].s).max(0.0);
        for lane in &mut road.sections[index].lanes {
            lane.width = simplified(&lane.width, length);
        }
    }
    road.lane_offset = simplified(&road.lane_offset, road.length);
    road.elevation = simplified(&road.elevation, road.length);
    road
}

/// Leaves out lane sections without a real length. The links of lanes then lead past them.
fn without_short_sections(road: &Road) -> Road {
    let mut road = road.clone();
    while road.sections.len() > 1 {
        let is_short = |&index: &usize| road.section_end(index) - road.sections[index].s < SHORTEST_SECTION;
        let Some(index) = (0..road.sections.len()).find(is_short) else { break };
        let short = road.sections.remove(index);
        let past = |ids: &[i32], back: bool| {
            let lanes = ids.iter().filter_map(|&id| short.lane(id));
            let ids = lanes.flat_map(|lane| if back { &lane.predecessors } else { &lane.successors });
            ids.copied().collect::<Vec<_>>()
        };
        if index == 0 {
            let next = &mut road.sections[0];
            next.s = short.s;
            next.lanes.iter_mut().for_each(|lane| lane.predecessors = past(&lane.predecessors, true));
        } else {
            let before = &mut road.sections[index - 1];
            before.lanes.iter_mut().for_each(|lane| lane.successors = past(&lane.successors, false));
            // The lanes after the short section keep their links only if the ids are those before it.
            if let Some(next) = road.sections.get_mut(index) {
                next.lanes.iter_mut().for_each(|lane| lane.predecessors = past(&lane.predecessors, true));
            }
        }
    }
    road
}

/// Whether the second section continues all lanes of the first.
fn joins(first: &LaneSection, second: &LaneSection) -> bool {
    let border = second.s - first.s;
    let continues = |(a, b): (&Lane, &Lane)| {
        let is_linked = if a.id == 0 {
            true
        } else {
            let one = [a.id];
            (a.successors == one && b.predecessors == one)
                || (a.successors.is_empty() && b.predecessors.is_empty())
        };
        let step = a.width.value(border) - b.width.value(0.0);
        a.id == b.id && a.kind == b.kind && is_linked && step.abs() < 5.0 * SAME_LENGTH
    };
    first.lanes.len() == second.lanes.len() && first.lanes.iter().zip(&second.lanes).all(continues)
}

fn join(first: &mut LaneSection, second: &LaneSection) {
    let border = second.s - first.s;
    for (a, b) in first.lanes.iter_mut().zip(&second.lanes) {
        a.width.pieces.retain(|piece| piece.s < border);
        a.width.pieces.extend(b.width.pieces.iter().map(|piece| Cubic { s: piece.s + border, ..*piece }));
        a.successors.clone_from(&b.successors);
    }
}

/// The function on `0..length` with as few pieces as possible.
fn simplified(profile: &Profile, length: f64) -> Profile {
    let mut pieces: Vec<Cubic> = Vec::new();
    for (index, piece) in profile.pieces.iter().enumerate() {
        let end = profile.pieces.get(index + 1).map_or(length, |next| next.s.min(length));
        let is_first = pieces.is_empty();
        if end - piece.s < SHORTEST_RECORD && !(is_first && index + 1 == profile.pieces.len()) {
            continue;
        }
        let mut piece = if is_first { piece.moved_to(0.0) } else { *piece };
        if let Some(last) = pieces.last() {
            let differs = |at: f64| (last.value(at - last.s) - piece.value(at - piece.s)).abs() > SAME_LENGTH;
            let points = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| piece.s + part * (end - piece.s));
            if !points.into_iter().any(differs) {
                continue;
            }
            piece.s = piece.s.max(last.s);
        }
        pieces.push(piece);
    }
    Profile { pieces }
}

/// The reference line with as few records as possible. Cubics become `paramPoly3` with a parameter from 0 to
/// 1, in the frame of their own first direction.
fn canonical_plan(plan: &[Geometry]) -> Vec<Geometry> {
    let mut records: Vec<Geometry> = Vec::new();
    for record in plan {
        let record = simple_record(record);
        match records.last_mut().and_then(|last| joined(last, &record).map(|both| (last, both))) {
            Some((last, both)) => *last = both,
            None => records.push(record),
        }
    }
    let longest = records.iter().map(|record| record.length).fold(0.0, f64::max);
    records.retain(|record| record.length >= SHORTEST_RECORD.min(longest));
    records
}

/// Writes almost straight curves as lines, and cubics in the frame of their first direction.
fn simple_record(record: &Geometry) -> Geometry {
    let length = record.length;
    let bow = |curvature: f64| 0.5 * curvature.abs() * length * length;
    let curve = match record.curve {
        Curve::Arc { curvature } if bow(curvature) < 5e-4 && curvature.abs() < 1e-4 => Curve::Line,
        Curve::Spiral { start, end } if (start - end).abs() < 1e-7 => {
            return simple_record(&Geometry { curve: Curve::Arc { curvature: start }, ..record.clone() });
        }
        Curve::Poly3 { .. } | Curve::ParamPoly3 { .. } => {
            let start = record.start();
            let cubic = CubicCurve::of(&record.curve, length).expect("the record is a cubic").normalized();
            let (x, y, heading) = (start.x, start.y, start.heading);
            let curve = Curve::ParamPoly3 { u: cubic.u, v: cubic.v, normalized: true };
            return Geometry { x, y, heading, curve, ..record.clone() };
        }
        ref other => other.clone(),
    };
    Geometry { curve, ..record.clone() }
}

/// One record for two, if both are parts of one curve.
fn joined(first: &Geometry, second: &Geometry) -> Option<Geometry> {
    let length = first.length + second.length;
    let curve = match (&first.curve, &second.curve) {
        (Curve::Line, Curve::Line) => {
            let bend = crate::geometry::wrap(second.heading - first.heading).abs();
            (bend < 1e-5).then_some(Curve::Line)?
        }
        (Curve::Arc { curvature: a }, Curve::Arc { curvature: b }) => {
            let is_same = (a - b).abs() < 1e-7 + 1e-4 * a.abs();
            let curvature = (a * first.length + b * second.length) / length.max(1e-12);
            is_same.then_some(Curve::Arc { curvature })?
        }
        (Curve::Spiral { start, end: a }, Curve::Spiral { start: b, end }) => {
            let rate = |from: f64, to: f64, over: f64| (to - from) / over.max(1e-9);
            let (one, two) = (rate(*start, *a, first.length), rate(*b, *end, second.length));
            let is_same = (a - b).abs() < 1e-7 && (one - two).abs() < 1e-4 * one.abs();
            is_same.then_some(Curve::Spiral { start: *start, end: *end })?
        }
        _ => return None,
    };
    Some(Geometry { length, curve, ..first.clone() })
}

/// The end of `road` that touches `neighbor`'s `contact`, by the links of `road`.
pub(crate) fn touching_end(road: &Road, neighbor: &str, contact: Contact) -> Option<Contact> {
    [Contact::Start, Contact::End].into_iter().find(|&end| {
        let Some(crate::map::Link::Road { id, contact: Some(at) }) = road.link(end) else { return false };
        id == neighbor && *at == contact
    })
}

//! Rules of lane sections and lanes.

use super::{Finding, Index, Rule, add};
use crate::map::{Contact, LaneSection, Link, Road};

pub(super) fn check_sections(road: &Road, findings: &mut Vec<Finding>) {
    let ascends = road.sections.windows(2).all(|pair| pair[0].s < pair[1].s);
    let first = road.sections.first().is_some_and(|section| section.s.abs() < 1e-6);
    let last = road.sections.last().is_some_and(|section| section.s < road.length);
    if !(ascends && first && last) {
        let message = "the lane sections do not begin at 0 and ascend up to the road's end".to_owned();
        add(findings, Rule::SectionsAscend, road, message);
    }
    for (index, section) in road.sections.iter().enumerate() {
        check_ids(road, section, findings);
        check_widths(road, section, road.section_end(index) - section.s, findings);
    }
}

fn check_ids(road: &Road, section: &LaneSection, findings: &mut Vec<Finding>) {
    let is_contiguous = section.lanes.windows(2).all(|pair| pair[0].id == pair[1].id + 1);
    if !is_contiguous || section.lane(0).is_none() || section.lanes.len() < 2 {
        let ids: Vec<i32> = section.lanes.iter().map(|lane| lane.id).collect();
        let message = format!("the lanes at s {:.2} have the ids {ids:?}", section.s);
        add(findings, Rule::LaneIds, road, message);
    }
}

fn check_widths(road: &Road, section: &LaneSection, length: f64, findings: &mut Vec<Finding>) {
    for lane in section.lanes.iter().filter(|lane| lane.id != 0) {
        if lane.width.pieces.first().is_none_or(|piece| piece.s > 1e-3) {
            let message = format!("lane {} at s {:.2} has no width at its start", lane.id, section.s);
            add(findings, Rule::WidthsDefined, road, message);
        }
        let lowest = (0..=16).map(|part| lane.width.value_before(length * f64::from(part) / 16.0));
        let lowest = lowest.fold(f64::INFINITY, f64::min);
        if lowest < -0.02 {
            let message = format!("lane {} at s {:.2} has the width {lowest:.3} m", lane.id, section.s);
            add(findings, Rule::WidthsNonNegative, road, message);
        }
    }
}

pub(super) fn check_lane_links(index: &Index<'_>, road: &Road, findings: &mut Vec<Finding>) {
    for (number, section) in road.sections.iter().enumerate() {
        let before = match number.checked_sub(1) {
            Some(before) => road.sections.get(before),
            None => adjacent(index, road, Contact::Start),
        };
        let after = match road.sections.get(number + 1) {
            Some(after) => Some(after),
            None => adjacent(index, road, Contact::End),
        };
        for lane in &section.lanes {
            for (ids, target) in [(&lane.predecessors, before), (&lane.successors, after)] {
                let missing = ids.iter().find(|&&id| target.is_none_or(|section| section.lane(id).is_none()));
                if let Some(id) = missing {
                    let message = format!(
                        "lane {} at s {:.2} links lane {id}, which does not exist",
                        lane.id, section.s
                    );
                    add(findings, Rule::LaneLinksResolve, road, message);
                }
            }
        }
    }
}

/// The lane section of the road that an end links to.
fn adjacent<'a>(index: &Index<'a>, road: &Road, end: Contact) -> Option<&'a LaneSection> {
    let Some(Link::Road { id, contact: Some(contact) }) = road.link(end) else { return None };
    index.road(id)?.section_at(*contact)
}

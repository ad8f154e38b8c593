//! Rules of reference lines and of links between roads.

use super::{Finding, Index, Rule, add};
use crate::geometry::wrap;
use crate::map::{Contact, Link, Road};

pub(super) fn check_plan(road: &Road, findings: &mut Vec<Finding>) {
    let mut s = 0.0;
    for (number, record) in (1..).zip(&road.plan) {
        if (record.s - s).abs() > 0.02 {
            let message = format!("record {number} begins at s {:.3} instead of {s:.3}", record.s);
            add(findings, Rule::RecordPositions, road, message);
        }
        s = record.s + record.length;
    }
    for (number, pair) in (2..).zip(road.plan.windows(2)) {
        let (end, start) = (pair[0].end(), pair[1].start());
        let (jump, kink) = (end.distance(&start), wrap(end.heading - start.heading).abs());
        if jump > 0.02 {
            let message = format!("record {number} begins {jump:.3} m from the end of the one before");
            add(findings, Rule::PositionContinuous, road, message);
        }
        if kink > 0.01 {
            let message = format!("the direction jumps by {kink:.4} rad at record {number}");
            add(findings, Rule::HeadingContinuous, road, message);
        }
    }
    let sum = road.plan_length();
    if (sum - road.length).abs() > 0.05 || road.length <= 0.0 {
        let message = format!("the length is {:.3} m, and that of the records is {sum:.3} m", road.length);
        add(findings, Rule::RoadLength, road, message);
    }
}

pub(super) fn check_links(index: &Index<'_>, road: &Road, findings: &mut Vec<Finding>) {
    if let Some(junction) = &road.junction {
        if index.junction(junction).is_none() {
            add(findings, Rule::LinksResolve, road, format!("the junction {junction:?} does not exist"));
        }
        if road.predecessor.is_none() || road.successor.is_none() {
            let message = "a connecting road has no predecessor or no successor".to_owned();
            add(findings, Rule::ConnectingRoadLinks, road, message);
        }
    }
    for end in [Contact::Start, Contact::End] {
        match road.link(end) {
            Some(Link::Junction { id }) if index.junction(id).is_none() => {
                add(findings, Rule::LinksResolve, road, format!("the linked junction {id:?} does not exist"));
            }
            Some(Link::Road { id, contact }) => match index.road(id) {
                None => {
                    add(findings, Rule::LinksResolve, road, format!("the linked road {id:?} does not exist"))
                }
                Some(other) => {
                    if let Some(contact) = contact {
                        check_contact(road, end, other, *contact, findings);
                    }
                }
            },
            _ => {}
        }
    }
}

fn check_contact(road: &Road, end: Contact, other: &Road, contact: Contact, findings: &mut Vec<Finding>) {
    let links_back = match other.link(contact) {
        Some(Link::Road { id, contact: Some(at) }) => *id == road.id && *at == end,
        Some(Link::Road { id, contact: None }) => *id == road.id,
        Some(Link::Junction { id }) => road.junction.as_deref() == Some(id),
        None => false,
    };
    if !links_back {
        let message = format!("the {} of the linked road {:?} does not link back", contact.name(), other.id);
        add(findings, Rule::LinksMutual, road, message);
    }
    let (own, its) = (road.leaving(end), other.leaving(contact).turned());
    let local = own.localize(&its);
    if local.x.abs() > 0.1 || local.heading.abs() > 0.02 {
        let message = format!(
            "the road {:?} is {:.3} m away along the road and turned by {:.4} rad",
            other.id, local.x, local.heading
        );
        add(findings, Rule::RoadsMeet, road, message);
    }
}

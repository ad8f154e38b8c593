//! Rules of junctions.

use super::{Finding, Index, Rule};
use crate::map::{Connection, Contact, Junction, LaneSection, Link, Road};

pub(super) fn check_junction(index: &Index<'_>, junction: &Junction, findings: &mut Vec<Finding>) {
    for connection in &junction.connections {
        check_connection(index, junction, connection, findings);
    }
}

/// Checks the connections that lead through one road.
pub(super) fn check_connections_of(
    index: &Index<'_>,
    junction: &Junction,
    road: &str,
    findings: &mut Vec<Finding>,
) {
    for connection in &junction.connections {
        if connection.connecting.as_deref() == Some(road) {
            check_connection(index, junction, connection, findings);
        }
    }
}

fn check_connection(
    index: &Index<'_>,
    junction: &Junction,
    connection: &Connection,
    findings: &mut Vec<Finding>,
) {
    let mut add = |rule: Rule, message: String| {
        let subject = format!("junction {:?}", junction.id);
        findings.push(Finding { rule, subject, message, line: junction.line });
    };
    let number = &connection.id;
    let road = |id: &Option<String>| id.as_deref().and_then(|id| index.road(id));
    let (Some(incoming), Some(connecting)) = (road(&connection.incoming), road(&connection.connecting))
    else {
        return add(
            Rule::ConnectionsResolve,
            format!("connection {number:?} names a road that does not exist"),
        );
    };
    if junction.kind == "default" && connecting.junction.as_deref() != Some(&junction.id) {
        let message =
            format!("road {:?} of connection {number:?} belongs to another junction", connecting.id);
        return add(Rule::ConnectionsResolve, message);
    }
    let touches = |road: &Road, end: Contact| matches!(road.link(end), Some(Link::Road { id, .. }) if *id == incoming.id);
    if junction.kind == "default" && !touches(connecting, connection.contact) {
        let message = format!(
            "the {} of road {:?} does not touch road {:?}",
            connection.contact.name(),
            connecting.id,
            incoming.id
        );
        return add(Rule::ConnectionContacts, message);
    }
    if let Some((incoming_lane, connecting_lane)) = missing_lanes(incoming, connecting, connection) {
        let message = format!(
            "connection {number:?} links the lanes {incoming_lane} and {connecting_lane}, which do not exist"
        );
        add(Rule::ConnectionLanes, message);
    }
}

/// The first pair of lanes that a connection links and of which one does not exist.
fn missing_lanes(incoming: &Road, connecting: &Road, connection: &Connection) -> Option<(i32, i32)> {
    let (from, to) =
        (contact_section(incoming, connecting, connection), connecting.section_at(connection.contact));
    let lacks =
        |section: Option<&LaneSection>, id: i32| section.is_some_and(|section| section.lane(id).is_none());
    connection.lane_links.iter().copied().find(|&(a, b)| lacks(from, a) || lacks(to, b))
}

/// The lane section of the incoming road at the connecting road.
fn contact_section<'a>(
    incoming: &'a Road,
    connecting: &Road,
    connection: &Connection,
) -> Option<&'a LaneSection> {
    match connecting.link(connection.contact) {
        Some(Link::Road { contact: Some(contact), .. }) => incoming.section_at(*contact),
        _ => None,
    }
}

//! Reads a road.

use super::{geometry, lanes};
use crate::Result;
use crate::map::{Contact, Cubic, Link, Profile, Road};
use crate::xml::Node;

pub(super) fn read_road(node: Node<'_>) -> Result<Road> {
    let id = node.text("id")?.to_owned();
    read_parts(node, id.clone()).map_err(|error| error.context(format_args!("road {id:?}")))
}

fn read_parts(node: Node<'_>, id: String) -> Result<Road> {
    let link = node.first("link");
    let end = |name| link.and_then(|link| link.first(name)).map(read_link).transpose();
    let profile = |folder, name| match node.first(folder) {
        Some(folder) => read_profile(folder, name, "s"),
        None => Ok(Profile::default()),
    };
    let length = node.length("length")?;
    let plan_view = node.first("planView").ok_or_else(|| node.error("the element `planView` is missing"))?;
    let lanes = node.first("lanes").ok_or_else(|| node.error("the element `lanes` is missing"))?;
    Ok(Road {
        id,
        name: node.attribute("name").unwrap_or("").to_owned(),
        junction: node.attribute("junction").filter(|&id| id != "-1" && !id.is_empty()).map(str::to_owned),
        length,
        left_hand: node.attribute("rule") == Some("LHT"),
        predecessor: end("predecessor")?,
        successor: end("successor")?,
        plan: geometry::read_plan(plan_view)?,
        elevation: profile("elevationProfile", "elevation")?,
        lane_offset: profile("lanes", "laneOffset")?,
        sections: lanes::read_sections(lanes, length)?,
        line: node.element().line,
    })
}

fn read_link(node: Node<'_>) -> Result<Link> {
    let id = node.text("elementId")?.to_owned();
    match node.text("elementType")? {
        "junction" => Ok(Link::Junction { id }),
        "road" => {
            let contact = match node.attribute("contactPoint") {
                Some("start") => Some(Contact::Start),
                Some("end") => Some(Contact::End),
                None => None,
                Some(other) => {
                    return Err(node.error(format!("`contactPoint` is neither start nor end: {other:?}")));
                }
            };
            Ok(Link::Road { id, contact })
        }
        other => Err(node.error(format!("`elementType` is neither road nor junction: {other:?}"))),
    }
}

/// Reads records of a cubic `a + b·ds + c·ds² + d·ds³`, each from the position in the attribute `at`.
pub(super) fn read_profile(parent: Node<'_>, name: &str, at: &str) -> Result<Profile> {
    let mut pieces = Vec::new();
    for node in parent.children().filter(|child| child.name() == name) {
        let number = |name| node.number(name);
        let coefficients = [number("a")?, number("b")?, number("c")?, number("d")?];
        pieces.push(Cubic { s: node.length(at)?, coefficients });
    }
    pieces.sort_by(|a, b| a.s.total_cmp(&b.s));
    Ok(Profile { pieces })
}

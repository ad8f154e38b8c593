//! Reads lane sections. Lanes that the file describes by borders get widths.

use super::roads::read_profile;
use crate::Result;
use crate::map::{Lane, LaneSection, Profile};
use crate::xml::Node;

pub(super) fn read_sections(lanes: Node<'_>, _length: f64) -> Result<Vec<LaneSection>> {
    let mut sections: Vec<_> = lanes.all("laneSection").map(read_section).collect::<Result<_>>()?;
    if sections.is_empty() {
        return Err(lanes.error("the road has no `laneSection`"));
    }
    if sections.windows(2).any(|pair| pair[1].s < pair[0].s) {
        return Err(lanes.error("the lane sections are not in ascending order of `s`"));
    }
    sections[0].s = sections[0].s.max(0.0);
    Ok(sections)
}

fn read_section(node: Node<'_>) -> Result<LaneSection> {
    let mut lanes = Vec::new();
    for side in node.children().filter(|child| matches!(child.name(), "left" | "center" | "right")) {
        let mut of_side: Vec<_> = side.all("lane").map(read_lane).collect::<Result<_>>()?;
        // From the centre outwards, because a border minus the next inner border is a width.
        of_side.sort_by_key(|(lane, _)| lane.id.unsigned_abs());
        let mut inner = Profile::default();
        for (lane, border) in &mut of_side {
            let sign = f64::from(lane.id.signum());
            match border {
                Some(border) => {
                    lane.width = border.plus(&inner, -1.0).scaled(sign);
                    inner = border.clone();
                }
                None => inner = inner.plus(&lane.width, sign),
            }
        }
        lanes.extend(of_side.into_iter().map(|(lane, _)| lane));
    }
    lanes.sort_by_key(|lane| std::cmp::Reverse(lane.id));
    Ok(LaneSection { s: node.length("s")?, lanes })
}

/// Reads a lane and its border, if the border takes the place of widths.
fn read_lane(node: Node<'_>) -> Result<(Lane, Option<Profile>)> {
    let ids = |name: &'static str| -> Result<Vec<i32>> {
        let links = node.first("link").into_iter().flat_map(move |link| link.all(name));
        links.map(|link| link.integer("id")).collect()
    };
    let width = read_profile(node, "width", "sOffset")?;
    let border = read_profile(node, "border", "sOffset")?;
    let lane = Lane {
        id: node.integer("id")?,
        kind: node.attribute("type").unwrap_or("none").to_owned(),
        predecessors: ids("predecessor")?,
        successors: ids("successor")?,
        width,
    };
    // The standard lets widths win if a lane has both (section 11.6.2).
    let by_border = lane.width.pieces.is_empty() && !border.pieces.is_empty();
    Ok((lane, by_border.then_some(border)))
}

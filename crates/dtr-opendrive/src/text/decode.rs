//! Turns the text of a road into a road of the map.

use super::encode::link_sign;
use super::fit::closed_line;
use super::{LaneText, LinkText, ProfileText, RoadText, SectionText};
use crate::gap::{Gap, Neighbors};
use crate::geometry::Pose;
use crate::map::{Contact, Geometry, Lane, LaneSection, Link, Profile, Road};
use crate::{Error, Result};

/// The road that a text describes, in the map's frame. Every text gives a road or an error with the reason.
pub fn decode(text: &str, gap: &Gap, neighbors: &Neighbors) -> Result<Road> {
    RoadText::parse(text)?.road(gap, neighbors)
}

impl RoadText {
    /// The road in the map's frame.
    pub fn road(&self, gap: &Gap, neighbors: &Neighbors) -> Result<Road> {
        let shift = |frame: Pose, [t, s, heading]: [i64; 3]| {
            frame.place(&Pose::new(s as f64 / 100.0, t as f64 / 100.0, heading as f64 / 1000.0))
        };
        let (start, end) = (shift(neighbors.entry, self.start), shift(neighbors.exit, self.end));
        let plan = closed_line(&self.pieces, start, end);
        let length = plan.iter().map(|record: &Geometry| record.length).sum::<f64>();
        if !length.is_finite() || plan.iter().any(|record| !record.end().x.is_finite()) {
            return Err(Error::new("the reference line is not finite"));
        }
        let profile = |text: &Option<ProfileText>, base: f64| {
            text.as_ref().map_or_else(Profile::default, |text| text.profile(length, base))
        };
        let base = neighbors.at_entry[0].height[0];
        Ok(Road {
            id: gap.road.clone(),
            name: String::new(),
            junction: gap.junction.clone(),
            length,
            left_hand: gap.left_hand,
            predecessor: Some(resolve(self.links[0], &gap.entry)?),
            successor: Some(resolve(self.links[1], &gap.exit)?),
            plan,
            elevation: profile(&self.elevation, base),
            lane_offset: profile(&self.lane_offset, 0.0),
            sections: sections(&self.sections, gap, neighbors, length)?,
            line: 0,
        })
    }
}

/// The link that the text names: the gap's own link, with the end or the kind of the text.
fn resolve(text: LinkText, gap: &Link) -> Result<Link> {
    match (text, gap) {
        (LinkText::Road(contact), Link::Road { id, .. }) => {
            Ok(Link::Road { id: id.clone(), contact: Some(contact) })
        }
        (LinkText::Junction, Link::Junction { id }) => Ok(Link::Junction { id: id.clone() }),
        (LinkText::Junction, Link::Road { .. }) => {
            Err(Error::new("the text links a junction instead of a road"))
        }
        (LinkText::Road(_), Link::Junction { .. }) => {
            Err(Error::new("the text links a road instead of a junction"))
        }
    }
}

fn sections(
    texts: &[SectionText],
    gap: &Gap,
    neighbors: &Neighbors,
    length: f64,
) -> Result<Vec<LaneSection>> {
    let mut sections = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let s = text.s as f64 / 100.0;
        let end = texts.get(index + 1).map_or(length, |next| next.s as f64 / 100.0);
        if s >= length || end > length + 1e-9 {
            return Err(Error::new(format!("a lane section begins at {s} m on a road of {length:.2} m")));
        }
        let before = if index == 0 { link_sign(gap, neighbors, Contact::Start) } else { 1 };
        let after = if index + 1 == texts.len() { link_sign(gap, neighbors, Contact::End) } else { 1 };
        let lane = |id: i32, text: &LaneText| Lane {
            id,
            kind: text.kind.clone(),
            width: text.width.profile(end - s, 0.0),
            predecessors: text.predecessors.iter().map(|id| before * id).collect(),
            successors: text.successors.iter().map(|id| after * id).collect(),
        };
        let count = i32::try_from(text.left.len()).unwrap_or(i32::MAX);
        let left = (1..=count).rev().zip(&text.left).map(|(id, text)| lane(id, text));
        let right = (1i32..).zip(&text.right).map(|(index, text)| lane(-index, text));
        let center = Lane {
            id: 0,
            kind: "none".to_owned(),
            width: Profile::default(),
            predecessors: Vec::new(),
            successors: Vec::new(),
        };
        sections.push(LaneSection { s, lanes: left.chain([center]).chain(right).collect() });
    }
    Ok(sections)
}

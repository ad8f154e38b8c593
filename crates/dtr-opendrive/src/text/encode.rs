//! Writes a road as text.

use std::fmt::Write;

use super::{LaneText, LinkText, Piece, ProfileText, RoadText, SectionText, kind_code, quantize};
use crate::canonical::canonical;
use crate::gap::{Gap, Neighbors};
use crate::geometry::Pose;
use crate::map::{Contact, Lane, LaneSection, Link, Road};

/// The text of a road that fills a gap. `with_elevation` adds the heights.
pub fn encode(road: &Road, gap: &Gap, neighbors: &Neighbors, with_elevation: bool) -> String {
    RoadText::of(road, gap, neighbors, with_elevation).to_text()
}

impl RoadText {
    /// The parts of the text of a road that fills a gap.
    pub fn of(road: &Road, gap: &Gap, neighbors: &Neighbors, with_elevation: bool) -> Self {
        let road = canonical(road);
        let link = |link: Option<&Link>| match link {
            Some(Link::Road { contact, .. }) => LinkText::Road(contact.unwrap_or(Contact::Start)),
            _ => LinkText::Junction,
        };
        let shift = |frame: Pose, pose: Pose| {
            let local = frame.localize(&pose);
            [quantize(local.y, 100.0), quantize(local.x, 100.0), quantize(local.heading, 1000.0)]
        };
        let base = neighbors.at_entry[0].height[0];
        let lane_offset = ProfileText::of(&road.lane_offset, road.length, 0.0);
        let elevation = ProfileText::of(&road.elevation, road.length, base);
        Self {
            links: [link(road.link(Contact::Start)), link(road.link(Contact::End))],
            start: shift(neighbors.entry, road.end_pose(Contact::Start)),
            end: shift(neighbors.exit, road.end_pose(Contact::End)),
            pieces: road.plan.iter().map(Piece::of).collect(),
            lane_offset: (!lane_offset.is_zero()).then_some(lane_offset),
            elevation: with_elevation.then_some(elevation),
            sections: sections_of(&road, gap, neighbors),
        }
    }

    /// The text.
    pub fn to_text(&self) -> String {
        let link = |link: &LinkText| match link {
            LinkText::Road(Contact::Start) => "rs",
            LinkText::Road(Contact::End) => "re",
            LinkText::Junction => "j",
        };
        let shift = |[t, s, heading]: [i64; 3]| {
            if s == 0 && heading == 0 { t.to_string() } else { format!("{t},{s},{heading}") }
        };
        let mut text = format!("{} {}\n{}", link(&self.links[0]), link(&self.links[1]), shift(self.start));
        for piece in &self.pieces {
            let _ = write!(text, " {piece}");
        }
        let _ = write!(text, " {}", shift(self.end));
        if let Some(offset) = &self.lane_offset {
            let _ = write!(text, "\no{offset}");
        }
        if let Some(elevation) = &self.elevation {
            let _ = write!(text, "\ne{elevation}");
        }
        for section in &self.sections {
            section.write(&mut text);
        }
        text
    }
}

impl SectionText {
    fn write(&self, text: &mut String) {
        let _ = write!(text, "\n{}", self.s);
        let count = i32::try_from(self.left.len()).unwrap_or(i32::MAX);
        for (id, lane) in (1..=count).rev().zip(&self.left) {
            lane.write(text, id);
        }
        text.push_str(" |");
        for (index, lane) in (1i32..).zip(&self.right) {
            lane.write(text, -index);
        }
    }
}

impl LaneText {
    fn write(&self, text: &mut String, id: i32) {
        let _ = write!(text, " {}{}", kind_code(&self.kind), self.width);
        for (mark, ids) in [('<', &self.predecessors), ('>', &self.successors)] {
            if *ids == [id] {
                text.push(mark);
            } else if !ids.is_empty() {
                let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
                let _ = write!(text, "{mark}{}", ids.join(","));
            }
        }
    }
}

fn sections_of(road: &Road, gap: &Gap, neighbors: &Neighbors) -> Vec<SectionText> {
    let sign = |end: Contact| link_sign(gap, neighbors, end);
    let last = road.sections.len().saturating_sub(1);
    let section = |(index, section): (usize, &LaneSection)| {
        let before = if index == 0 { sign(Contact::Start) } else { 1 };
        let after = if index == last { sign(Contact::End) } else { 1 };
        let length = (road.section_end(index) - section.s).max(0.0);
        let lane = |lane: &Lane| LaneText {
            kind: lane.kind.clone(),
            width: ProfileText::of(&lane.width, length, 0.0),
            predecessors: lane.predecessors.iter().map(|id| before * id).collect(),
            successors: lane.successors.iter().map(|id| after * id).collect(),
        };
        SectionText {
            s: quantize(section.s, 100.0),
            left: section.left().map(lane).collect(),
            right: section.right().map(lane).collect(),
        }
    };
    let mut sections: Vec<SectionText> = road.sections.iter().enumerate().map(section).collect();
    // Sections of some millimetres get the length 1 cm.
    for index in 1..sections.len() {
        let before = sections[index - 1].s;
        let floor = (road.sections[index].s * 100.0).floor() as i64;
        let s = if sections[index].s as f64 / 100.0 < road.length - 5e-3 { sections[index].s } else { floor };
        sections[index].s = s.max(before + 1);
    }
    sections
}

/// The factor between a neighbour's lane ids and the ids in the gap's direction.
pub(super) fn link_sign(gap: &Gap, neighbors: &Neighbors, end: Contact) -> i32 {
    let is_road = matches!(gap.link(end), Link::Road { .. });
    if is_road && neighbors.is_against(end) { -1 } else { 1 }
}

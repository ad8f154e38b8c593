//! The text of a gap, from which a model writes the missing road. `crate` documents the format.

use std::fmt::Write;

use super::{Gap, Neighbor, Neighbors};
use crate::map::{Contact, Lane, Link, Map, Road};
use crate::text::{curvature_text, kind_code, quantize};

/// What a prompt contains.
#[derive(Clone, Copy, Debug)]
pub struct PromptOptions {
    /// Whether heights are in the prompt and in the answer.
    pub elevation: bool,
    /// The number of roads at each end.
    pub neighbors: usize,
    /// The number of lane pairs of other connecting roads.
    pub pairs: usize,
}

impl Default for PromptOptions {
    fn default() -> Self {
        Self { elevation: false, neighbors: 8, pairs: 16 }
    }
}

/// The text of a gap. `None` if one end has no road.
pub fn prompt(map: &Map, gap: &Gap, options: &PromptOptions) -> Option<String> {
    let neighbors = Neighbors::of(map, gap)?;
    let mut text = String::from(if gap.junction.is_some() { "link" } else { "road" });
    if gap.left_hand {
        text.push_str(" lht");
    }
    text.push('\n');
    let sides = [('<', Contact::Start, &neighbors.at_entry), ('>', Contact::End, &neighbors.at_exit)];
    for (mark, end, side) in sides {
        let kind = if matches!(gap.link(end), Link::Junction { .. }) { 'j' } else { 'r' };
        for (index, neighbor) in informative(side).take(options.neighbors).enumerate() {
            let contact = if neighbor.contact == Contact::Start { 's' } else { 'e' };
            let _ = write!(text, "{mark}{kind}{contact}");
            if mark == '>' || index > 0 {
                let pose = neighbor.pose;
                let (x, y) = (quantize(pose.x, 100.0), quantize(pose.y, 100.0));
                let _ = write!(text, " {x} {y} {}", quantize(pose.heading, 1000.0));
            }
            if quantize(neighbor.pose.curvature, 1e4) != 0 {
                let _ = write!(text, " k{}", curvature_text(neighbor.pose.curvature));
            }
            write_neighbor(&mut text, neighbor, neighbors.at_entry[0].height[0], options);
        }
    }
    if let Some(junction) = &gap.junction {
        let pairs = sibling_pairs(map, gap, junction, &neighbors);
        let kept: Vec<_> = pairs.into_iter().take(options.pairs).collect();
        if !kept.is_empty() {
            let _ = writeln!(text, "= {}", kept.join(" "));
        }
    }
    Some(text)
}

/// The first neighbour, which gives the frame, and those that tell of further lanes of the missing road.
fn informative(side: &[Neighbor]) -> impl Iterator<Item = &Neighbor> {
    let mut known = Vec::new();
    side.iter().enumerate().filter_map(move |(index, neighbor)| {
        let links = neighbor.lanes.iter().flat_map(|lane| &lane.links).copied();
        let new: Vec<i32> = links.filter(|id| !known.contains(id)).collect();
        known.extend(&new);
        (index == 0 || !new.is_empty()).then_some(neighbor)
    })
}

fn write_neighbor(text: &mut String, neighbor: &Neighbor, base: f64, options: &PromptOptions) {
    if quantize(neighbor.lane_offset, 100.0) != 0 {
        let _ = write!(text, " o{}", quantize(neighbor.lane_offset, 100.0));
    }
    if options.elevation {
        let [height, slope] = neighbor.height;
        let _ = write!(text, " e{}/{}", quantize(height - base, 100.0), quantize(slope, 1000.0));
    }
    text.push(':');
    for lane in &neighbor.lanes {
        if lane.id == 0 {
            text.push_str(" |");
            continue;
        }
        let _ = write!(text, " {}{}", kind_code(&lane.kind), quantize(lane.width, 100.0));
        for link in &lane.links {
            let _ = write!(text, ">{link}");
        }
    }
    text.push('\n');
}

/// Which lanes other connecting roads of the junction join, as `entry lane>exit lane`. A dot stands for a
/// lane of a road that the gap does not touch.
fn sibling_pairs(map: &Map, gap: &Gap, junction: &str, neighbors: &Neighbors) -> Vec<String> {
    let mut pairs = Vec::new();
    let siblings =
        map.roads.iter().filter(|road| road.junction.as_deref() == Some(junction) && road.id != gap.road);
    for road in siblings {
        let (Some(first), Some(last)) = (road.sections.first(), road.sections.last()) else { continue };
        for (is_back, from, to) in
            [(false, Contact::Start, Contact::End), (true, Contact::End, Contact::Start)]
        {
            let (enters, leaves) = (road.link(from) == Some(&gap.entry), road.link(to) == Some(&gap.exit));
            if !enters && !leaves {
                continue;
            }
            for lane in first.lanes.iter().filter(|lane| lane.id != 0 && carries_traffic(road, lane, is_back))
            {
                let Some(end) = last.lane(lane.id) else { continue };
                let (before, after) = if is_back {
                    (&end.successors, &lane.predecessors)
                } else {
                    (&lane.predecessors, &end.successors)
                };
                let name = |touches: bool, ids: &[i32], end: Contact| match ids.first() {
                    Some(&id) if touches => (if neighbors.is_against(end) { -id } else { id }).to_string(),
                    _ => ".".to_owned(),
                };
                let pair = (name(enters, before, Contact::Start), name(leaves, after, Contact::End));
                pairs.push(format!("{}>{}", pair.0, pair.1));
            }
        }
    }
    pairs
}

/// Whether vehicles drive on a lane in the direction of the road, or against it if `is_back`.
fn carries_traffic(road: &Road, lane: &Lane, is_back: bool) -> bool {
    let is_forward = (lane.id < 0) != road.left_hand;
    lane.kind == "bidirectional" || (lane.kind == "driving" && is_forward != is_back)
}

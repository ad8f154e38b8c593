//! Gaps: places in a map where one road is missing between others.

mod neighbors;
mod prompt;

pub use neighbors::{Neighbor, NeighborLane, Neighbors};
pub use prompt::{PromptOptions, prompt};

use crate::map::{Contact, Link, Map, Road};

/// Roads that are shorter than this many metres are not hidden. Editors leave such roads at junctions, some
/// of them a thousandth of a millimetre long.
pub const SHORTEST_ROAD: f64 = 0.1;

/// A missing road, as the rest of the map describes it: its id and what it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The id of the missing road.
    pub road: String,
    /// The junction to which the missing road belongs as a connecting road.
    pub junction: Option<String>,
    /// Whether traffic keeps to the left.
    pub left_hand: bool,
    /// What is before the missing road.
    pub entry: Link,
    /// What is after the missing road.
    pub exit: Link,
}

impl Gap {
    /// The gap that `road` would leave, if it has a predecessor and a successor.
    pub fn of(road: &Road) -> Option<Self> {
        let usable =
            |link: &Link| !matches!(link, Link::Road { id, contact } if contact.is_none() || *id == road.id);
        Some(Self {
            road: road.id.clone(),
            junction: road.junction.clone(),
            left_hand: road.left_hand,
            entry: road.predecessor.clone().filter(usable)?,
            exit: road.successor.clone().filter(usable)?,
        })
    }

    /// The link at the missing road's start or end.
    pub fn link(&self, end: Contact) -> &Link {
        match end {
            Contact::Start => &self.entry,
            Contact::End => &self.exit,
        }
    }
}

/// All roads of a map that can be hidden: the gap of each, if roads of the map touch both ends.
pub fn gaps(map: &Map) -> Vec<Gap> {
    let long = map.roads.iter().filter(|road| road.plan_length() >= SHORTEST_ROAD);
    let gaps = long.filter_map(Gap::of);
    gaps.filter(|gap| Neighbors::of(map, gap).is_some()).collect()
}

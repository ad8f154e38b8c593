//! Lane sections and lanes (OpenDRIVE 1.8, section 11).

use super::Profile;

/// A part of a road in which the number of lanes does not change.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneSection {
    /// Where the section begins along the road, in metres.
    pub s: f64,
    /// The lanes from left to right: descending ids, with the centre lane 0.
    pub lanes: Vec<Lane>,
}

/// A lane. Ids are positive to the left of the centre lane and negative to its right.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// The id within the lane section.
    pub id: i32,
    /// The lane type, such as `driving` or `sidewalk`.
    pub kind: String,
    /// The width in metres over the distance from the section's start.
    pub width: Profile,
    /// Ids of the lanes before this lane.
    pub predecessors: Vec<i32>,
    /// Ids of the lanes after this lane.
    pub successors: Vec<i32>,
}

impl LaneSection {
    /// The lane with this id.
    pub fn lane(&self, id: i32) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.id == id)
    }

    /// The lanes on the left, from the outermost to the innermost.
    pub fn left(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter(|lane| lane.id > 0)
    }

    /// The lanes on the right, from the innermost to the outermost.
    pub fn right(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter(|lane| lane.id < 0)
    }
}

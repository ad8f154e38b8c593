//! Roads as short texts that a language model reads and writes. `crate` documents the format.

mod decode;
mod encode;
mod fit;
mod kinds;
mod parse;
mod piece;
mod profile_text;

pub use decode::decode;
pub use encode::encode;
pub use kinds::kind_code;
pub use piece::Piece;
pub use profile_text::ProfileText;

use crate::map::Contact;

/// The text of a road, parsed. Numbers are in the units of the text: centimetres and milliradians.
#[derive(Clone, Debug, PartialEq)]
pub struct RoadText {
    /// What the road's start and end touch.
    pub links: [LinkText; 2],
    /// The road's start in the frame of the gap's entry: lateral and longitudinal shift, heading.
    pub start: [i64; 3],
    /// The road's end in the frame of the gap's exit.
    pub end: [i64; 3],
    /// The records of the reference line.
    pub pieces: Vec<Piece>,
    /// The lateral shift of the centre lane.
    pub lane_offset: Option<ProfileText>,
    /// The height above the entry.
    pub elevation: Option<ProfileText>,
    /// The lane sections.
    pub sections: Vec<SectionText>,
}

/// What an end of a road touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkText {
    /// An end of a road.
    Road(Contact),
    /// A junction.
    Junction,
}

/// A lane section.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionText {
    /// The start in centimetres along the road.
    pub s: i64,
    /// Lanes on the left, from the outermost to the innermost.
    pub left: Vec<LaneText>,
    /// Lanes on the right, from the innermost to the outermost.
    pub right: Vec<LaneText>,
}

/// A lane.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneText {
    /// The lane type in full.
    pub kind: String,
    /// The width.
    pub width: ProfileText,
    /// Ids of the lanes before, in the gap's direction.
    pub predecessors: Vec<i32>,
    /// Ids of the lanes after, in the gap's direction.
    pub successors: Vec<i32>,
}

/// A value in units of `1 / scale`, rounded.
pub(crate) fn quantize(value: f64, scale: f64) -> i64 {
    (value * scale).round() as i64
}

/// A curvature as the radius in centimetres, positive to the left; 0 for a straight line.
pub(crate) fn curvature_text(curvature: f64) -> i64 {
    if curvature.abs() < 1e-6 { 0 } else { quantize(1.0 / curvature, 100.0) }
}

/// The curvature in 1/m of a radius in centimetres.
pub(crate) fn curvature_of(radius: i64) -> f64 {
    if radius == 0 { 0.0 } else { 100.0 / radius as f64 }
}

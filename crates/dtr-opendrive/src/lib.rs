//! OpenDRIVE maps with missing roads, as a task for language models.
//!
//! The crate reads maps, hides roads, writes the place of a hidden road as a short text, decodes a model's
//! text into a road, scores it, and splices it into the map. It has no tensors and knows no model.
//!
//! Numbers of the crate's types are in metres, radians and 1/m. Section numbers are those of ASAM OpenDRIVE
//! 1.8.
//!
//! | module | holds |
//! | --- | --- |
//! | [`read`], [`xml`] | OpenDRIVE 1.1 to 1.8, with limits; errors name the line |
//! | [`map`], [`geometry`] | roads, lanes and junctions, and exact poses of reference lines |
//! | [`check`] | rules of the standard |
//! | [`gap`], [`text`], [`items`] | gaps, their texts, and the items of a task |
//! | [`transform`], [`split`] | views of maps for training, and the split by map |
//! | [`metric`], [`baseline`] | the score of a road, and completion without a model |
//! | [`synthetic`], [`shape`] | maps from a seed |
//! | [`complete`], [`osm`] | holes of maps, edits of their text, drawings, roads of OpenStreetMap |
//! | [`mod@write`], [`write_map`] | XML of roads and maps |
//!
//! # The text of a gap
//!
//! ```text
//! link
//! <re o-664: w200 h63 d350 | d350>-1 d350>-2 h63
//! >rs 1231 1202 1570 k-50000: d350 | d350 h63
//! = -1>-1 .>-2 -2>.
//! ```
//!
//! - The first line is `link` for a connecting road of a junction and `road` for another road. `lht` follows
//!   if traffic keeps to the left.
//! - A line with `<` is a road at the gap's entry, and one with `>` is a road at its exit. `r` means that the
//!   gap is linked with this road. `j` means that the gap is linked with a junction of which this road is a
//!   connecting road. `s` or `e` is the end of the road that touches the gap.
//! - `x y heading` is the contact in the frame of the first contact at the entry: centimetres and
//!   milliradians, in the gap's direction. The first line has none, because it would be `0 0 0`.
//! - `k` is the curvature at the contact as a radius in centimetres, positive to the left. `o` is the lateral
//!   shift of the centre lane in centimetres. `e` is the height above the entry in centimetres and the slope
//!   in thousandths, if the options ask for heights. A line has no `k` or `o` for zero.
//! - After the colon come the lanes from left to right in the gap's direction, with `|` for the centre lane.
//!   A lane is a letter ([`text::kind_code`]) and its width at the contact in centimetres. `>-1` means that
//!   the neighbour or the junction links the lane with the missing road's lane -1.
//! - A junction's end has only the first connecting road and those that tell of further lanes.
//! - The line with `=` lists the lane pairs of other connecting roads between the same roads: the lane at the
//!   entry and the lane at the exit, or a dot for another road.
//!
//! Nothing in the text depends on the hidden road, except what other parts of the map say of it. The two
//! links of a gap are given. A junction does not name the road by which traffic leaves a missing connecting
//! road; there [`complete::Hole::candidates`] lists what it may be.
//!
//! # The text of a road
//!
//! ```text
//! re rs
//! -664 L186 S894,0,1061 A894,1061 S894,1061,0 L186 0
//! o-664@1000:-664~-314
//! 0 d350<> | d350<> h63<-3>
//! 1000 d350~0<> | d350<> h63<>
//! ```
//!
//! - The first line has the two links: `rs` or `re` for the end of a road, `j` for a junction.
//! - The second line has the reference line. The first number is the lateral shift of its start against the
//!   contact at the entry in centimetres, and the last number that of its end against the contact at the
//!   exit. `t,s,h` is a lateral and a longitudinal shift in centimetres and a heading in milliradians, where
//!   contacts do not meet.
//! - Between them are the records: `L length`, `A length,radius`, `S length,radius,radius` with 0 for
//!   straight, all in centimetres. `P a,bx,by,cx,cy` is a `paramPoly3` or `poly3` as a Bézier curve from the
//!   origin with the control points (a, 0), b and c in millimetres, in the frame of its start. Shorter units
//!   would not keep the curvature of short cubics.
//! - Lines with `o` and `e` have the lateral shift of the centre lane and the height above the entry. Zero
//!   shifts have no line.
//! - Each other line is a lane section: its start in centimetres, and the lanes from left to right. A lane is
//!   a letter, a width, and its links: `<-3` to the lane before, `>2` to the lane after, and `<` or `>` alone
//!   to the lane of the same id. Ids count in the gap's direction.
//! - Functions are values in centimetres at the ends of cubics: `350` is constant, `350~0` has level ends,
//!   `350~0/-12/5` has slopes in thousandths, and `350@1200:350~0` begins its second cubic at 1200 cm.
//!
//! The text describes the [`canonical`] form of the road, in which parts that continue each other are joined.
//! The decoder puts the records one after another and changes lengths and curvatures by as little as possible
//! so that the line ends where the text says. Rounded numbers therefore do not add up along a road, and a
//! model need not be exact to a centimetre.
//!
//! ```
//! use dtr_opendrive::gap::PromptOptions;
//! use dtr_opendrive::items::{GapTask, View};
//! use dtr_opendrive::metric::Tolerance;
//! use dtr_opendrive::synthetic::{SyntheticOptions, synthetic_map};
//!
//! let map = synthetic_map(7, &SyntheticOptions::default());
//! let task = GapTask::new("synthetic 7", &map, View::Plain, PromptOptions::default());
//! let item = &task.items()[0];
//! let score = task.score(&item.id.road, &item.answer, &Tolerance::default())?;
//! assert!(score.success);
//! # Ok::<(), dtr_opendrive::Error>(())
//! ```

#![deny(missing_docs)]

pub mod baseline;
pub mod canonical;
pub mod check;
pub mod complete;
pub mod error;
pub mod gap;
pub mod geometry;
pub mod items;
pub mod map;
pub mod metric;
pub mod osm;
pub mod read;
pub mod shape;
pub mod split;
pub mod synthetic;
pub mod text;
pub mod transform;
pub mod write;
pub mod write_map;
pub mod xml;

pub use error::{Error, Result};

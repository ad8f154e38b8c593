//! Completes a map: finds holes, splices roads into the text of the map, and draws what changed.

mod draw;
mod holes;
mod splice;

pub use draw::{draw_before_after, draw_map};
pub use holes::{Hole, hole_of, holes};
pub use splice::{remove_road, splice_road};

use crate::check::{Finding, check_road};
use crate::gap::{Gap, Neighbors};
use crate::geometry::{Pose, wrap};
use crate::map::Road;
use crate::metric::EndError;
use crate::read::MapFile;
use crate::xml::Limits;
use crate::{Error, Result, text};

/// A map with a completed road.
#[derive(Clone, Debug)]
pub struct Completed {
    /// The map with the road. Its text differs from the text before only by what was inserted.
    pub file: MapFile,
    /// The road.
    pub road: Road,
    /// The rules that the road breaks in the completed map.
    pub findings: Vec<Finding>,
    /// How far the start and the end of the road are from the roads that they touch.
    pub ends: [EndError; 2],
}

/// Fills a gap with the road that `answer` describes.
pub fn complete(file: &MapFile, gap: &Gap, answer: &str) -> Result<Completed> {
    if file.map.road(&gap.road).is_some() {
        let error = Error::new(format!("the map has a road {:?} already", gap.road));
        return Err(error.hint("remove the road first, or choose another id"));
    }
    let neighbors = Neighbors::of(&file.map, gap)
        .ok_or_else(|| Error::new(format!("no road of the map touches an end of the gap {:?}", gap.road)))?;
    let road = text::decode(answer, gap, &neighbors).map_err(|error| {
        error.context(format_args!("the model's text for road {:?} is not a road", gap.road))
    })?;
    let file = MapFile::from_text(&splice_road(file, &road)?, &Limits::default())?;
    let findings = check_road(&file.map, &road);
    let ends = [(0.0, neighbors.entry), (road.length, neighbors.exit)];
    let ends = ends.map(|(s, contact)| end_error(&road.pose(s), &contact));
    Ok(Completed { file, road, findings, ends })
}

fn end_error(end: &Pose, contact: &Pose) -> EndError {
    EndError {
        position: (end.x - contact.x).hypot(end.y - contact.y),
        heading: wrap(end.heading - contact.heading).abs(),
        curvature: (end.curvature - contact.curvature).abs(),
    }
}

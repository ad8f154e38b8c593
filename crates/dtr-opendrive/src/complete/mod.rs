//! Completes a map: finds holes, splices roads into the text of the map, and draws what changed.

mod draw;
mod holes;
mod splice;

pub use draw::{draw_before_after, draw_map};
pub use holes::{Hole, hole_of, holes};
pub use splice::{remove_road, splice_road};

use crate::check::{Finding, check_road};
use crate::gap::{Gap, Neighbors};
use crate::map::Road;
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
    Ok(Completed { file, road, findings })
}

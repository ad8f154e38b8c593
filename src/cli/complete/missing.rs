//! The roads that a map lacks.

use std::path::Path;

use dtr_opendrive::complete::{Hole, hole_of, holes};
use dtr_opendrive::gap::Gap;
use dtr_opendrive::map::{Link, Map};
use dtr_opendrive::osm::{missing_roads, project, read_osm};
use dtr_opendrive::xml::Limits;

use super::read_up_to_limit;
use crate::data::opendrive::map_error;
use dtr_core::error::{Error, Result};

/// A road that a map lacks.
pub(super) struct MissingRoad {
    pub(super) id: String,
    /// The gap that the road fills. `None` if it is not known what one of its ends touches.
    gap: Option<Gap>,
    /// What the user should know of the gap.
    note: Option<String>,
    /// Whether the road is named by the map, not only by a file of OpenStreetMap.
    is_named: bool,
}

impl MissingRoad {
    fn from_hole(hole: &Hole) -> Self {
        let is_guessed = hole.gap().is_none() && hole.candidates.len() > 1;
        let note = is_guessed.then(|| {
            let others: Vec<String> = hole.candidates.iter().map(name).collect();
            format!("the map does not say where it leads; of {}, the first was taken", others.join(", "))
        });
        Self { id: hole.road.clone(), gap: hole.likely_gap(), note, is_named: true }
    }

    pub(super) fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// Returns the gap and the note.
    ///
    /// # Panics
    /// Panics if there is no gap.
    pub(super) fn into_gap(self) -> (Gap, Option<String>) {
        (self.gap.expect("the road has a gap"), self.note)
    }

    /// Returns the road as the map describes it after other roads were completed.
    pub(super) fn look_again(self, map: &Map) -> Self {
        match self.is_named && self.gap.is_none() {
            true => Self::from_hole(&hole_of(map, &self.id)),
            false => self,
        }
    }

    /// Returns the id, and the reason why the road cannot be completed.
    pub(super) fn into_reason(self) -> (String, String) {
        let reason = match (&self.gap, self.is_named) {
            (None, true) => "the map does not say what touches both of its ends",
            (None, false) => "no road of the map ends near both of its ends",
            (Some(_), _) => "a road that it touches is missing too",
        };
        (self.id, reason.to_owned())
    }
}

fn name(link: &Link) -> String {
    match link {
        Link::Road { id, .. } => format!("road {id}"),
        Link::Junction { id } => format!("junction {id}"),
    }
}

/// Returns the roads of `ids`, or all roads that the map names and does not have, and the roads that the file
/// `osm` has and the map lacks.
///
/// # Errors
/// Fails if the map has a road of `ids`, or if the file cannot be read.
pub(super) fn find_missing_roads(map: &Map, ids: &[String], osm: Option<&Path>) -> Result<Vec<MissingRoad>> {
    let named = match ids {
        [] => holes(map),
        ids => ids.iter().map(|id| named_hole(map, id)).collect::<Result<_>>()?,
    };
    let mut missing: Vec<MissingRoad> = named.iter().map(MissingRoad::from_hole).collect();
    if let Some(path) = osm {
        let bytes = read_up_to_limit(path)?;
        let ways = read_osm(&bytes, &Limits::default()).map_err(|error| map_error(path, &error))?;
        for road in missing_roads(map, &ways, &project(&ways, map)) {
            let is_known = |gap: &Gap| missing.iter().any(|known| known.id == gap.road);
            if road.gap.as_ref().is_some_and(is_known) {
                continue;
            }
            let name = road.name.map_or(String::new(), |name| format!(" `{name}`"));
            let id = road.gap.as_ref().map_or_else(|| format!("of way {}", road.way), |gap| gap.road.clone());
            let note = Some(format!("way {}{name} of OpenStreetMap", road.way));
            missing.push(MissingRoad { id, gap: road.gap, note, is_named: false });
        }
    }
    Ok(missing)
}

fn named_hole(map: &Map, id: &str) -> Result<Hole> {
    match map.road(id) {
        Some(_) => Err(Error::manifest(format!("cannot complete road {id}: the map has it"))
            .hint("remove the road from the map first, or name another one")),
        None => Ok(hole_of(map, id)),
    }
}

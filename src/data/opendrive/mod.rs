//! Tasks whose items are hidden roads of OpenDRIVE maps.

mod config;
mod maps;
mod scorer;

use std::collections::BTreeSet;
use std::sync::Arc;

use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;
use dtr_opendrive::items::GapTask;
use rayon::prelude::*;

use super::{GenerativeItem, Split};
use maps::{ensure_disjoint, read_maps};

pub use config::{MapSource, MapView, OpendriveTask, RoadFormat, RoadTolerance, SyntheticMaps, TrainMaps};
pub use maps::map_error;
pub use scorer::RoadItem;
pub(super) use scorer::RoadScorer;

/// The version of the texts, of the synthetic maps and of the score. It increases when one of them changes, so
/// that the keys of cells change.
pub const ROAD_TEXT_VERSION: u32 = 1;

/// The end of the text of a road: an empty line. No road's text contains one.
pub const END_OF_ROAD: &str = "\n\n";

/// Loads the items of one split, in the order of the maps and of their roads. Prompts of train items are in no
/// other split.
///
/// # Errors
/// Fails if a map cannot be read, if a map is in two splits, or if the split has no items.
pub fn load_road_items(task: &OpendriveTask, split: Split) -> Result<Vec<GenerativeItem>> {
    ensure_disjoint(task)?;
    let mut items = build_items(task, split)?;
    if split == Split::Train {
        let mut reserved = BTreeSet::new();
        for other in [Split::Validation, Split::Test] {
            reserved.extend(build_items(task, other)?.into_iter().map(|item| item.prompt));
        }
        items.retain(|item| !reserved.contains(&item.prompt));
    }
    keep_at_most(&mut items, task.split_maps(split)?.items);
    match items.is_empty() {
        true => {
            Err(Error::manifest(format!("the maps of the {split} split have no roads that can be hidden"))
                .hint("a road can be hidden if roads of the map touch both of its ends"))
        }
        false => Ok(items),
    }
}

fn build_items(task: &OpendriveTask, split: Split) -> Result<Vec<GenerativeItem>> {
    let views = task.split_maps(split)?.views;
    let items = |map: &maps::NamedMap| -> Vec<GenerativeItem> {
        let of_view = |view: &MapView| {
            let options = task.format.prompt_options();
            let gaps = Arc::new(GapTask::new(&map.name, &map.map, (*view).into(), options));
            gaps.items().into_iter().map(move |item| road_item(item, &gaps)).collect::<Vec<_>>()
        };
        views.iter().flat_map(of_view).collect()
    };
    let maps = read_maps(task, split)?;
    Ok(maps.par_iter().map(items).collect::<Vec<_>>().into_iter().flatten().collect())
}

fn road_item(item: dtr_opendrive::items::Item, gaps: &Arc<GapTask>) -> GenerativeItem {
    GenerativeItem {
        id: item.id.to_string(),
        prompt: item.prompt,
        chat: None,
        references: vec![item.answer.clone()],
        target: item.answer,
        classes: Vec::new(),
        test: None,
        script: None,
        road: Some(RoadItem { gaps: gaps.clone(), road: item.id.road }),
    }
}

/// Keeps the items with the lowest digests of their identifiers, in their order. So a larger maximum keeps all
/// items that a smaller one keeps.
fn keep_at_most(items: &mut Vec<GenerativeItem>, max_items: Option<usize>) {
    let Some(max_items) = max_items.filter(|max_items| *max_items < items.len()) else { return };
    let digest = |item: &GenerativeItem| Digest::hash(item.id.as_bytes());
    let mut digests: Vec<Digest> = items.iter().map(digest).collect();
    digests.sort_unstable();
    let last = digests[max_items - 1];
    items.retain(|item| digest(item) <= last);
}

#[cfg(test)]
mod tests;

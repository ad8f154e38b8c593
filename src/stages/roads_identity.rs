//! The identity of a split whose items are hidden roads of maps.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::identity::FileIdentity;
use crate::data::opendrive::{MapView, ROAD_TEXT_VERSION, RoadFormat, SyntheticMaps};
use crate::data::{OpendriveTask, Split};
use dtr_core::error::Result;

/// Everything on which the items of a split and their scores depend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoadsIdentity {
    /// The version of the texts, of the synthetic maps and of the score.
    version: u32,
    /// The contents of the texts, and the tolerance.
    format: RoadFormat,
    /// The maximum number of tokens of an answer.
    max_tokens: usize,
    /// The split.
    split: Split,
    /// The maps.
    maps: MapsIdentity,
    /// The views of the maps. Empty for splits that have the maps alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    views: Vec<MapView>,
    /// The maximum number of items.
    items: Option<usize>,
    /// The maps of the other splits. Train items exclude their prompts. Empty for other splits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reserved: Vec<MapsIdentity>,
}

/// The identity of the maps of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct MapsIdentity {
    /// The name and the identity of each file.
    files: Vec<(String, FileIdentity)>,
    /// The generated maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    synthetic: Option<SyntheticMaps>,
}

impl RoadsIdentity {
    /// Computes the identity of a split of `task`.
    ///
    /// # Errors
    /// Fails if the task has no maps of the split, or if a file cannot be read.
    pub fn compute(task: &OpendriveTask, split: Split) -> Result<Self> {
        let is_train = split == Split::Train;
        let others: &[Split] = if is_train { &[Split::Validation, Split::Test] } else { &[] };
        let train = task.train.as_ref().filter(|_| is_train);
        Ok(Self {
            version: ROAD_TEXT_VERSION,
            format: task.format,
            max_tokens: task.max_tokens,
            split,
            maps: MapsIdentity::compute(task, split)?,
            views: train.map(|train| train.views.clone()).unwrap_or_default(),
            items: task.max_items(split),
            reserved: others
                .iter()
                .map(|other| MapsIdentity::compute(task, *other))
                .collect::<Result<_>>()?,
        })
    }

    /// Returns the maximum number of items, or `None` if there is no maximum.
    pub fn max_items(&self) -> Option<usize> {
        self.items
    }
}

impl MapsIdentity {
    fn compute(task: &OpendriveTask, split: Split) -> Result<Self> {
        let identity = |path: String| {
            let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, FileIdentity::compute(&path)?))
        };
        let files = task.files(split)?.into_iter().map(identity).collect::<Result<_>>()?;
        Ok(Self { files, synthetic: task.synthetic(split).copied() })
    }
}

//! Configuration of tasks with OpenDRIVE maps: the manifest's `[tasks.NAME.source.opendrive]`.

use dtr_core::seed::Seed;
use dtr_opendrive::gap::PromptOptions;
use dtr_opendrive::items::View;
use dtr_opendrive::metric::Tolerance;
use dtr_opendrive::synthetic::SyntheticOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Split;

/// A task whose items are hidden roads of OpenDRIVE maps. The model reads the text of a gap and writes the text
/// of the road that fills it, always with the most likely token.
///
/// An answer is right if its text is a valid road that equals the hidden road within the tolerance. Each split
/// has its own maps. A map that is in two splits is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OpendriveTask {
    /// The maps of the train split. Only fine-tuning reads them. Items whose prompt is also in another split are
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrainMaps")]
    pub train: Option<TrainMaps>,
    /// The maps of the validation split.
    pub validation: MapSource,
    /// The maps of the test split.
    pub test: MapSource,
    /// What the texts contain, and when two roads are equal.
    #[serde(default)]
    pub format: RoadFormat,
    /// The maximum number of tokens of the text of a road.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_tokens: usize,
}

fn default_max_tokens() -> usize {
    512
}

/// The maps of a split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MapSource {
    /// The files of maps (`.xodr`), as paths relative to the manifest or as `hf://datasets/…`. A `*` in a file
    /// name matches any number of characters. Each file may be compressed (`.gz`, `.bz2`, `.xz`, `.zst`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = { "type": "string", "format": "path" }))]
    pub files: Vec<String>,
    /// Maps that are generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SyntheticMaps")]
    pub synthetic: Option<SyntheticMaps>,
    /// The maximum number of items. A hash of each item's identifier decides which items remain. The default is
    /// all items.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub items: Option<usize>,
}

/// The maps of the train split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TrainMaps {
    /// The files of maps, as in the other splits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = { "type": "string", "format": "path" }))]
    pub files: Vec<String>,
    /// Maps that are generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SyntheticMaps")]
    pub synthetic: Option<SyntheticMaps>,
    /// The maximum number of items, as in the other splits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub items: Option<usize>,
    /// The views of each map whose roads are items.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub views: Vec<MapView>,
}

impl Default for TrainMaps {
    fn default() -> Self {
        Self { files: Vec::new(), synthetic: None, items: None, views: vec![MapView::Plain] }
    }
}

/// A view of a map. An item is the same in a map and in the rotated or shifted map, so there is no view for
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MapView {
    /// The map itself.
    Plain,
    /// The mirror image.
    Reflected,
    /// All reference lines in the opposite direction.
    Reversed,
    /// The mirror image with all reference lines in the opposite direction.
    ReflectedReversed,
}

impl From<MapView> for View {
    fn from(view: MapView) -> Self {
        match view {
            MapView::Plain => Self::Plain,
            MapView::Reflected => Self::Reflected,
            MapView::Reversed => Self::Reversed,
            MapView::ReflectedReversed => Self::ReflectedReversed,
        }
    }
}

/// Maps that are generated from seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SyntheticMaps {
    /// The number of maps.
    #[schemars(range(min = 1, max = 100_000))]
    pub maps: usize,
    /// The seed of the maps. Each split needs its own.
    pub seed: Seed,
    /// The number of junctions of a map.
    #[serde(default = "default_junctions")]
    #[schemars(range(min = 1, max = 1000))]
    pub junctions: usize,
    /// The share of maps in which traffic keeps to the left.
    #[serde(default = "default_left_hand")]
    #[schemars(range(min = 0, max = 1))]
    pub left_hand: f64,
    /// The share of roads whose reference line runs against the direction in which the map grew.
    #[serde(default = "default_flipped")]
    #[schemars(range(min = 0, max = 1))]
    pub flipped: f64,
    /// The share of roads in which a lane begins or ends.
    #[serde(default = "default_lane_changes")]
    #[schemars(range(min = 0, max = 1))]
    pub lane_changes: f64,
}

fn default_junctions() -> usize {
    SyntheticOptions::default().junctions
}

fn default_left_hand() -> f64 {
    SyntheticOptions::default().left_hand
}

fn default_flipped() -> f64 {
    SyntheticOptions::default().flipped
}

fn default_lane_changes() -> f64 {
    SyntheticOptions::default().lane_changes
}

impl SyntheticMaps {
    /// Returns the options of the generator.
    pub(super) fn options(&self) -> SyntheticOptions {
        let Self { junctions, left_hand, flipped, lane_changes, .. } = *self;
        SyntheticOptions { junctions, left_hand, flipped, lane_changes }
    }
}

/// What the texts of gaps and roads contain, and when two roads are equal. Everything that turns a map into
/// prompts, and answers into roads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RoadFormat {
    /// Whether heights are in the prompt and in the answer.
    pub elevation: bool,
    /// The maximum number of roads in the prompt at each end of the gap.
    #[schemars(range(min = 1, max = 1000))]
    pub neighbors: usize,
    /// The maximum number of lane pairs of other connecting roads in the prompt.
    #[schemars(range(max = 1000))]
    pub pairs: usize,
    /// Up to which errors a road counts as equal to the hidden road.
    pub tolerance: RoadTolerance,
}

impl Default for RoadFormat {
    fn default() -> Self {
        let PromptOptions { elevation, neighbors, pairs } = PromptOptions::default();
        Self { elevation, neighbors, pairs, tolerance: RoadTolerance::default() }
    }
}

impl RoadFormat {
    /// Returns the options of prompts.
    pub fn prompt_options(&self) -> PromptOptions {
        PromptOptions { elevation: self.elevation, neighbors: self.neighbors, pairs: self.pairs }
    }
}

/// Up to which errors a road counts as equal to the hidden road.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RoadTolerance {
    /// The distance of each end in metres.
    #[schemars(range(min = 0, max = 1000))]
    pub position: f64,
    /// The difference of the headings at each end in radians.
    #[schemars(range(min = 0, max = 4))]
    pub heading: f64,
    /// The difference of the curvatures at each end in 1/m.
    #[schemars(range(min = 0, max = 1000))]
    pub curvature: f64,
    /// The difference of the lengths, as a part of the hidden road's length.
    #[schemars(range(min = 0, max = 1))]
    pub length: f64,
    /// The difference of lane widths and lane offsets in metres.
    #[schemars(range(min = 0, max = 1000))]
    pub width: f64,
    /// The difference of the borders of lane sections in metres. The part `length` of the road's length is
    /// added.
    #[schemars(range(min = 0, max = 1000))]
    pub section: f64,
}

impl Default for RoadTolerance {
    fn default() -> Self {
        let Tolerance { position, heading, curvature, length, width, section } = Tolerance::default();
        Self { position, heading, curvature, length, width, section }
    }
}

impl From<RoadTolerance> for Tolerance {
    fn from(tolerance: RoadTolerance) -> Self {
        let RoadTolerance { position, heading, curvature, length, width, section } = tolerance;
        Self { position, heading, curvature, length, width, section }
    }
}

/// The maps of a split, with their views.
#[derive(Clone, Copy, Debug)]
pub(super) struct SplitMaps<'a> {
    pub files: &'a [String],
    pub synthetic: Option<&'a SyntheticMaps>,
    pub items: Option<usize>,
    pub views: &'a [MapView],
}

impl OpendriveTask {
    /// Returns the maximum number of items of a split.
    pub fn max_items(&self, split: Split) -> Option<usize> {
        self.maps(split)?.items
    }

    /// Returns the generated maps of a split.
    pub fn synthetic(&self, split: Split) -> Option<&SyntheticMaps> {
        self.maps(split)?.synthetic
    }

    /// Returns the maps of a split. `None` for the train split if the task has none.
    pub(super) fn maps(&self, split: Split) -> Option<SplitMaps<'_>> {
        let source = match split {
            Split::Train => {
                let TrainMaps { files, synthetic, items, views } = self.train.as_ref()?;
                return Some(SplitMaps { files, synthetic: synthetic.as_ref(), items: *items, views });
            }
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        };
        let MapSource { files, synthetic, items } = source;
        Some(SplitMaps { files, synthetic: synthetic.as_ref(), items: *items, views: &[MapView::Plain] })
    }
}

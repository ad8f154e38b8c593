//! Items of a task: the prompt of each gap and the text of the road that fills it.

use std::fmt;

use crate::gap::{Gap, Neighbors, PromptOptions, gaps, prompt};
use crate::map::{Map, Road};
use crate::metric::{Score, Tolerance, score_answer};
use crate::text::encode;
use crate::transform::{reflected, reversed};
use crate::{Error, Result};

/// A view of a map. Views other than `Plain` are further training items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The map itself.
    Plain,
    /// The mirror image.
    Reflected,
    /// All reference lines in the opposite direction.
    Reversed,
    /// The mirror image with all reference lines in the opposite direction.
    ReflectedReversed,
}

impl View {
    /// All views.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Reflected, Self::Reversed, Self::ReflectedReversed];

    /// The view of a map.
    #[must_use]
    pub fn of(self, map: &Map) -> Map {
        match self {
            Self::Plain => map.clone(),
            Self::Reflected => reflected(map),
            Self::Reversed => reversed(map),
            Self::ReflectedReversed => reversed(&reflected(map)),
        }
    }

    /// A short name, as in ids of items.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Reflected => "reflected",
            Self::Reversed => "reversed",
            Self::ReflectedReversed => "reflected-reversed",
        }
    }
}

/// Names an item: a map, a view of it, and the hidden road.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ItemId {
    /// The name of the map.
    pub map: String,
    /// The view of the map.
    pub view: View,
    /// The id of the hidden road.
    pub road: String,
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.map, self.view.name(), self.road)
    }
}

/// An item of the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The id of the item.
    pub id: ItemId,
    /// The text of the gap. It ends with a line break.
    pub prompt: String,
    /// The text of the hidden road.
    pub answer: String,
}

/// A view of a map with its gaps: makes items and scores answers.
#[derive(Clone, Debug)]
pub struct GapTask {
    name: String,
    view: View,
    map: Map,
    gaps: Vec<Gap>,
    options: PromptOptions,
}

impl GapTask {
    /// The task of a view of a map. Only roads whose own text gives the road back have items.
    pub fn new(name: &str, map: &Map, view: View, options: PromptOptions) -> Self {
        let map = view.of(map);
        let gaps = gaps(&map);
        let mut task = Self { name: name.to_owned(), view, map, gaps, options };
        let tolerance = Tolerance::default();
        let kept =
            |gap: &&Gap| task.answer(gap).is_some_and(|text| task.score_gap(gap, &text, &tolerance).success);
        task.gaps = task.gaps.iter().filter(kept).cloned().collect();
        task
    }

    /// The view of the map.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// The gaps that have items.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// All items, in the order of the map's roads.
    pub fn items(&self) -> Vec<Item> {
        let item = |gap: &Gap| {
            let id = ItemId { map: self.name.clone(), view: self.view, road: gap.road.clone() };
            Some(Item { id, prompt: prompt(&self.map, gap, &self.options)?, answer: self.answer(gap)? })
        };
        self.gaps.iter().filter_map(item).collect()
    }

    /// Scores an answer to the item of the hidden road `road`. Every text gets a score.
    pub fn score(&self, road: &str, answer: &str, tolerance: &Tolerance) -> Result<Score> {
        let gap = self.gaps.iter().find(|gap| gap.road == road);
        let gap = gap
            .ok_or_else(|| Error::new(format!("the map {:?} has no item of the road {road:?}", self.name)))?;
        Ok(self.score_gap(gap, answer, tolerance))
    }

    fn hidden(&self, gap: &Gap) -> Option<(&Road, Neighbors)> {
        Some((self.map.road(&gap.road)?, Neighbors::of(&self.map, gap)?))
    }

    fn answer(&self, gap: &Gap) -> Option<String> {
        let (hidden, neighbors) = self.hidden(gap)?;
        Some(encode(hidden, gap, &neighbors, self.options.elevation))
    }

    fn score_gap(&self, gap: &Gap, answer: &str, tolerance: &Tolerance) -> Score {
        match self.hidden(gap) {
            Some((hidden, neighbors)) => score_answer(&self.map, gap, &neighbors, hidden, answer, tolerance),
            None => Score { success: false, parts: Err(Error::new("the gap has no neighbours")) },
        }
    }
}

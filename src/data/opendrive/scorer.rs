//! Scores the text of a road against the hidden road.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dtr_core::error::{Error, Result};
use dtr_opendrive::baseline::baseline;
use dtr_opendrive::gap::Neighbors;
use dtr_opendrive::items::GapTask;
use dtr_opendrive::metric::{Comparison, Score, Tolerance};
use dtr_text::metric::AnswerScore;
use rayon::prelude::*;

use super::RoadTolerance;
use crate::data::GenerativeItem;

/// The hidden road of an item, and the map around it.
#[derive(Clone)]
pub struct RoadItem {
    /// The gaps of the map.
    pub gaps: Arc<GapTask>,
    /// The id of the hidden road.
    pub road: String,
}

impl fmt::Debug for RoadItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "road {}", self.road)
    }
}

/// Scores answers. An answer is right if it is a valid road that equals the hidden road.
pub(in crate::data) struct RoadScorer {
    tolerance: Tolerance,
}

impl RoadScorer {
    pub fn new(tolerance: RoadTolerance) -> Self {
        Self { tolerance: tolerance.into() }
    }

    /// Scores the answers to `items`.
    ///
    /// # Errors
    /// Fails if an item has no hidden road.
    pub fn score(&self, items: &[&GenerativeItem], answers: &[String]) -> Result<Vec<AnswerScore>> {
        let score =
            |(item, answer): (&&GenerativeItem, &String)| Ok(answer_score(&self.compare(item, answer)?));
        items.par_iter().zip(answers).map(score).collect()
    }

    /// Returns the score that the geometric baseline has on `items`. The baseline completes roads without a
    /// model.
    ///
    /// # Errors
    /// Fails if an item has no hidden road.
    pub fn baseline_score(&self, items: &[GenerativeItem]) -> Result<f64> {
        let is_right = |item: &GenerativeItem| {
            let RoadItem { gaps, road } = hidden_road(item)?;
            let gap = gaps.gaps().iter().find(|gap| gap.road == *road);
            let text = gap.and_then(|gap| Some(baseline(gap, &Neighbors::of(gaps.map(), gap)?)));
            Ok(u32::from(self.compare(item, &text.unwrap_or_default())?.success))
        };
        let right: Vec<u32> = items.par_iter().map(is_right).collect::<Result<_>>()?;
        Ok(f64::from(right.iter().sum::<u32>()) / items.len() as f64)
    }

    fn compare(&self, item: &GenerativeItem, answer: &str) -> Result<Score> {
        let RoadItem { gaps, road } = hidden_road(item)?;
        gaps.score(road, answer, &self.tolerance).map_err(|error| Error::failed(error.to_string()))
    }
}

fn hidden_road(item: &GenerativeItem) -> Result<&RoadItem> {
    item.road.as_ref().ok_or_else(|| Error::failed(format!("the item `{}` has no hidden road", item.id)))
}

fn answer_score(score: &Score) -> AnswerScore {
    let parts = score.parts.as_ref().map_or_else(|_| not_a_road(), parts);
    AnswerScore { value: f64::from(u8::from(score.success)), classes: None, parts }
}

fn not_a_road() -> BTreeMap<String, f64> {
    BTreeMap::from([("is-road".to_owned(), 0.0)])
}

/// Returns the parts of a comparison by name. A part is missing if it cannot be computed: the difference of
/// widths, if the roads have different lanes. Conditions are 0 or 1.
fn parts(comparison: &Comparison) -> BTreeMap<String, f64> {
    let Comparison { ends: [start, end], links_equal, lanes, length, deviation, broken_rules } = comparison;
    let condition = |is_met: bool| f64::from(u8::from(is_met));
    let all = [
        ("is-road", 1.0),
        ("is-valid", condition(broken_rules.is_empty())),
        ("links-equal", condition(*links_equal)),
        ("lanes-equal", condition(lanes.ids_equal)),
        ("lane-types-equal", condition(lanes.kinds_equal)),
        ("lane-links-equal", condition(lanes.links_equal)),
        ("width", lanes.width),
        ("offset", lanes.offset),
        ("section", lanes.section),
        ("start-position", start.position),
        ("start-heading", start.heading),
        ("start-curvature", start.curvature),
        ("end-position", end.position),
        ("end-heading", end.heading),
        ("end-curvature", end.curvature),
        ("length", *length),
        ("deviation", *deviation),
    ];
    let finite = all.into_iter().filter(|(_, value)| value.is_finite());
    // Digits behind a millionth depend on the machine's mathematical library.
    finite.map(|(name, value)| (name.to_owned(), (value * 1e6).round() / 1e6)).collect()
}

//! Stop criteria that are evaluated after a search, on the winners of its rounds.
//!
//! Under a stricter criterion, a search would have the same rounds, but would end earlier. Its last accepted
//! hybrid therefore follows from the rounds of the search that ran.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RoundWinner;
use dtr_model::Mask;

/// Stop criteria that are evaluated after the search, on the winners of its rounds. For each criterion, the
/// hybrid that the search would have accepted last is scored on the test split. A criterion under which the
/// search would have continued beyond its last round has no such hybrid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EarlierStops {
    /// Fractions of the base's validation score that may be lost, such as 0.05.
    #[schemars(inner(range(min = 0, max = 1)))]
    pub max_relative_drops: Vec<f64>,
    /// Numbers of replaced layers.
    #[schemars(inner(range(min = 1, max = 65_536)))]
    pub replaced_layers: Vec<u32>,
}

impl EarlierStops {
    /// Returns whether there are no criteria.
    pub fn is_empty(&self) -> bool {
        self.max_relative_drops.is_empty() && self.replaced_layers.is_empty()
    }

    /// Returns the criteria one by one.
    pub fn criteria(&self) -> impl Iterator<Item = EarlierStop> {
        let drops = self.max_relative_drops.iter().map(|&drop| EarlierStop::MaxRelativeDrop(drop));
        drops.chain(self.replaced_layers.iter().map(|&count| EarlierStop::ReplacedLayers(count)))
    }
}

/// One criterion of [`EarlierStops`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EarlierStop {
    /// Stop when the best score of a round is more than this fraction below the base's score.
    MaxRelativeDrop(f64),
    /// Stop when this number of layers is replaced.
    ReplacedLayers(u32),
}

impl EarlierStop {
    /// Returns the last hybrid that a search with this criterion would have accepted, and the hybrid's score.
    /// Returns the base, with an empty mask, if the search would have accepted no hybrid. Returns `None` if
    /// the search would have continued beyond `rounds`.
    ///
    /// `rounds` are the rounds of a search over `num_layers` layers. `base` is the base's validation score.
    pub fn last_accepted(self, base: f64, rounds: &[RoundWinner], num_layers: u32) -> Option<(Mask, f64)> {
        let num_accepted = match self {
            Self::MaxRelativeDrop(drop) => {
                let threshold = base * (1.0 - drop);
                let is_complete = rounds.len() == num_layers as usize;
                let rejected = rounds.iter().position(|round| round.score < threshold);
                rejected.or(is_complete.then_some(rounds.len()))?
            }
            Self::ReplacedLayers(count) => 1 + rounds.iter().position(|round| round.num_replaced == count)?,
        };
        Some(match num_accepted.checked_sub(1) {
            Some(last) => (rounds[last].layers.iter().copied().collect(), rounds[last].score),
            None => (Mask::empty(), base),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns rounds that replace layers 0, 1, 2 and so on, with these scores.
    fn rounds(scores: &[f64]) -> Vec<RoundWinner> {
        let round = |(index, &score): (usize, &f64)| RoundWinner {
            round: index as u32 + 1,
            layer: Some(index as u32),
            layers: (0..=index as u32).collect(),
            score,
            num_replaced: index as u32 + 1,
            accepted: true,
        };
        scores.iter().enumerate().map(round).collect()
    }

    fn layers(stop: EarlierStop, scores: &[f64], num_layers: u32) -> Option<(Vec<u32>, f64)> {
        let found = stop.last_accepted(0.5, &rounds(scores), num_layers);
        found.map(|(mask, score)| (mask.layers(), score))
    }

    #[test]
    fn a_stricter_threshold_stops_at_the_first_winner_below_it() {
        let scores = [0.52, 0.47, 0.51, 0.3];
        let drop = EarlierStop::MaxRelativeDrop;
        assert_eq!(layers(drop(0.0), &scores, 4), Some((vec![0], 0.52)));
        assert_eq!(layers(drop(0.1), &scores, 4), Some((vec![0, 1, 2], 0.51)));
        assert_eq!(layers(drop(0.9), &scores, 4), Some((vec![0, 1, 2, 3], 0.3)));
        assert_eq!(layers(drop(0.0), &[0.4], 4), Some((vec![], 0.5)), "the base is the last accepted hybrid");
    }

    #[test]
    fn a_search_that_ended_too_early_has_no_hybrid_for_a_looser_threshold() {
        assert_eq!(layers(EarlierStop::MaxRelativeDrop(0.2), &[0.52, 0.47], 4), None);
    }

    #[test]
    fn a_number_of_layers_selects_the_winner_of_its_round() {
        let scores = [0.52, 0.47, 0.51];
        assert_eq!(layers(EarlierStop::ReplacedLayers(2), &scores, 4), Some((vec![0, 1], 0.47)));
        assert_eq!(layers(EarlierStop::ReplacedLayers(4), &scores, 4), None);
    }
}

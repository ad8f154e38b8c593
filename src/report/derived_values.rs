//! Values that several tables and figures compute from records: the order in which a search replaces layers,
//! and normalised losses. A normalised loss is the mean squared error of a twin, divided by the variance of
//! the attention output that the twin imitates.

use std::collections::BTreeMap;

use super::experiment_records::{DistilCell, SearchCell};
use crate::algorithms::distil::{LayerCurvePoint, LayerLoss};
use crate::algorithms::search::RoundWinner;
use crate::stats::median;

/// Formats the values of sweep axes on one line, for example `distil.token-budget=1M,seed=2`.
pub fn format_axes(axes: &BTreeMap<String, String>) -> String {
    axes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Returns whether `all_axes` contains each `key=value` of `axes`. Both arguments are results of
/// [`format_axes`].
pub fn are_axes_part_of(axes: &str, all_axes: &str) -> bool {
    axes.is_empty() || axes.split(',').all(|axis| all_axes.split(',').any(|known| known == axis))
}

impl SearchCell {
    /// Returns the rounds, sorted by their numbers.
    pub fn sorted_rounds(&self) -> Vec<RoundWinner> {
        let mut rounds = self.rounds.clone();
        rounds.sort_by_key(|round| round.round);
        rounds
    }

    /// Maps each layer of the last accepted hybrid to a round. From this round on, every accepted hybrid
    /// replaces the layer.
    ///
    /// If each hybrid extends the previous hybrid, a layer is mapped to the round in which the search chose
    /// the layer.
    pub fn rounds_by_layer(&self) -> BTreeMap<u32, u32> {
        let mut since = BTreeMap::new();
        for round in self.sorted_rounds().into_iter().filter(|round| round.accepted) {
            since.retain(|layer, _| round.layers.contains(layer));
            for layer in &round.layers {
                since.entry(*layer).or_insert(round.round);
            }
        }
        since
    }

    /// Counts the accepted rounds in which another candidate has or may have the winner's score. In such a
    /// round, the tie-breaking rule may have selected the winner.
    pub fn num_tied_rounds(&self) -> u32 {
        let is_tied = |round: &&RoundWinner| {
            let of_round = self.trials.iter().filter(|trial| trial.round == round.round);
            // The winner itself is one of the counted trials.
            of_round.filter(|trial| trial.bounds.upper >= round.score).count() > 1
        };
        self.rounds.iter().filter(|round| round.accepted).filter(is_tied).count() as u32
    }
}

impl DistilCell {
    /// Returns the median over layers of the normalised loss, before and after training. Returns `None` if no
    /// layer has a normalised loss.
    pub fn median_normalised_losses(&self) -> Option<(f64, f64)> {
        let (before, after): (Vec<_>, Vec<_>) =
            self.layers.iter().filter_map(LayerLoss::normalised_losses).unzip();
        Some((median(&before)?, median(&after)?))
    }

    /// Returns the training curve: for each recorded step, the number of tokens trained on so far, and the
    /// median over layers of the normalised loss.
    pub fn median_curve(&self) -> Vec<(u64, f64)> {
        let mut curve: Vec<_> = self.curve.iter().collect();
        curve.sort_by_key(|point| point.step);
        let median_of = |point: &LayerCurvePoint| {
            let layers =
                point.losses.iter().zip(&self.layers).filter(|(_, layer)| layer.output_variance > 0.0);
            median(&layers.map(|(loss, layer)| loss / layer.output_variance).collect::<Vec<_>>())
        };
        curve.into_iter().filter_map(|point| Some((point.tokens, median_of(point)?))).collect()
    }
}

impl LayerLoss {
    /// Returns the loss before and after training, each divided by the variance of the attention output.
    /// Returns `None` if that variance is 0.
    pub fn normalised_losses(&self) -> Option<(f64, f64)> {
        let varies = self.output_variance > 0.0;
        varies.then(|| (self.initial / self.output_variance, self.r#final / self.output_variance))
    }
}

#[cfg(test)]
mod tests {
    use crate::algorithms::score::ScoreBounds;
    use crate::algorithms::search::RoundWinner;
    use crate::algorithms::search::Trial;
    use crate::report::fixture;

    #[test]
    fn a_layer_is_mapped_to_the_round_from_which_all_hybrids_replace_it() {
        let mut search = fixture::records().searches.remove(0);
        let round = |round: u32, layers: &[u32], accepted| RoundWinner {
            round,
            layer: None,
            layers: layers.to_vec(),
            score: 0.5,
            num_replaced: round,
            accepted,
        };
        search.rounds = vec![
            round(2, &[2, 6], true),
            round(1, &[4], true),
            round(4, &[1, 3, 5, 7], false),
            round(3, &[1, 4, 6], true),
        ];
        let rounds: Vec<(u32, u32)> = search.rounds_by_layer().into_iter().collect();
        assert_eq!(rounds, [(1, 3), (4, 3), (6, 2)]);
    }

    #[test]
    fn a_round_is_tied_if_another_candidate_may_have_the_same_score() {
        let mut search = fixture::records().searches.remove(0);
        search.rounds = fixture::rounds(&[3, 1, 2]);
        let trial = |(round, layer, lower, upper)| Trial {
            round,
            layer: Some(layer),
            layers: vec![layer],
            bounds: ScoreBounds { lower, upper },
        };
        // The winner of every round has a score of 0.5. In the first round all other scores are lower. In the
        // second round another candidate has the same score. In the third round, the upper bound of a pruned
        // candidate is as high as the winner's score.
        let trials =
            [(1, 3, 0.5, 0.5), (1, 1, 0.1, 0.4), (2, 1, 0.5, 0.5), (2, 2, 0.5, 0.5), (3, 2, 0.5, 0.5)];
        search.trials = trials.into_iter().chain([(3, 4, 0.2, 0.5)]).map(trial).collect();
        assert_eq!(search.num_tied_rounds(), 2);
        search.rounds[2].accepted = false;
        assert_eq!(search.num_tied_rounds(), 1);
    }

    #[test]
    fn if_hybrids_extend_one_another_a_layer_is_mapped_to_the_round_that_chose_it() {
        for search in fixture::records().searches {
            let accepted = search.rounds.iter().filter(|round| round.accepted);
            let won: std::collections::BTreeMap<u32, u32> =
                accepted.filter_map(|round| Some((round.layer?, round.round))).collect();
            assert_eq!(search.rounds_by_layer(), won);
        }
    }
}

//! The candidates that a search asks a scorer to score, and the threshold below which scoring stops early.

use dtr_model::Mask;

/// A hybrid whose score a search requests.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The hybrid whose cached hidden states the candidate reuses, up to the first layer in which the two
    /// differ. In greedy and beam search, the candidate replaces one layer more than the incumbent. In the
    /// other strategies, the incumbent is the hybrid that was accepted last. Candidates with the same
    /// incumbent share its cached states.
    pub incumbent: &'a Mask,
    /// The layers that the candidate replaces.
    pub mask: &'a Mask,
    /// The score below which the candidate is pruned. `None` requests the exact score.
    pub prune_below: Option<PruneBelow>,
}

/// The score below which a candidate is pruned. A candidate with a lower score can neither win its round nor
/// enter the beam, so a scorer need not compute its exact score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PruneBelow {
    /// The best score of the round so far, or the lowest score in the beam.
    pub score: f64,
    /// Whether a candidate with exactly this score is pruned too, because it loses ties.
    pub prunes_ties: bool,
}

impl PruneBelow {
    /// Returns whether to prune a candidate whose score is at most `upper`.
    pub fn prunes(&self, upper: f64) -> bool {
        upper < self.score || (upper == self.score && self.prunes_ties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_is_pruned_only_where_the_candidate_loses_it() {
        let threshold = |prunes_ties| PruneBelow { score: 0.5, prunes_ties };
        let prunes = |upper| [true, false].map(|prunes_ties| threshold(prunes_ties).prunes(upper));
        assert_eq!(prunes(0.25), [true, true]);
        assert_eq!(prunes(0.5), [true, false]);
        assert_eq!(prunes(0.75), [false, false]);
    }
}

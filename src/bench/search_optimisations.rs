//! `dtr bench search`: measures how much work and time each optimisation of a search saves. The benchmark
//! also checks that no optimisation changes the outcome.
//!
//! The benchmark runs a search once for each value of [`SearchOptimisations`], without stored scores. The
//! work is the number of tokens times the number of layers that process them, so it does not depend on the
//! machine. A short search runs several times, and the benchmark reports the median time.

use std::time::Instant;

use serde::Serialize;

use dtr_core::error::Result;

use super::search_case::SearchCase;
use crate::algorithms::score::{CandidateScore, ScoredCandidate, Scorer, SplitScorer, candidates_per_batch};
use crate::algorithms::search::{BatchPolicy, SearchOutcome, SearchStrategy, search};
use crate::data::scoring_requests::ScoringRequests;
use crate::stats::median;

/// The minimum total time of the runs of one search, in seconds.
const MIN_SECONDS: f64 = 5.0;

/// The optimisations that a search uses. Each value includes the optimisations of the values before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchOptimisations {
    /// No optimisation. The model runs through all layers for every candidate and for every choice of every
    /// item.
    None,
    /// The forward passes of a candidate start from cached hidden states of its incumbent. The incumbent is
    /// the hybrid that the candidate extends by one replaced layer.
    HiddenStates,
    /// Candidates that cannot win are pruned.
    Pruning,
    /// The choices of an item share one forward pass over its prompt, and candidates are scored in batches.
    Prompts,
}

impl SearchOptimisations {
    /// All values, in ascending order.
    pub const ALL: [Self; 4] = [Self::None, Self::HiddenStates, Self::Pruning, Self::Prompts];
}

/// The cost and the outcome of a search.
#[derive(Clone, Debug, Serialize)]
pub struct SearchCost {
    /// The optimisations of the search.
    pub optimisations: SearchOptimisations,
    /// Work: the number of tokens, times the number of layers that process them.
    pub layer_tokens: u64,
    /// Median seconds of a run.
    pub seconds: f64,
    /// The outcome of the search. A pruned candidate has bounds in place of a score.
    #[serde(skip)]
    pub outcome: SearchOutcome,
}

impl SearchCost {
    /// Returns whether both searches found the same hybrids with the same scores.
    pub fn has_same_outcome(&self, other: &Self) -> bool {
        let (one, other) = (&self.outcome, &other.outcome);
        one.rounds == other.rounds && one.best == other.best && one.opt == other.opt
    }
}

impl SearchCase {
    /// Measures the search with `optimisations`. Repeats the search until the runs have taken at least
    /// `MIN_SECONDS` in total.
    ///
    /// # Errors
    /// Fails if a candidate cannot be scored.
    pub fn measure(&self, optimisations: SearchOptimisations) -> Result<SearchCost> {
        let mut cost = self.run(optimisations)?;
        let mut seconds = vec![cost.seconds];
        while seconds.iter().sum::<f64>() < MIN_SECONDS {
            seconds.push(self.run(optimisations)?.seconds);
        }
        cost.seconds = median(&seconds).expect("the search ran at least once");
        Ok(cost)
    }

    fn run(&self, optimisations: SearchOptimisations) -> Result<SearchCost> {
        let sharing =
            ScoringRequests::new(&self.tokenizer, self.items.clone(), self.metric, self.max_row_tokens())?;
        let requests =
            if optimisations >= SearchOptimisations::Prompts { sharing } else { sharing.without_sharing() };
        let prune = optimisations >= SearchOptimisations::Pruning;
        let policy = BatchPolicy {
            prune,
            candidates_per_batch: if optimisations >= SearchOptimisations::Prompts {
                candidates_per_batch(true, 1)
            } else {
                1
            },
        };
        let mut scorer = Scorer::new(&self.base, Some(&self.twins), &requests);
        if optimisations < SearchOptimisations::HiddenStates {
            scorer = scorer.without_cache();
        }
        let mut layer_tokens = 0;
        let start = Instant::now();
        let strategy = SearchStrategy::Greedy {};
        let outcome = search(&strategy, &self.layer_order, &self.stop, policy, &mut |batch| {
            let scored = scorer.score_with_pruning(batch)?;
            if let [ScoredCandidate { score: CandidateScore::Complete(base_score), .. }] = scored.as_slice()
                && prune
                && batch[0].mask.layers().is_empty()
            {
                layer_tokens += scorer.layer_tokens();
                scorer = Scorer::with_pruning_parts(&self.base, Some(&self.twins), &requests, base_score);
            }
            Ok(scored.iter().map(|one| one.score.bounds()).collect())
        })?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(SearchCost { optimisations, layer_tokens: layer_tokens + scorer.layer_tokens(), seconds, outcome })
    }
}

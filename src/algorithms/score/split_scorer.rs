//! What the scorers of choices and of generated texts have in common.

use dtr_core::error::{Error, Result};
use dtr_model::{BaseModel, Mask, Twins};

use super::evaluation::Evaluation;
use super::part_queue::OwnQueue;
use super::{
    CandidateScore, GenerationScorer, GroupScores, PartQueue, PartScore, ScoreResult, ScoredCandidate, Scorer,
};
use crate::algorithms::candidate::{Candidate, PruneBelow};
use crate::data::TaskRequests;

/// Scores hybrids of one base on the parts of one split of a task.
pub trait SplitScorer<'a>: Send {
    /// Returns the number of parts of the split.
    fn num_parts(&self) -> usize;

    /// Divides candidates into groups. The candidates of a group are scored together, part by part.
    fn groups<'c>(&self, candidates: &'c [Candidate<'c>]) -> Vec<&'c [Candidate<'c>]>;

    /// Scores the candidates of a group on the parts that `queue` returns, and adds the scores to it.
    ///
    /// # Errors
    /// Fails if the model computes a value that is not finite, if an answer cannot be scored, or with an error
    /// of the queue.
    fn score_parts(&mut self, group: &[Candidate<'_>], queue: &dyn PartQueue) -> Result<()>;

    /// Starts the evaluation of a candidate with the threshold `prune_below`.
    fn evaluation(&self, prune_below: Option<PruneBelow>) -> Evaluation<'a>;

    /// Returns the answers in `known` to the items of a part, as if the part had been scored.
    fn part_of(&self, known: &ScoreResult, part: usize) -> PartScore;

    /// Returns the scores of a group, of which no part has been added.
    fn group_scores(&self, group: &[Candidate<'_>]) -> GroupScores<'a> {
        let evaluations = group.iter().map(|candidate| self.evaluation(candidate.prune_below)).collect();
        GroupScores::new(evaluations, self.num_parts())
    }

    /// Scores candidates. Prunes a candidate as soon as its score can no longer reach its threshold.
    ///
    /// # Errors
    /// Fails as [`SplitScorer::score_parts`] does.
    fn score_with_pruning(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<ScoredCandidate>> {
        let mut scored = Vec::new();
        for group in self.groups(candidates) {
            let queue = OwnQueue::new(self.group_scores(group));
            self.score_parts(group, &queue)?;
            scored.extend(queue.finish());
        }
        Ok(scored)
    }

    /// Scores, on all items, the hybrid that replaces the layers of `mask`. Reuses what the scorer caches of
    /// `incumbent`.
    ///
    /// # Errors
    /// Fails as [`SplitScorer::score_parts`] does.
    fn score(&mut self, incumbent: &Mask, mask: &Mask) -> Result<ScoreResult> {
        let candidate = Candidate { incumbent, mask, prune_below: None };
        match self.score_with_pruning(&[candidate])?.pop() {
            Some(ScoredCandidate { score: CandidateScore::Complete(result), .. }) => Ok(result),
            _ => unreachable!("a candidate without a threshold is never pruned"),
        }
    }

    /// Returns the same result as [`SplitScorer::score_with_pruning`] for `candidate`, without running the
    /// model. `known` is the candidate's complete score.
    fn prune_with_known_score(&self, candidate: &Candidate<'_>, known: ScoreResult) -> CandidateScore {
        let mut evaluation = self.evaluation(candidate.prune_below);
        for part in 0..self.num_parts() {
            evaluation.add(self.part_of(&known, part));
            if evaluation.is_pruned() {
                return evaluation.finish().score;
            }
        }
        CandidateScore::Complete(known)
    }
}

/// Wraps an error of scoring a hybrid in an error that names the replaced layers.
pub(super) fn hybrid_error(mask: &Mask, error: Error) -> Error {
    Error::failed(format!("cannot score the hybrid with layers {:?} replaced", mask.layers()))
        .with_source(error)
}

/// Creates a scorer of the hybrids of `base` and `twins` on the items of `requests`.
///
/// If `base_score` is given, the items are divided into parts, as in [`Scorer::with_pruning_parts`] and
/// [`GenerationScorer::with_pruning_parts`].
pub fn task_scorer<'a>(
    base: &'a BaseModel,
    twins: Option<&'a Twins>,
    requests: &'a TaskRequests,
    base_score: Option<&ScoreResult>,
) -> Box<dyn SplitScorer<'a> + 'a> {
    let decoder = &base.decoder;
    match (requests, base_score) {
        (TaskRequests::Choices(requests), None) => Box::new(Scorer::new(decoder, twins, requests)),
        (TaskRequests::Choices(requests), Some(score)) => {
            Box::new(Scorer::with_pruning_parts(decoder, twins, requests, score))
        }
        (TaskRequests::Generation(requests), None) => Box::new(GenerationScorer::new(base, twins, requests)),
        (TaskRequests::Generation(requests), Some(score)) => {
            Box::new(GenerationScorer::with_pruning_parts(base, twins, requests, score))
        }
    }
}

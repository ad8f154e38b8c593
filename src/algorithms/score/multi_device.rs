//! Scores candidates on several devices. The devices divide the candidates of a round among themselves.

use dtr_core::error::Result;
use dtr_model::{BaseModel, Mask, Twins};

use super::{CandidateScore, GroupScores, PartQueue, ScoreResult, ScoredCandidate, SplitScorer, task_scorer};
use crate::algorithms::candidate::Candidate;
use crate::algorithms::parallel::map_in_threads;
use crate::data::TaskRequests;

/// Scores hybrids of one base on one split, with one scorer per device.
pub struct MultiDeviceScorer<'a> {
    scorers: Vec<Box<dyn SplitScorer<'a> + 'a>>,
}

impl<'a> MultiDeviceScorer<'a> {
    /// Creates one scorer for each of `models`. A model is a base and its twins, all on one device.
    ///
    /// If `base_score` is given, the items are divided into parts. A candidate may then be pruned after each
    /// part.
    pub fn new(
        models: impl IntoIterator<Item = (&'a BaseModel, &'a Twins)>,
        requests: &'a TaskRequests,
        base_score: Option<&ScoreResult>,
    ) -> Self {
        let scorer = |(base, twins)| task_scorer(base, Some(twins), requests, base_score);
        Self { scorers: models.into_iter().map(scorer).collect() }
    }

    /// Scores the hybrid with the layers of `mask` replaced, on the first device.
    pub fn score_on_first_device(&mut self, mask: &Mask) -> Result<ScoreResult> {
        self.scorers[0].score(&Mask::empty(), mask)
    }

    /// Returns the same result as [`Self::score_with_pruning`] for `candidate`, without running the model.
    /// `known` is the candidate's complete score.
    pub fn prune_with_known_score(&self, candidate: &Candidate<'_>, known: ScoreResult) -> CandidateScore {
        self.scorers[0].prune_with_known_score(candidate, known)
    }

    /// Scores candidates as [`SplitScorer::score_with_pruning`] does. Each of `n` devices scores every `n`-th
    /// candidate.
    pub fn score_with_pruning(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<ScoredCandidate>> {
        let num_scorers = self.scorers.len();
        let by_device = map_in_threads(self.scorers.iter_mut().enumerate(), |(index, scorer)| {
            let share: Vec<_> = candidates.iter().skip(index).step_by(num_scorers).copied().collect();
            scorer.score_with_pruning(&share)
        })?;
        let mut by_device: Vec<_> = by_device.into_iter().map(Vec::into_iter).collect();
        Ok((0..candidates.len()).filter_map(|index| by_device[index % num_scorers].next()).collect())
    }

    /// Divides candidates into groups, as [`SplitScorer::groups`] does.
    pub fn groups<'c>(&self, candidates: &'c [Candidate<'c>]) -> Vec<&'c [Candidate<'c>]> {
        self.scorers[0].groups(candidates)
    }

    /// Returns the scores of a group, of which no part has been added.
    pub fn group_scores(&self, group: &[Candidate<'_>]) -> GroupScores<'a> {
        self.scorers[0].group_scores(group)
    }

    /// Scores the candidates of a group on the parts that `queue` returns. The devices take parts from the
    /// queue independently of one another.
    pub fn score_parts(&mut self, group: &[Candidate<'_>], queue: &dyn PartQueue) -> Result<()> {
        map_in_threads(&mut self.scorers, |scorer| scorer.score_parts(group, queue))?;
        Ok(())
    }
}

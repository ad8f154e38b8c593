//! Scorers of one split on several devices, which share the candidates of a round.

use std::panic::resume_unwind;
use std::thread::{ScopedJoinHandle, scope};

use super::{Candidate, CandidateScore, Scorer};
use crate::algorithms::score::ScoreResult;
use crate::data::requests::Requests;
use dtr_core::error::Result;
use dtr_model::{Decoder, Mask, Twins};

/// A scorer on each device. The first alone scores what is asked for alone.
pub struct MultiDeviceScorer<'a>(Vec<Scorer<'a>>);

impl<'a> MultiDeviceScorer<'a> {
    /// Scorers of the hybrids of `models`, each on a device of its own; in parts as [`Scorer::in_parts`] makes them of
    /// the base's `score`, if that is given.
    pub fn new(
        models: impl IntoIterator<Item = (&'a Decoder, &'a Twins)>,
        requests: &'a Requests,
        score: Option<&ScoreResult>,
    ) -> Self {
        let scorer = |(base, twins)| match score {
            Some(score) => Scorer::in_parts(base, Some(twins), requests, score),
            None => Scorer::new(base, Some(twins), requests),
        };
        Self(models.into_iter().map(scorer).collect())
    }

    /// As [`Scorer::score`].
    pub fn score(&mut self, mask: &Mask) -> Result<ScoreResult> {
        self.0[0].score(&Mask::none(), mask)
    }

    /// As [`Scorer::recall`].
    pub fn recall(&self, candidate: &Candidate<'_>, remembered: ScoreResult) -> CandidateScore {
        self.0[0].recall(candidate, remembered)
    }

    /// As [`Scorer::score_pruned`], each device with its share of the candidates.
    pub fn score_pruned(&mut self, candidates: &[&Candidate<'_>]) -> Result<Vec<(CandidateScore, u64)>> {
        let num_scorers = self.0.len();
        if num_scorers == 1 {
            return self.0[0].score_pruned(candidates);
        }
        let share = |index| candidates.iter().skip(index).step_by(num_scorers).copied().collect::<Vec<_>>();
        let verdicts: Vec<Vec<(CandidateScore, u64)>> = scope(|scope| {
            let ask = self.0.iter_mut().enumerate().map(|(index, scorer)| {
                let share = share(index);
                scope.spawn(move || scorer.score_pruned(&share))
            });
            let threads: Vec<_> = ask.collect();
            let join =
                |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            threads.into_iter().map(join).collect::<Result<_>>()
        })?;
        let mut shares: Vec<_> = verdicts.into_iter().map(Vec::into_iter).collect();
        Ok((0..candidates.len()).filter_map(|index| shares[index % num_scorers].next()).collect())
    }
}

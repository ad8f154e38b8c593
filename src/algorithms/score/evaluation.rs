//! The evaluation of one candidate on a split, part by part.

use dtr_core::error::Error;
use dtr_model::{Hybrid, PartialRun};

use super::accumulator::{ScoreAccumulator, TokenLogLikelihood};
use super::batch::Batch;
use super::{CandidateScore, PartBounds, ScoredCandidate};
use crate::algorithms::candidate::{Candidate, PruneBelow};

/// A candidate that is being scored.
pub(super) struct Evaluation<'a> {
    candidate: Candidate<'a>,
    hybrid: Hybrid<'a>,
    /// The first layer that is run for the candidate. Its input comes from the incumbent's cached hidden
    /// states.
    pub first_layer: usize,
    scores: ScoreAccumulator<'a>,
    /// The bounds of the score after each part but the last.
    parts: Vec<PartBounds>,
    /// The score, if the candidate was pruned.
    pruned: Option<CandidateScore>,
    layer_tokens: u64,
}

impl<'a> Evaluation<'a> {
    /// Creates an evaluation of `candidate`. `hybrid` is the candidate's model, which runs from `first_layer`
    /// on.
    pub fn new(
        candidate: Candidate<'a>,
        hybrid: Hybrid<'a>,
        first_layer: usize,
        scores: ScoreAccumulator<'a>,
    ) -> Self {
        Self { candidate, hybrid, first_layer, scores, parts: Vec::new(), pruned: None, layer_tokens: 0 }
    }

    /// Returns whether the candidate was pruned.
    pub fn is_pruned(&self) -> bool {
        self.pruned.is_some()
    }

    /// Returns the candidate's model and the first layer to run.
    pub fn partial_run(&self) -> PartialRun<'_> {
        PartialRun { hybrid: &self.hybrid, first_layer: self.first_layer }
    }

    /// Returns the work of a forward pass over `tokens` tokens, in tokens times layers. `tokens` includes
    /// padding.
    pub fn layer_tokens(&self, tokens: u64) -> u64 {
        tokens * (self.hybrid.num_layers() - self.first_layer) as u64
    }

    /// Adds the log-likelihoods of all items of `batches`. Prunes the candidate if its score can no longer
    /// reach its threshold.
    pub fn add(&mut self, scored: impl Iterator<Item = TokenLogLikelihood>, batches: &[&mut Batch]) {
        let padded: u64 = batches.iter().map(|batch| batch.num_tokens() as u64).sum();
        self.layer_tokens += self.layer_tokens(padded);
        self.scores.add(scored, batches.iter().map(|batch| batch.num_unpadded_tokens()).sum());
        if let Some(bounds) = self.scores.open_bounds() {
            self.parts.push(PartBounds { bounds, tokens: self.scores.tokens() });
            self.prune(self.candidate.prune_below);
        }
    }

    /// Prunes the candidate if its score can no longer reach `threshold`.
    pub fn prune(&mut self, threshold: Option<PruneBelow>) {
        if self.pruned.is_none() {
            self.pruned = threshold.and_then(|threshold| PartBounds::prune(&self.parts, &threshold));
        }
    }

    /// Ends the evaluation and returns its result.
    pub fn finish(self) -> ScoredCandidate {
        let (score, parts) = match self.pruned {
            Some(score) => (score, self.parts),
            None => (CandidateScore::Complete(self.scores.result()), Vec::new()),
        };
        ScoredCandidate { score, parts, layer_tokens: self.layer_tokens }
    }

    /// Wraps an error of this candidate in an error that names the candidate's replaced layers.
    pub fn wrap_error(&self, error: Error) -> Error {
        let layers = self.candidate.mask.layers();
        Error::failed(format!("cannot score the hybrid with layers {layers:?} replaced")).with_source(error)
    }
}

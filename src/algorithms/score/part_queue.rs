//! The order in which scorers take the parts of a split.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use dtr_core::error::Result;

use super::{GroupScores, PartScore, ScoredCandidate};

/// Parts of a split that a scorer takes next, and the candidates that it scores on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenParts {
    /// The parts.
    pub parts: Range<usize>,
    /// The indices, within their group, of the candidates that are not pruned yet.
    pub candidates: Vec<usize>,
}

impl OpenParts {
    /// Returns whether all of `candidates` are scored on the parts.
    pub fn cover(&self, candidates: &[usize]) -> bool {
        candidates.iter().all(|candidate| self.candidates.contains(candidate))
    }
}

/// Hands out the parts of a split to the scorers of a group of candidates, and collects the scores.
///
/// The scorers may belong to several devices and to several processes. The parts are taken about in their order,
/// because the first parts decide which candidates are pruned.
pub trait PartQueue: Sync {
    /// Returns the parts to score next, or `None` if no part is left for the caller.
    ///
    /// `cost` returns the number of layers that the caller runs for a part. A caller that caches hidden states
    /// of a part runs fewer layers.
    ///
    /// # Errors
    /// Fails if the user asks to stop, or if the queue cannot be read or written.
    fn next(&self, cost: &dyn Fn(usize) -> usize) -> Result<Option<OpenParts>>;

    /// Adds the scores of parts that [`PartQueue::next`] returned, in the order of [`OpenParts::candidates`].
    ///
    /// # Errors
    /// Fails if the scores cannot be written.
    fn add(&self, parts: OpenParts, scores: Vec<PartScore>) -> Result<()>;
}

/// A queue for the only scorer of a group. The parts are taken in their order.
pub(super) struct OwnQueue<'a>(Mutex<GroupScores<'a>>);

impl<'a> OwnQueue<'a> {
    pub fn new(scores: GroupScores<'a>) -> Self {
        Self(Mutex::new(scores))
    }

    /// Returns the scores. All parts must have been scored.
    pub fn finish(self) -> Vec<ScoredCandidate> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
    }
}

impl PartQueue for OwnQueue<'_> {
    fn next(&self, _cost: &dyn Fn(usize) -> usize) -> Result<Option<OpenParts>> {
        let scores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = scores.num_added();
        // Without thresholds, no candidate can be pruned, so all parts are scored at once.
        let end = if scores.can_prune() { first + 1 } else { scores.num_parts() };
        let parts = OpenParts { parts: first..end, candidates: scores.open_candidates() };
        Ok((!scores.is_done()).then_some(parts))
    }

    fn add(&self, parts: OpenParts, scores: Vec<PartScore>) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(parts, scores);
        Ok(())
    }
}

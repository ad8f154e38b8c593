//! The scores of candidates that are scored together, while their parts arrive in any order.

use std::collections::BTreeMap;

use super::evaluation::Evaluation;
use super::{OpenParts, PartScore, ScoredCandidate};

/// The scores of the candidates of a group.
///
/// Parts may be added in any order. They count in their own order, so a candidate is pruned after the same part,
/// with the same bounds, as if one scorer had scored all parts.
pub struct GroupScores<'a> {
    evaluations: Vec<Evaluation<'a>>,
    num_parts: usize,
    /// The number of parts that count already: the parts from 0 to this number.
    num_added: usize,
    /// Scores of later parts, by the first part.
    early: BTreeMap<usize, (OpenParts, Vec<PartScore>)>,
}

impl<'a> GroupScores<'a> {
    pub(super) fn new(evaluations: Vec<Evaluation<'a>>, num_parts: usize) -> Self {
        Self { evaluations, num_parts, num_added: 0, early: BTreeMap::new() }
    }

    /// Returns the number of parts of the split.
    pub fn num_parts(&self) -> usize {
        self.num_parts
    }

    /// Returns the number of parts that count already. A part counts if all parts before it count.
    pub fn num_added(&self) -> usize {
        self.num_added
    }

    /// Returns whether the scores of a part were added.
    pub fn has(&self, part: usize) -> bool {
        part < self.num_added || self.early.values().any(|(early, _)| early.parts.contains(&part))
    }

    /// Returns the indices of the candidates that are not pruned.
    pub fn open_candidates(&self) -> Vec<usize> {
        (0..self.evaluations.len()).filter(|index| !self.evaluations[*index].is_pruned()).collect()
    }

    /// Returns whether a candidate has a threshold.
    pub fn can_prune(&self) -> bool {
        self.evaluations.iter().any(Evaluation::has_threshold)
    }

    /// Returns whether every candidate is pruned or scored on all parts.
    pub fn is_done(&self) -> bool {
        self.num_added == self.num_parts || self.evaluations.iter().all(Evaluation::is_pruned)
    }

    /// Adds the scores of parts, in the order of `parts.candidates`. Does nothing if they were added before.
    pub fn add(&mut self, parts: OpenParts, scores: Vec<PartScore>) {
        if self.has(parts.parts.start) {
            return;
        }
        self.early.insert(parts.parts.start, (parts, scores));
        while let Some((parts, scores)) = self.early.remove(&self.num_added) {
            for (candidate, score) in parts.candidates.iter().zip(scores) {
                self.evaluations[*candidate].add(score);
            }
            self.num_added = parts.parts.end;
        }
    }

    /// Returns the scores, in the order of the group.
    ///
    /// # Panics
    /// Panics if [`GroupScores::is_done`] is false.
    pub fn finish(mut self) -> Vec<ScoredCandidate> {
        assert!(self.is_done(), "some parts of the split are not scored yet");
        // The work on parts after the pruning was done too.
        for (parts, scores) in self.early.into_values() {
            for (candidate, score) in parts.candidates.iter().zip(scores) {
                self.evaluations[*candidate].add(score);
            }
        }
        self.evaluations.into_iter().map(Evaluation::finish).collect()
    }
}

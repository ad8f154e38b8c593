//! A candidate on its way through a split, part by part.

use super::answers::{Answers, Likelihood};
use super::batch::Batch;
use super::{Candidate, CandidateScore};
use crate::algorithms::score::Bounds;
use dtr_core::error::{Error, Result};
use dtr_model::{Hybrid, PartialRun};

/// A candidate, and what is known of it so far.
pub(super) struct Trial<'a> {
    pub(super) candidate: &'a Candidate<'a>,
    pub(super) hybrid: Hybrid<'a>,
    /// Layers whose outputs it takes from its incumbent.
    pub(super) depth: usize,
    answers: Answers<'a>,
    dropped: Option<Bounds>,
    work: u64,
}

impl<'a> Trial<'a> {
    pub fn new(candidate: &'a Candidate<'a>, hybrid: Hybrid<'a>, depth: usize, answers: Answers<'a>) -> Self {
        Self { candidate, hybrid, depth, answers, dropped: None, work: 0 }
    }

    /// Whether it has not been dropped.
    pub fn is_open(&self) -> bool {
        self.dropped.is_none()
    }

    /// The hybrid from where it leaves its incumbent.
    pub fn sibling(&self) -> PartialRun<'_> {
        PartialRun { hybrid: &self.hybrid, first: self.depth }
    }

    /// Tokens times layers that `tokens`, pads included, take it.
    pub fn work_of(&self, tokens: u64) -> u64 {
        tokens * (self.hybrid.num_layers() - self.depth) as u64
    }

    /// Takes the answers to `batches`, and drops it if they leave no hope.
    pub fn take(&mut self, answers: impl Iterator<Item = Likelihood>, batches: &[&mut Batch]) {
        self.work += batches.iter().map(|batch| self.work_of(batch.num_tokens() as u64)).sum::<u64>();
        self.answers.add(answers, batches.iter().map(|batch| batch.num_asked()).sum());
        self.dropped = self.candidate.hopeless.as_ref().and_then(|hopeless| self.answers.bounds_if(hopeless));
    }

    /// What came of it, and what that took in tokens times layers.
    pub fn verdict(self) -> (CandidateScore, u64) {
        let verdict = match self.dropped {
            Some(bounds) => CandidateScore::Dropped(bounds, self.answers.tokens()),
            None => CandidateScore::Scored(self.answers.result()),
        };
        (verdict, self.work)
    }

    /// An error of it, with the layers that were replaced; the cell's labels name the variant.
    pub fn own(&self, error: Error) -> Error {
        Error::failed(format!("with layers {:?} replaced", self.candidate.mask.layers())).with_source(error)
    }
}

/// Does `work` on each of `items`, and tells what came of them in order.
pub(super) fn side_by_side<I: Send, T: Send>(
    in_threads: bool,
    items: Vec<I>,
    work: impl Fn(I) -> Result<T> + Send + Sync,
) -> Result<Vec<T>> {
    use rayon::prelude::*;
    match in_threads {
        true => items.into_par_iter().map(work).collect(),
        false => items.into_iter().map(work).collect(),
    }
}

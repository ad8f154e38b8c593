//! Scoring a hybrid on a task's items by log-likelihood, as lm-evaluation-harness does for multiple
//! choice: the right choice must be the likeliest continuation of the prompt.

mod answers;
mod batch;
mod impact;
mod layout;
mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rayon::prelude::*;

use answers::Answers;
use batch::Batch;
pub use impact::impacts;

use crate::error::Result;
use crate::model::{Decoder, Hybrid, Mask, Twins};
use crate::ops::{computes_in_threads, exclusively};
use crate::requests::{Group, Requests};
use crate::store::{Bounds, ScoreResult};

/// Tokens that one forward pass takes; bounds memory.
const TOKENS_PER_PASS: usize = 2048;

/// Parts that a split is asked in where a candidate may be dropped between them.
const NUM_PARTS: usize = 12;

/// Passes that shall run side by side, where there are tokens enough.
const SIDE_BY_SIDE: usize = 2;

/// Tokens below which a pass is not worth its overhead.
const FEWEST_TOKENS_PER_PASS: usize = 48;

/// Bytes of hidden states that a scorer keeps at most.
const KEPT_BYTES: usize = 1 << 30;

/// Whether a score of at most this much is not worth knowing better.
pub type Hopeless<'a> = &'a dyn Fn(f64) -> bool;

/// What came of a scoring.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The whole score.
    Scored(ScoreResult),
    /// It is hopeless: where the score lies, and the tokens that it took to know.
    Dropped(Bounds, u64),
}

/// Tokens of each pass over `num_tokens` in all, so that threads can share the passes evenly.
fn tokens_per_pass(num_tokens: usize) -> usize {
    let num_passes = num_tokens.div_ceil(TOKENS_PER_PASS).max(1).next_multiple_of(SIDE_BY_SIDE);
    num_tokens.div_ceil(num_passes).max(FEWEST_TOKENS_PER_PASS)
}

/// Scores hybrids of one base on one split, one after another.
///
/// Hybrids that grow from the same incumbent share its hidden states below the layer that they replace:
/// these are kept, and a hybrid's score is computed from that layer on, with the same operations on the
/// same numbers as without. What the rows of an item share is computed once.
pub struct Scorer<'a> {
    base: &'a Decoder,
    twins: Option<&'a Twins>,
    requests: &'a Requests,
    incumbent: Mask,
    parts: Vec<Vec<Batch>>,
    /// Bytes of hidden states that are kept at most.
    most_kept: usize,
    work: u64,
}

impl<'a> Scorer<'a> {
    /// A scorer of hybrids of `base` and `twins` on the items of `requests`, all at once.
    pub fn new(base: &'a Decoder, twins: Option<&'a Twins>, requests: &'a Requests) -> Self {
        Self::over(vec![requests.passes(tokens_per_pass(requests.num_tokens()))], base, twins, requests)
    }

    /// A scorer that asks the split in parts: first the items that the base, which answered as `score` says, got
    /// wrong or nearly so. On these a hybrid that cannot win shows it first.
    pub fn in_parts(
        base: &'a Decoder,
        twins: Option<&'a Twins>,
        requests: &'a Requests,
        score: &ScoreResult,
    ) -> Self {
        let margin = |item: &usize| requests.margin(*item, &score.items[*item].log_likelihoods);
        let mut items: Vec<usize> = (0..score.items.len()).collect();
        items.sort_by(|one, other| margin(one).total_cmp(&margin(other)));
        let parts = items.chunks(items.len().div_ceil(NUM_PARTS)).map(|items| {
            let items: BTreeSet<usize> = items.iter().copied().collect();
            requests.passes_of(&items, tokens_per_pass)
        });
        Self::over(parts.collect(), base, twins, requests)
    }

    fn over(
        parts: Vec<Vec<Vec<&Group>>>,
        base: &'a Decoder,
        twins: Option<&'a Twins>,
        requests: &'a Requests,
    ) -> Self {
        let batch = |groups: Vec<&Group>| Batch::new(base, requests, &groups);
        let parts = parts.into_iter().map(|passes| passes.into_iter().map(batch).collect()).collect();
        Self { base, twins, requests, incumbent: Mask::none(), parts, most_kept: KEPT_BYTES, work: 0 }
    }

    /// The same scorer, but it keeps nothing: every hybrid goes through all layers.
    pub fn forgetful(self) -> Self {
        Self { most_kept: 0, ..self }
    }

    /// Tokens times the layers that they went through, so far.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// The score of the hybrid with the layers of `mask` replaced, which grew from `incumbent`; batches run
    /// side by side and are added in order.
    pub fn score(&mut self, incumbent: &Mask, mask: &Mask) -> Result<ScoreResult> {
        match self.score_unless(&|_| false, incumbent, mask)? {
            Verdict::Scored(result) => Ok(result),
            Verdict::Dropped(..) => unreachable!("nothing is hopeless"),
        }
    }

    /// The score as [`Scorer::score`] has it, or bounds once it is hopeless.
    pub fn score_unless(&mut self, hopeless: Hopeless<'_>, incumbent: &Mask, mask: &Mask) -> Result<Verdict> {
        self.grow_from(incumbent);
        let (from, hybrid) = (self.hybrid(incumbent), self.hybrid(mask));
        let shared = incumbent.first_difference(mask).map_or(self.base.layers.len(), |layer| layer as usize);
        let depth = shared.min(self.num_kept_layers());
        let (base, requests) = (self.base, self.requests);
        let mut answers = Answers::new(requests);
        for part in &mut self.parts {
            self.work += part.iter().map(|batch| batch.work(depth, base.layers.len())).sum::<u64>();
            let score = |batch: &mut Batch| {
                batch.keep(base, &from, depth);
                batch.likelihoods(base, requests, &hybrid, depth)
            };
            let scored: Vec<_> = match computes_in_threads(&base.device()) {
                true => part.par_iter_mut().map(score).collect::<Result<_>>()?,
                false => exclusively(&base.device(), || part.iter_mut().map(score).collect::<Result<_>>())?,
            };
            let tokens = part.iter().map(|batch| batch.num_tokens() as u64).sum();
            answers.add(scored.into_iter().flatten(), tokens);
            if let Some(bounds) = answers.bounds_if(hopeless) {
                return Ok(Verdict::Dropped(bounds, answers.tokens()));
            }
        }
        Ok(Verdict::Scored(answers.result()))
    }

    /// What [`Scorer::score_unless`] would say of a mask whose score is remembered.
    pub fn recall(&self, hopeless: Hopeless<'_>, remembered: ScoreResult) -> Verdict {
        let mut answers = Answers::new(self.requests);
        for part in &self.parts {
            let known = part.iter().flat_map(Batch::targets).map(|target| {
                let whole = remembered.items[target.item].log_likelihoods[target.choice];
                // A choice's tokens share it: sums are not taken apart.
                (target.item, target.choice, if target.is_first { whole } else { 0.0 })
            });
            answers.add(known, part.iter().map(|batch| batch.num_tokens() as u64).sum());
            if let Some(bounds) = answers.bounds_if(hopeless) {
                return Verdict::Dropped(bounds, answers.tokens());
            }
        }
        Verdict::Scored(remembered)
    }

    /// Forgets the hidden states that `incumbent` does not share.
    fn grow_from(&mut self, incumbent: &Mask) {
        if let Some(layer) = self.incumbent.first_difference(incumbent) {
            self.parts.iter_mut().flatten().for_each(|batch| batch.forget_from(layer as usize));
            self.incumbent = incumbent.clone();
        }
    }

    fn hybrid(&self, mask: &Mask) -> Hybrid<'a> {
        match self.twins {
            Some(twins) => Hybrid::new(self.base, twins, mask),
            None => Hybrid::base(self.base),
        }
    }

    /// Layers whose outputs may be kept.
    fn num_kept_layers(&self) -> usize {
        let tokens: usize = self.parts.iter().flatten().map(Batch::num_tokens).sum();
        self.most_kept / (tokens * self.base.config.hidden_size * size_of::<f32>()).max(1)
    }
}

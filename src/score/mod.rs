//! Scoring a hybrid on a task's items by log-likelihood, as lm-evaluation-harness does for multiple
//! choice: the right choice must be the likeliest continuation of the prompt.

mod batch;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use batch::Batch;

use crate::error::Result;
use crate::model::{Decoder, Hybrid, Mask, Twins};
use crate::requests::Requests;
use crate::store::{ItemScore, ScoreResult};

/// Tokens that one forward pass takes; bounds memory, changes no score.
const TOKENS_PER_PASS: usize = 2048;

/// Bytes of hidden states that a scorer keeps at most.
const KEPT_BYTES: usize = 1 << 30;

/// Scores hybrids of one base on one split, one after another.
///
/// Hybrids that grow from the same incumbent share its hidden states below the layer that they replace:
/// these are kept, and a hybrid's score is computed from that layer on, with the same operations on the
/// same numbers as without.
pub struct Scorer<'a> {
    base: &'a Decoder,
    twins: Option<&'a Twins>,
    requests: &'a Requests,
    incumbent: Mask,
    batches: Vec<Batch<'a>>,
}

impl<'a> Scorer<'a> {
    /// A scorer of hybrids of `base` and `twins` on the items of `requests`.
    pub fn new(base: &'a Decoder, twins: Option<&'a Twins>, requests: &'a Requests) -> Self {
        Self::in_passes_of(TOKENS_PER_PASS, base, twins, requests)
    }

    fn in_passes_of(
        tokens: usize,
        base: &'a Decoder,
        twins: Option<&'a Twins>,
        requests: &'a Requests,
    ) -> Self {
        let batches = requests.passes(tokens).into_iter();
        let batches = batches.map(|rows| Batch::new(base, requests, rows)).collect();
        Self { base, twins, requests, incumbent: Mask::none(), batches }
    }

    /// The score of the hybrid with the layers of `mask` replaced, which grew from `incumbent`; batches run
    /// side by side and are added in order.
    pub fn score(&mut self, incumbent: &Mask, mask: &Mask) -> Result<ScoreResult> {
        self.grow_from(incumbent);
        let (from, hybrid) = (self.hybrid(incumbent), self.hybrid(mask));
        let shared = incumbent.first_difference(mask).map_or(self.base.layers.len(), |layer| layer as usize);
        let depth = shared.min(self.num_kept_layers());
        let scored: Vec<_> = self
            .batches
            .par_iter_mut()
            .map(|batch| {
                batch.keep(self.base, &from, depth);
                batch.likelihoods(self.base, self.requests, &hybrid, depth)
            })
            .collect::<Result<_>>()?;
        Ok(self.result(scored.into_iter().flatten()))
    }

    /// Forgets the hidden states that `incumbent` does not share.
    fn grow_from(&mut self, incumbent: &Mask) {
        if let Some(layer) = self.incumbent.first_difference(incumbent) {
            self.batches.iter_mut().for_each(|batch| batch.forget_from(layer as usize));
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
        let tokens: usize = self.batches.iter().map(Batch::num_tokens).sum();
        KEPT_BYTES / (tokens * self.base.config.hidden_size * size_of::<f32>()).max(1)
    }

    fn result(&self, scored: impl Iterator<Item = (usize, usize, f64)>) -> ScoreResult {
        let mut likelihoods = self.requests.blank();
        for (item, choice, value) in scored {
            likelihoods[item][choice] += value;
        }
        let items: Vec<ItemScore> = self
            .requests
            .items()
            .iter()
            .zip(likelihoods)
            .map(|(item, log_likelihoods)| ItemScore {
                id: item.id.clone(),
                label: item.label as u32,
                choice: self.requests.choose(item, &log_likelihoods),
                log_likelihoods,
            })
            .collect();
        let num_correct = items.iter().filter(|item| item.correct()).count() as u64;
        let num_items = items.len() as u64;
        let tokens = self.batches.iter().map(|batch| batch.num_tokens() as u64).sum();
        ScoreResult {
            score: num_correct as f64 / num_items as f64,
            num_items,
            num_correct,
            num_truncated: self.requests.num_truncated(),
            tokens,
            items,
        }
    }
}

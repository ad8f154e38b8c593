//! The scorer of hybrids of one base on one split of a task.

use std::collections::BTreeSet;
use std::ops::Range;

use dtr_core::error::Result;
use dtr_model::{Decoder, Hybrid, Mask, PartialRun, Twins};
use dtr_ops::{is_cpu, run_on_device_thread};

use super::accumulator::{ScoreAccumulator, TokenLogLikelihood};
use super::batch::Batch;
use super::evaluation::Evaluation;
use super::pass_limits::PassLimits;
use super::{CandidateScore, ScoreResult, ScoredCandidate};
use crate::algorithms::candidate::{Candidate, NewestThreshold};
use crate::algorithms::parallel::map_in_parallel_on_cpu;
use crate::data::scoring_requests::{PrefixGroup, ScoringRequests};

/// Scores hybrids of one base on one split.
///
/// A candidate has the same hidden states as its incumbent up to the first layer in which the two differ. The
/// scorer caches the incumbent's states and runs each candidate from this layer on. The operations and their
/// operands are the same as without the cache, so scores are the same to the bit. If several choices of an
/// item have the same prompt, the prompt is computed once.
pub struct Scorer<'a> {
    base: &'a Decoder,
    twins: Option<&'a Twins>,
    requests: &'a ScoringRequests,
    /// The hybrid whose hidden states are cached.
    incumbent: Mask,
    /// The batches of each part of the split. A split without items has no parts.
    parts: Vec<Vec<Batch>>,
    limits: PassLimits,
    layer_tokens: u64,
}

impl<'a> Scorer<'a> {
    /// Creates a scorer of the hybrids of `base` and `twins` on the items of `requests`. All items form a
    /// single part, so that no candidate is pruned.
    pub fn new(base: &'a Decoder, twins: Option<&'a Twins>, requests: &'a ScoringRequests) -> Self {
        let passes = requests.passes(PassLimits::new(base).tokens_per_pass(requests.num_tokens()));
        Self::from_passes(vec![passes], base, twins, requests)
    }

    /// Creates a scorer that divides the items into parts. The scorer may prune a candidate after each part.
    ///
    /// `base_score` is the base's score on the same items. Items are scored in ascending order of margin. An
    /// item's margin is the base's score of the right choice minus the base's highest score of any other
    /// choice. A losing candidate probably fails the first items, so it is pruned early.
    pub fn with_pruning_parts(
        base: &'a Decoder,
        twins: Option<&'a Twins>,
        requests: &'a ScoringRequests,
        base_score: &ScoreResult,
    ) -> Self {
        let margin = |item: &usize| requests.margin(*item, base_score.items[*item].log_likelihoods());
        let mut items: Vec<usize> = (0..base_score.items.len()).collect();
        items.sort_by(|one, other| margin(one).total_cmp(&margin(other)));
        let limits = PassLimits::new(base);
        let items_per_part = limits.items_per_part(items.len(), requests.num_tokens());
        let parts = items.chunks(items_per_part).map(|items| {
            let items: BTreeSet<usize> = items.iter().copied().collect();
            requests.passes_of_items(&items, |num_tokens| limits.tokens_per_pass(num_tokens))
        });
        // A row that several items share belongs to the part of the first of these items. Parts without rows
        // are dropped.
        let parts = parts.filter(|passes: &Vec<_>| !passes.is_empty());
        Self::from_passes(parts.collect(), base, twins, requests)
    }

    /// Creates a scorer from the passes of each part. A pass is a list of groups of rows.
    pub(super) fn from_passes(
        parts: Vec<Vec<Vec<&PrefixGroup>>>,
        base: &'a Decoder,
        twins: Option<&'a Twins>,
        requests: &'a ScoringRequests,
    ) -> Self {
        let limits = PassLimits::new(base);
        let batch = |groups: Vec<&PrefixGroup>| Batch::new(base, requests, &groups, limits.block_overhead);
        let parts = parts.into_iter().map(|passes| passes.into_iter().map(batch).collect()).collect();
        Self { base, twins, requests, incumbent: Mask::empty(), parts, limits, layer_tokens: 0 }
    }

    /// Disables the cache, so that every hybrid runs through all layers.
    #[must_use]
    pub fn without_cache(self) -> Self {
        Self { limits: PassLimits { max_cache_bytes: 0, ..self.limits }, ..self }
    }

    /// Returns the work so far, in tokens times layers. The tokens include padding.
    pub fn layer_tokens(&self) -> u64 {
        self.layer_tokens
    }

    /// Scores the hybrid with the layers of `mask` replaced. Reuses the cached hidden states of `incumbent`.
    ///
    /// # Errors
    /// Fails if a log-likelihood is not finite.
    pub fn score(&mut self, incumbent: &Mask, mask: &Mask) -> Result<ScoreResult> {
        let candidate = Candidate { incumbent, mask, prune_below: None };
        match self.score_with_pruning(&[candidate], None)?.pop() {
            Some(ScoredCandidate { score: CandidateScore::Complete(result), .. }) => Ok(result),
            _ => unreachable!("a candidate without a threshold is never pruned"),
        }
    }

    /// Scores candidates in parallel. Prunes each candidate as soon as its score can no longer reach its
    /// threshold. If `newest_threshold` is given, also prunes candidates that can no longer reach that
    /// threshold, which is read after each part.
    ///
    /// # Errors
    /// Fails if a log-likelihood is not finite, or if the newest threshold cannot be read.
    pub fn score_with_pruning(
        &mut self,
        candidates: &[Candidate<'_>],
        newest_threshold: Option<&NewestThreshold<'_>>,
    ) -> Result<Vec<ScoredCandidate>> {
        let mut scored = Vec::new();
        for siblings in candidates.chunk_by(|one, other| one.incumbent == other.incumbent) {
            self.set_incumbent(siblings[0].incumbent);
            let mut evaluations: Vec<Evaluation<'_>> =
                siblings.iter().map(|candidate| self.evaluation(*candidate)).collect();
            // Without thresholds, no candidate can be pruned, so all parts are scored at once.
            let is_pruning = newest_threshold.is_some()
                || siblings.iter().any(|candidate| candidate.prune_below.is_some());
            let num_parts = self.parts.len();
            let parts_at_once = if is_pruning { 1 } else { num_parts };
            for first in (0..num_parts).step_by(parts_at_once.max(1)) {
                let remaining = evaluations.iter_mut().filter(|evaluation| !evaluation.is_pruned()).collect();
                self.score_parts(first..first + parts_at_once, remaining)?;
                if let Some(newest_threshold) = newest_threshold {
                    let threshold = newest_threshold()?;
                    evaluations.iter_mut().for_each(|evaluation| evaluation.prune(threshold));
                }
            }
            scored.extend(evaluations.into_iter().map(Evaluation::finish));
        }
        Ok(scored)
    }

    /// Scores the candidates of `evaluations` on the items of `parts`.
    fn score_parts(&mut self, parts: Range<usize>, mut evaluations: Vec<&mut Evaluation<'_>>) -> Result<()> {
        let Some(num_cached) = evaluations.iter().map(|evaluation| evaluation.first_layer).max() else {
            return Ok(());
        };
        let (base, requests, incumbent) = (self.base, self.requests, self.hybrid(&self.incumbent));
        let mut batches: Vec<&mut Batch> = self.parts[parts].iter_mut().flatten().collect();
        let tokens = batches.iter().map(|batch| batch.num_tokens() as u64).sum();
        self.layer_tokens += batches.iter().map(|batch| batch.layer_tokens_to_cache(num_cached)).sum::<u64>();
        self.layer_tokens += evaluations.iter().map(|one| one.layer_tokens(tokens)).sum::<u64>();

        // Evaluations are sorted by first layer, because hybrids that start at neighbouring layers share most
        // of a pass.
        evaluations.sort_by_key(|evaluation| evaluation.first_layer);
        let is_cpu = is_cpu(&base.device());
        let num_batches = batches.len();
        let limits = self.limits;
        let per_pass =
            |batch: &Batch| limits.hybrids_per_pass(evaluations.len(), num_batches, batch.num_tokens());
        let mut run = || -> Result<Vec<Vec<Vec<TokenLogLikelihood>>>> {
            map_in_parallel_on_cpu(is_cpu, batches.iter_mut().collect(), |batch: &mut &mut Batch| {
                batch.extend_cache(base, &incumbent, num_cached);
                batch.prepare_copies(per_pass(batch));
                Ok(())
            })?;
            let passes = batches
                .iter()
                .flat_map(|batch| evaluations.chunks(per_pass(batch)).map(move |pass| (pass, batch)));
            map_in_parallel_on_cpu(is_cpu, passes.collect(), |(pass, batch)| {
                let runs: Vec<PartialRun<'_>> = pass.iter().map(|one| one.partial_run()).collect();
                let scores = batch.log_likelihoods(base, requests, &runs).into_iter().zip(pass);
                scores.map(|(scores, one)| scores.map_err(|error| one.wrap_error(error))).collect()
            })
        };
        let scores = if is_cpu { run()? } else { run_on_device_thread(&base.device(), run)? };
        // `scores` has one entry for each pair of batch and evaluation, ordered by batch and then by
        // evaluation.
        let scores: Vec<Vec<TokenLogLikelihood>> = scores.into_iter().flatten().collect();
        let num_evaluations = evaluations.len();
        for (index, evaluation) in evaluations.iter_mut().enumerate() {
            let own = scores.iter().skip(index).step_by(num_evaluations);
            evaluation.add(own.flatten().copied(), &batches);
        }
        Ok(())
    }

    /// Returns the same result as [`Scorer::score_with_pruning`] for `candidate`, without running the model.
    /// `known` is the candidate's complete score. If `score_with_pruning` would prune the candidate, the
    /// result holds the same bounds.
    pub fn prune_with_known_score(&self, candidate: &Candidate<'_>, known: ScoreResult) -> CandidateScore {
        let Some(prune_below) = &candidate.prune_below else { return CandidateScore::Complete(known) };
        let mut scores = ScoreAccumulator::new(self.requests);
        for part in &self.parts {
            let of_part = part.iter().flat_map(Batch::targets).map(|target| {
                let sum = known.items[target.item].log_likelihoods()[target.choice];
                // A result holds only the sum over a choice's tokens, so the first token gets the sum and the
                // other tokens get 0.
                let value = if target.is_first { sum } else { 0.0 };
                TokenLogLikelihood { item: target.item, choice: target.choice, value }
            });
            scores.add(of_part, part.iter().map(Batch::num_unpadded_tokens).sum());
            if let Some(bounds) = scores.open_bounds().filter(|bounds| prune_below.prunes(bounds.upper)) {
                return CandidateScore::Pruned { bounds, tokens: scores.tokens() };
            }
        }
        CandidateScore::Complete(known)
    }

    /// Makes `incumbent` the hybrid whose hidden states are cached. Finds the first layer in which the new
    /// and the previous incumbent differ. Removes the cached states of this layer and of all later layers.
    fn set_incumbent(&mut self, incumbent: &Mask) {
        if let Some(layer) = self.incumbent.first_difference(incumbent) {
            self.parts.iter_mut().flatten().for_each(|batch| batch.truncate_cache(layer as usize));
            self.incumbent = incumbent.clone();
        }
    }

    fn evaluation<'c>(&self, candidate: Candidate<'c>) -> Evaluation<'c>
    where
        'a: 'c,
    {
        let first_difference = candidate.incumbent.first_difference(candidate.mask);
        let num_shared = first_difference.map_or(self.base.config.num_layers, |layer| layer as usize);
        let first_layer = num_shared.min(self.max_cached_layers());
        let hybrid = self.hybrid(candidate.mask);
        Evaluation::new(candidate, hybrid, first_layer, ScoreAccumulator::new(self.requests))
    }

    fn hybrid(&self, mask: &Mask) -> Hybrid<'a> {
        match self.twins {
            Some(twins) => Hybrid::new(self.base, twins, mask),
            None => Hybrid::from_base(self.base),
        }
    }

    /// Returns the number of layers whose outputs fit in the cache.
    fn max_cached_layers(&self) -> usize {
        let tokens: usize = self.parts.iter().flatten().map(Batch::num_tokens).sum();
        let number_bytes = self.base.dtype().size();
        self.limits.max_cache_bytes / (tokens * self.base.config.hidden_size * number_bytes).max(1)
    }
}

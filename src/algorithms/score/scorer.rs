//! The scorer of hybrids of one base on one split of a task.

use std::collections::BTreeSet;
use std::ops::Range;

use dtr_core::error::Result;
use dtr_model::{Decoder, Hybrid, Mask, PartialRun, Twins};
use dtr_ops::{is_cpu, run_on_device_thread};

use super::accumulator::{ScoreAccumulator, TokenLogLikelihood};
use super::batch::Batch;
use super::evaluation::{Evaluation, KnownAnswers};
use super::part_score::PartAnswers;
use super::pass_limits::PassLimits;
use super::split_scorer::hybrid_error;
use super::{OpenParts, PartQueue, PartScore, ScoreResult, SplitScorer};
use crate::algorithms::candidate::{Candidate, PruneBelow};
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

    /// Scores the candidates of `runs` on the items of `parts`. Returns one score for each run.
    fn run_parts(&mut self, parts: Range<usize>, runs: &[&CandidateRun<'_>]) -> Result<Vec<PartScore>> {
        let num_cached = runs.iter().map(|run| run.first_layer).max().unwrap_or(0);
        let (base, requests, incumbent) = (self.base, self.requests, self.hybrid(&self.incumbent));
        let mut batches: Vec<&mut Batch> = self.parts[parts].iter_mut().flatten().collect();
        let padded: u64 = batches.iter().map(|batch| batch.num_tokens() as u64).sum();
        let tokens = batches.iter().map(|batch| batch.num_unpadded_tokens()).sum();
        self.layer_tokens += batches.iter().map(|batch| batch.layer_tokens_to_cache(num_cached)).sum::<u64>();
        self.layer_tokens += runs.iter().map(|run| run.layer_tokens(padded)).sum::<u64>();

        // Hybrids that start at neighbouring layers share most of a pass.
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|run| runs[*run].first_layer);
        let is_cpu = is_cpu(&base.device());
        let (limits, num_batches) = (self.limits, batches.len());
        let per_pass = |batch: &Batch| limits.hybrids_per_pass(runs.len(), num_batches, batch.num_tokens());
        let mut run = || -> Result<Vec<Vec<Vec<TokenLogLikelihood>>>> {
            map_in_parallel_on_cpu(is_cpu, batches.iter_mut().collect(), |batch: &mut &mut Batch| {
                batch.extend_cache(base, &incumbent, num_cached);
                batch.prepare_copies(per_pass(batch));
                Ok(())
            })?;
            let passes =
                batches.iter().flat_map(|batch| order.chunks(per_pass(batch)).map(move |pass| (pass, batch)));
            map_in_parallel_on_cpu(is_cpu, passes.collect(), |(pass, batch)| {
                let partial: Vec<PartialRun<'_>> = pass.iter().map(|run| runs[*run].partial_run()).collect();
                let scores = batch.log_likelihoods(base, requests, &partial).into_iter().zip(pass);
                scores
                    .map(|(scores, run)| scores.map_err(|error| hybrid_error(&runs[*run].mask, error)))
                    .collect()
            })
        };
        let scores = if is_cpu { run()? } else { run_on_device_thread(&base.device(), run)? };
        // `scores` has one entry for each pair of batch and run, by batch and then in the order of `order`.
        let scores: Vec<Vec<TokenLogLikelihood>> = scores.into_iter().flatten().collect();
        let score = |run: usize| {
            let position = order.iter().position(|other| *other == run).expect("`order` holds every run");
            let own = scores.iter().skip(position).step_by(runs.len());
            PartScore {
                answers: PartAnswers::LogLikelihoods(own.flatten().copied().collect()),
                tokens,
                layer_tokens: runs[run].layer_tokens(padded),
            }
        };
        Ok((0..runs.len()).map(score).collect())
    }

    /// Makes `incumbent` the hybrid whose hidden states are cached. Finds the first layer in which the new
    /// and the previous incumbent differ. Removes the cached states of this layer and of all later layers.
    fn set_incumbent(&mut self, incumbent: &Mask) {
        if let Some(layer) = self.incumbent.first_difference(incumbent) {
            self.parts.iter_mut().flatten().for_each(|batch| batch.truncate_cache(layer as usize));
            self.incumbent = incumbent.clone();
        }
    }

    fn candidate_run(&self, candidate: &Candidate<'_>) -> CandidateRun<'a> {
        let first_difference = candidate.incumbent.first_difference(candidate.mask);
        let num_shared = first_difference.map_or(self.base.config.num_layers, |layer| layer as usize);
        let first_layer = num_shared.min(self.max_cached_layers());
        CandidateRun { hybrid: self.hybrid(candidate.mask), first_layer, mask: candidate.mask.clone() }
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

impl<'a> SplitScorer<'a> for Scorer<'a> {
    fn num_parts(&self) -> usize {
        self.parts.len()
    }

    /// The candidates of a group have the same incumbent.
    fn groups<'c>(&self, candidates: &'c [Candidate<'c>]) -> Vec<&'c [Candidate<'c>]> {
        candidates.chunk_by(|one, other| one.incumbent == other.incumbent).collect()
    }

    fn score_parts(&mut self, group: &[Candidate<'_>], queue: &dyn PartQueue) -> Result<()> {
        let Some(first) = group.first() else { return Ok(()) };
        self.set_incumbent(first.incumbent);
        let runs: Vec<CandidateRun<'_>> =
            group.iter().map(|candidate| self.candidate_run(candidate)).collect();
        let num_to_cache = runs.iter().map(|run| run.first_layer).max().unwrap_or(0);
        let num_layers = runs.iter().map(|run| run.layer_tokens(1) as usize).sum::<usize>();
        loop {
            let num_cached = |part: usize| self.parts[part].first().map_or(0, Batch::num_cached);
            let cost = |part| num_layers + num_to_cache.saturating_sub(num_cached(part));
            let Some(open) = queue.next(&cost)? else { return Ok(()) };
            let OpenParts { parts, candidates } = &open;
            let open_runs: Vec<&CandidateRun<'_>> = candidates.iter().map(|index| &runs[*index]).collect();
            let scores = self.run_parts(parts.clone(), &open_runs)?;
            queue.add(open, scores)?;
        }
    }

    fn evaluation(&self, prune_below: Option<PruneBelow>) -> Evaluation<'a> {
        Evaluation::new(prune_below, KnownAnswers::Choices(ScoreAccumulator::new(self.requests)))
    }

    fn part_of(&self, known: &ScoreResult, part: usize) -> PartScore {
        let batches = &self.parts[part];
        let log_likelihoods = batches.iter().flat_map(Batch::targets).map(|target| {
            let sum = known.items[target.item].log_likelihoods()[target.choice];
            // A result holds only the sum over a choice's tokens, so the first token gets the sum and the
            // other tokens get 0.
            let value = if target.is_first { sum } else { 0.0 };
            TokenLogLikelihood { item: target.item, choice: target.choice, value }
        });
        PartScore {
            answers: PartAnswers::LogLikelihoods(log_likelihoods.collect()),
            tokens: batches.iter().map(Batch::num_unpadded_tokens).sum(),
            layer_tokens: 0,
        }
    }
}

/// A candidate's model, and the first layer that is run for it. The input of this layer comes from the
/// incumbent's cached hidden states.
struct CandidateRun<'a> {
    hybrid: Hybrid<'a>,
    first_layer: usize,
    mask: Mask,
}

impl CandidateRun<'_> {
    fn partial_run(&self) -> PartialRun<'_> {
        PartialRun { hybrid: &self.hybrid, first_layer: self.first_layer }
    }

    /// Returns the work of a forward pass over `tokens` tokens, in tokens times layers.
    fn layer_tokens(&self, tokens: u64) -> u64 {
        tokens * (self.hybrid.num_layers() - self.first_layer) as u64
    }
}

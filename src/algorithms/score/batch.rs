//! A batch: the token rows of one forward pass, with cached hidden states of these rows.

use std::collections::BTreeSet;

use dtr_core::error::{Error, Result};
use dtr_model::{Decoder, Hybrid, PartialRun, PrefixTree, PrefixTreeStates, hidden_states_of_runs};

use super::accumulator::TokenLogLikelihood;
use super::batch_layout::BatchLayout;
use crate::data::scoring_requests::{PrefixGroup, ScoringRequests, TargetToken};

/// Token rows of some items, and the targets of these rows. A target is a token whose log-likelihood is
/// scored.
pub(super) struct Batch {
    /// `trees[i]` holds `i + 1` copies of the token rows. The copies let several hybrids run in one pass.
    trees: Vec<PrefixTree>,
    /// Each target, with the index of the hidden state that predicts this target. The index is a position
    /// among all tokens of the batch.
    targets: Vec<(usize, TargetToken)>,
    /// The indices of the hidden states in `targets`, sorted and without duplicates. Duplicates occur because
    /// the same hidden state can predict tokens of several choices.
    indices: Vec<usize>,
    num_unpadded_tokens: u64,
    /// The cached hidden states after layer 0, after layer 1, and so on.
    cached_states: Vec<PrefixTreeStates>,
}

impl Batch {
    /// Creates a batch of the rows of `groups`. One more block of suffixes costs as much time as
    /// `block_overhead` padding tokens.
    pub(super) fn new(
        base: &Decoder,
        requests: &ScoringRequests,
        groups: &[&PrefixGroup],
        block_overhead: usize,
    ) -> Self {
        let layout = BatchLayout::new(requests, groups, block_overhead);
        let prefixes = PrefixTree::new(base, layout.prefixes(), layout.left_pads());
        let tree = layout
            .suffix_blocks()
            .into_iter()
            .fold(prefixes, |tree, block| tree.with_suffixes(base, block.ids, block.prefixes));
        let targets = layout.targets();
        let indices: BTreeSet<usize> = targets.iter().map(|(index, _)| *index).collect();
        let num_unpadded_tokens = groups.iter().map(|group| group.num_tokens() as u64).sum();
        Self {
            trees: vec![tree],
            targets,
            indices: indices.into_iter().collect(),
            num_unpadded_tokens,
            cached_states: Vec::new(),
        }
    }

    /// Returns the targets, in the order of the results of [`Batch::log_likelihoods`].
    pub(super) fn targets(&self) -> impl Iterator<Item = &TargetToken> {
        self.targets.iter().map(|(_, target)| target)
    }

    /// Returns each target with the index of the hidden state that predicts this target.
    pub(super) fn indexed_targets(&self) -> &[(usize, TargetToken)] {
        &self.targets
    }

    /// Returns the number of tokens without padding. Over all batches of a split, the sum of these numbers
    /// does not depend on the division into batches.
    pub(super) fn num_unpadded_tokens(&self) -> u64 {
        self.num_unpadded_tokens
    }

    /// Returns the number of tokens including padding.
    pub(super) fn num_tokens(&self) -> usize {
        self.tree().num_tokens()
    }

    /// Returns the token rows.
    pub(super) fn tree(&self) -> &PrefixTree {
        &self.trees[0]
    }

    /// Returns the work that [`Batch::extend_cache`] needs for `num_layers` layers, in tokens times layers.
    pub(super) fn layer_tokens_to_cache(&self, num_layers: usize) -> u64 {
        (self.num_tokens() * num_layers.saturating_sub(self.cached_states.len())) as u64
    }

    /// Returns the number of layers whose hidden states are cached.
    pub(super) fn num_cached(&self) -> usize {
        self.cached_states.len()
    }

    /// Removes the cached hidden states after `layer` and after all later layers.
    pub(super) fn truncate_cache(&mut self, layer: usize) {
        self.cached_states.truncate(layer);
    }

    /// Caches the hidden states of `hybrid` after each of its first `num_layers` layers. States that are
    /// already cached must have been computed by the same layers.
    pub(super) fn extend_cache(&mut self, base: &Decoder, hybrid: &Hybrid<'_>, num_layers: usize) {
        for layer in self.cached_states.len()..num_layers {
            let states = hybrid.run_layers(layer..layer + 1, self.states_before(base, layer), self.tree());
            self.cached_states.push(states);
        }
    }

    /// Copies the token rows, so that up to `num_hybrids` hybrids can run in one pass.
    pub(super) fn prepare_copies(&mut self, num_hybrids: usize) {
        for times in self.trees.len() + 1..=num_hybrids {
            self.trees.push(self.tree().repeat(times));
        }
    }

    /// Returns the hidden states before `layer`. The states after the preceding layer must be cached.
    pub(super) fn states_before(&self, base: &Decoder, layer: usize) -> PrefixTreeStates {
        match layer.checked_sub(1) {
            Some(previous) => self.cached_states[previous].clone(),
            None => self.tree().embed(base),
        }
    }

    /// Runs several hybrids in one pass. Each hybrid starts at the first layer of its `PartialRun`. Returns
    /// the log-likelihoods of the targets under each hybrid.
    ///
    /// For each hybrid, the hidden states before its first layer must be cached.
    pub(super) fn log_likelihoods(
        &self,
        base: &Decoder,
        requests: &ScoringRequests,
        runs: &[PartialRun<'_>],
    ) -> Vec<Result<Vec<TokenLogLikelihood>>> {
        let hidden_nd =
            hidden_states_of_runs(runs, &self.trees, &self.indices, |layer| self.states_before(base, layer));
        let num_indices = self.indices.len();
        let row = |index: &usize| self.indices.binary_search(index).expect("`indices` holds every index");
        let rows_of_run = |run| {
            let targets = self.targets.iter();
            targets.map(move |(index, target)| (run * num_indices + row(index), target.token))
        };
        let rows: Vec<(usize, u32)> = (0..runs.len()).flat_map(rows_of_run).collect();
        let values = base.log_likelihoods(hidden_nd, &rows);
        let scores_of_run = |values: &[f32]| {
            self.targets().zip(values).map(|(target, &value)| check_finite(requests, target, value)).collect()
        };
        values.chunks(self.targets.len()).map(scores_of_run).collect()
    }
}

/// Returns `value` as the log-likelihood of `target`.
///
/// # Errors
/// Fails if `value` is not finite.
fn check_finite(requests: &ScoringRequests, target: &TargetToken, value: f32) -> Result<TokenLogLikelihood> {
    let &TargetToken { item, choice, .. } = target;
    if value.is_finite() {
        return Ok(TokenLogLikelihood { item, choice, value: f64::from(value) });
    }
    let id = &requests.items()[item].id;
    Err(Error::failed(format!("the log-likelihood of choice {choice} of item `{id}` is {value}")))
}

//! Rows that go through the model together, and the hidden states that are kept of them.

use std::collections::BTreeSet;

use super::answers::Likelihood;
use super::layout::Layout;
use crate::data::requests::{Group, Requests, Target};
use dtr_core::error::{Error, Result};
use dtr_model::{Decoder, Hybrid, PartialRun, PrefixTree, PrefixTreeStates, run_to};

/// Rows with what they share, and what is wanted of them.
pub(super) struct Batch {
    /// The rows with what they share, once, twice, and so on.
    trees: Vec<PrefixTree>,
    /// Each target with its place among the tokens of the tree.
    wanted: Vec<(usize, Target)>,
    /// These places, each once: choices of one token are all read where their prompt ends.
    places: Vec<usize>,
    /// Tokens without pads.
    asked: u64,
    /// The hidden states after the first layers, as far as they are kept.
    kept: Vec<PrefixTreeStates>,
}

impl Batch {
    pub(super) fn new(base: &Decoder, requests: &Requests, groups: &[&Group]) -> Self {
        let layout = Layout::new(requests, groups);
        let trunks = PrefixTree::new(base, layout.trunks(), layout.left_pads());
        let tree = layout
            .bundles()
            .into_iter()
            .fold(trunks, |tree, bundle| tree.with_branches(base, bundle.ids, bundle.trunks));
        let wanted = layout.wanted();
        let places: BTreeSet<usize> = wanted.iter().map(|(place, _)| *place).collect();
        let asked = groups.iter().map(|group| group.num_tokens() as u64).sum();
        Self { trees: vec![tree], wanted, places: places.into_iter().collect(), asked, kept: Vec::new() }
    }

    /// What is wanted of the rows.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.wanted.iter().map(|(_, target)| target)
    }

    /// Tokens without pads, which do not depend on what goes through the model together.
    pub(super) fn num_asked(&self) -> u64 {
        self.asked
    }

    /// Tokens, pads included.
    pub(super) fn num_tokens(&self) -> usize {
        self.tree().num_tokens()
    }

    /// Tokens times the layers among the first `depth` that are still to be kept.
    pub(super) fn work_to_keep(&self, depth: usize) -> u64 {
        (self.num_tokens() * depth.saturating_sub(self.kept.len())) as u64
    }

    /// Forgets the hidden states after `layer` and those that follow.
    pub(super) fn forget_from(&mut self, layer: usize) {
        self.kept.truncate(layer);
    }

    /// Keeps the hidden states after each of the first `depth` layers of `hybrid`, which shares those kept.
    pub(super) fn keep(&mut self, base: &Decoder, hybrid: &Hybrid<'_>, depth: usize) {
        for layer in self.kept.len()..depth {
            self.kept.push(hybrid.run(layer..layer + 1, self.before(base, layer), self.tree()));
        }
    }

    /// The rows, with what they share.
    pub(super) fn tree(&self) -> &PrefixTree {
        &self.trees[0]
    }

    /// Gets ready for so many hybrids at once.
    pub(super) fn copy(&mut self, base: &Decoder, times: usize) {
        for times in self.trees.len() + 1..=times {
            self.trees.push(self.tree().times(base, times));
        }
    }

    /// Each target with its place among the tokens of the tree.
    pub(super) fn wanted(&self) -> &[(usize, Target)] {
        &self.wanted
    }

    /// The hidden states before `layer`, whose predecessors are kept.
    pub(super) fn before(&self, base: &Decoder, layer: usize) -> PrefixTreeStates {
        match layer.checked_sub(1) {
            Some(last) => self.kept[last].clone(),
            None => self.tree().embed(base),
        }
    }

    /// Item, choice and log-likelihood of each wanted token under each of `siblings`, for which the states that they start
    /// from are kept.
    pub(super) fn likelihoods(
        &self,
        base: &Decoder,
        requests: &Requests,
        siblings: &[PartialRun<'_>],
    ) -> Vec<Result<Vec<Likelihood>>> {
        let hidden_nd = run_to(siblings, &self.trees, &self.places, |layer| self.before(base, layer));
        let num_places = self.places.len();
        let row = |place: &usize| self.places.binary_search(place).expect("every target's place is read");
        let of_sibling = |sibling| {
            let wanted = self.wanted.iter();
            wanted.map(move |(place, target)| (sibling * num_places + row(place), target.token))
        };
        let wanted: Vec<(usize, u32)> = (0..siblings.len()).flat_map(of_sibling).collect();
        let values = base.log_likelihoods(hidden_nd, &wanted);
        let of_one = |values: &[f32]| {
            self.targets().zip(values).map(|(target, &value)| finite(requests, target, value)).collect()
        };
        values.chunks(self.wanted.len()).map(of_one).collect()
    }
}

/// The likelihood with its owner; one that is not finite is an error that names the item.
fn finite(requests: &Requests, target: &Target, value: f32) -> Result<Likelihood> {
    let &Target { item, choice, .. } = target;
    if value.is_finite() {
        return Ok((item, choice, f64::from(value)));
    }
    let id = &requests.items()[item].id;
    Err(Error::failed(format!("the log-likelihood of choice {choice} of item `{id}` is {value}")))
}

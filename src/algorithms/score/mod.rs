//! Scoring a hybrid on a task's items by log-likelihood, as lm-evaluation-harness does for multiple
//! choice: the right choice must be the likeliest continuation of the prompt.

mod answers;
mod batch;
mod impact;
mod layout;
mod panel;
mod probe;
mod result;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::BTreeSet;
use std::ops::Range;

use answers::{Answers, Likelihood};
use batch::Batch;
pub use impact::impacts;
pub use panel::MultiDeviceScorer;
pub use result::{Bounds, ItemScore, ScoreResult};
use trial::{Trial, side_by_side};

use crate::data::requests::{Group, Requests};
use dtr_core::error::Result;
use dtr_model::{Decoder, Hybrid, Mask, PartialRun, Twins};
use dtr_ops::{is_cpu, run_on_device_thread};

/// Tokens that one forward pass takes; bounds memory.
const TOKENS_PER_PASS: usize = 2048;

/// Parts that a split is asked in where a candidate may be dropped between them.
const NUM_PARTS: usize = 12;

/// Passes that shall run side by side, where there are tokens enough.
const SIDE_BY_SIDE: usize = 2;

/// Tokens below which a pass is not worth its overhead.
const FEWEST_TOKENS_PER_PASS: usize = 48;

/// Tokens up to which batches of several hybrids are one pass: fewer do not fill a product.
const TOKENS_TOGETHER: usize = 256;

/// Candidates that a search had better ask for at once: a thread that is done with one goes on with the next.
pub const TOGETHER: usize = 4;

/// Bytes of hidden states that a scorer keeps at most.
const KEPT_BYTES: usize = 1 << 30;

/// Whether a score of at most this much is not worth knowing better.
pub type PruneBelow = Box<dyn Fn(f64) -> bool + Send + Sync>;

/// A hybrid whose score is wanted.
pub struct Candidate<'a> {
    /// The layers that are replaced in the hybrid that it grew from.
    pub incumbent: &'a Mask,
    /// The layers that are replaced in it.
    pub mask: &'a Mask,
    /// Where not every score is worth knowing: which are not.
    pub hopeless: Option<PruneBelow>,
}

/// What came of a scoring.
#[derive(Clone, Debug, PartialEq)]
pub enum CandidateScore {
    /// The whole score.
    Scored(ScoreResult),
    /// It is hopeless: where the score lies, and the tokens that it took to know.
    Dropped(Bounds, u64),
}

impl CandidateScore {
    /// Where the score lies.
    pub fn bounds(&self) -> Bounds {
        match self {
            Self::Scored(result) => Bounds::exactly(result.score),
            Self::Dropped(bounds, _) => *bounds,
        }
    }

    /// The tokens that it took to know.
    pub fn tokens(&self) -> u64 {
        match self {
            Self::Scored(result) => result.tokens,
            Self::Dropped(_, tokens) => *tokens,
        }
    }
}

/// Tokens of each pass over `num_tokens` in all, so that threads can share the passes evenly.
fn tokens_per_pass(num_tokens: usize) -> usize {
    let num_passes = num_tokens.div_ceil(TOKENS_PER_PASS).max(1).next_multiple_of(SIDE_BY_SIDE);
    num_tokens.div_ceil(num_passes).max(FEWEST_TOKENS_PER_PASS)
}

/// How many of `num_trials` hybrids go through a batch of `num_tokens` together where these are few: as many as leave every thread
/// some work, with as many in each pass.
fn num_at_once(num_trials: usize, num_batches: usize, num_tokens: usize) -> usize {
    let for_threads = num_trials * num_batches / rayon::current_num_threads();
    let most = (TOKENS_TOGETHER / num_tokens).min(for_threads).max(1);
    num_trials.div_ceil(num_trials.div_ceil(most))
}

/// Scores hybrids of one base on one split.
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
        // Items whose rows are all another's ask nothing of their own.
        let parts = parts.filter(|passes: &Vec<_>| !passes.is_empty());
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

    /// The score of the hybrid with the layers of `mask` replaced, which grew from `incumbent`.
    pub fn score(&mut self, incumbent: &Mask, mask: &Mask) -> Result<ScoreResult> {
        let verdicts = self.score_pruned(&[&Candidate { incumbent, mask, hopeless: None }])?;
        match verdicts.into_iter().next() {
            Some((CandidateScore::Scored(result), _)) => Ok(result),
            _ => unreachable!("nothing is hopeless"),
        }
    }

    /// The score of each candidate as [`Scorer::score`] has it, or bounds once it is hopeless, with the tokens times layers
    /// that this took. Candidates that grew from one incumbent go through the model side by side.
    pub fn score_pruned(&mut self, candidates: &[&Candidate<'_>]) -> Result<Vec<(CandidateScore, u64)>> {
        let mut verdicts = Vec::new();
        for siblings in candidates.chunk_by(|one, other| one.incumbent == other.incumbent) {
            self.grow_from(siblings[0].incumbent);
            let mut trials: Vec<Trial<'_>> = siblings.iter().map(|candidate| self.trial(candidate)).collect();
            // What is asked to the end is not asked in parts.
            let is_whole = siblings.iter().all(|candidate| candidate.hopeless.is_none());
            let num_parts = self.parts.len();
            let at_once = if is_whole { num_parts } else { 1 };
            for first in (0..num_parts).step_by(at_once) {
                let live: Vec<_> = trials.iter_mut().filter(|trial| trial.is_open()).collect();
                self.ask(first..first + at_once, live)?;
            }
            verdicts.extend(trials.into_iter().map(Trial::verdict));
        }
        Ok(verdicts)
    }

    /// Asks `trials` the items of `parts`. Batches run side by side, and their answers are added in order.
    fn ask(&mut self, parts: Range<usize>, mut trials: Vec<&mut Trial<'_>>) -> Result<()> {
        let (base, requests, from) = (self.base, self.requests, self.hybrid(&self.incumbent));
        let Some(deepest) = trials.iter().map(|trial| trial.depth).max() else { return Ok(()) };
        let mut batches: Vec<&mut Batch> = self.parts[parts].iter_mut().flatten().collect();
        let tokens = batches.iter().map(|batch| batch.num_tokens() as u64).sum();
        self.work += batches.iter().map(|batch| batch.work_to_keep(deepest)).sum::<u64>();
        self.work += trials.iter().map(|trial| trial.work_of(tokens)).sum::<u64>();

        // Those that start at a like depth are together for most of the way.
        trials.sort_by_key(|trial| trial.depth);
        let in_threads = is_cpu(&base.device());
        let at_once = |batch: &Batch, num_batches| match in_threads {
            true => num_at_once(trials.len(), num_batches, batch.num_tokens()),
            // Here the bits of a score depend on what it is computed with.
            false => 1,
        };
        let num_batches = batches.len();
        let mut score = || -> Result<Vec<_>> {
            let keep = |batch: &mut &mut Batch| -> Result<()> {
                batch.keep(base, &from, deepest);
                batch.copy(base, at_once(batch, num_batches));
                Ok(())
            };
            side_by_side(in_threads, batches.iter_mut().collect(), keep)?;
            let families = batches.iter().flat_map(|batch| {
                trials.chunks(at_once(batch, num_batches)).map(move |family| (family, batch))
            });
            side_by_side(in_threads, families.collect(), |(family, batch)| {
                let siblings: Vec<PartialRun<'_>> = family.iter().map(|trial| trial.sibling()).collect();
                let answers = batch.likelihoods(base, requests, &siblings).into_iter().zip(family);
                answers.map(|(answers, trial)| answers.map_err(|error| trial.own(error))).collect()
            })
        };
        let scored = if in_threads { score()? } else { run_on_device_thread(&base.device(), score)? };
        let scored: Vec<Vec<Likelihood>> = scored.into_iter().flat_map(|family: Vec<_>| family).collect();
        let num_trials = trials.len();
        for (index, trial) in trials.iter_mut().enumerate() {
            let own = scored.iter().skip(index).step_by(num_trials);
            trial.take(own.flatten().copied(), &batches);
        }
        Ok(())
    }

    /// What [`Scorer::score_pruned`] would say of a candidate whose score is remembered.
    pub fn recall(&self, candidate: &Candidate<'_>, remembered: ScoreResult) -> CandidateScore {
        let Some(hopeless) = &candidate.hopeless else { return CandidateScore::Scored(remembered) };
        let mut answers = Answers::new(self.requests);
        for part in &self.parts {
            let known = part.iter().flat_map(Batch::targets).map(|target| {
                let whole = remembered.items[target.item].log_likelihoods[target.choice];
                // A choice's tokens share it: sums are not taken apart.
                (target.item, target.choice, if target.is_first { whole } else { 0.0 })
            });
            answers.add(known, part.iter().map(Batch::num_asked).sum());
            if let Some(bounds) = answers.bounds_if(hopeless) {
                return CandidateScore::Dropped(bounds, answers.tokens());
            }
        }
        CandidateScore::Scored(remembered)
    }

    /// Forgets the hidden states that `incumbent` does not share.
    fn grow_from(&mut self, incumbent: &Mask) {
        if let Some(layer) = self.incumbent.first_difference(incumbent) {
            self.parts.iter_mut().flatten().for_each(|batch| batch.forget_from(layer as usize));
            self.incumbent = incumbent.clone();
        }
    }

    fn trial<'c>(&self, candidate: &'c Candidate<'c>) -> Trial<'c>
    where
        'a: 'c,
    {
        let shared = candidate.incumbent.first_difference(candidate.mask);
        let depth = shared.map_or(self.base.layers.len(), |layer| layer as usize);
        let hybrid = self.hybrid(candidate.mask);
        Trial::new(candidate, hybrid, depth.min(self.num_kept_layers()), Answers::new(self.requests))
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

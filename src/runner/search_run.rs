//! A search cell: scores are read from the store or computed, and pruned candidates are kept until the search
//! ends.

use std::collections::BTreeMap;

use super::bases::Bases;
use super::claims::{Claimed, checkpoint, claim, conclude};
use super::jobs::remembered;
use super::progress::Task;
use super::pruned::PrunedCandidates;
use super::scheduler::Context;
use crate::algorithms::candidate::Candidate;
use crate::algorithms::score::{CANDIDATES_PER_BATCH, CandidateScore, MultiDeviceScorer, impacts};
use crate::algorithms::score::{ScoreBounds, ScoreResult};
use crate::algorithms::search::SearchStrategy;
use crate::algorithms::search::{self, BatchPolicy};
use crate::data::Split;
use crate::device::ResourceUsage;
use crate::observer::Observer;
use crate::plan::{Cell, Scoring, Searching};
use crate::stages::search::{Chosen, SearchResult, TestScore};
use crate::store::{Claim, EventKind, Key};
use dtr_core::error::Result;
use dtr_model::Mask;

/// Searches a hybrid on the validation split, and judges base, best and opt on the test split.
pub fn find_hybrid(
    context: &Context<'_>,
    bases: &mut Bases<'_>,
    cell: &Cell,
    work: &Searching,
    claim: &Claim,
) -> Result<SearchResult> {
    let (replicas, twins) = (bases.replicas(&work.base)?, bases.twins(&work.base, &work.twins)?);
    let base = &replicas[0];
    let mut items = |split, identity| bases.requests(&work.base, &work.task, split, identity);
    let (validation, test) = (items(Split::Validation, &work.validation)?, items(Split::Test, &work.test)?);
    let num_layers = base.decoder.config.num_layers as u32;
    let at_most = work.evaluations_at_most(u64::from(num_layers));
    let task = context.progress.task(&cell.line(), at_most, "evaluations at most").logging([claim])?;
    let impacts = match work.strategy {
        SearchStrategy::Impact {} => Some(impacts(&base.decoder, &twins[0], &validation, &task)?),
        _ => None,
    };
    let order = match &impacts {
        Some(impacts) => ascending(impacts),
        None if work.prune => bases.layers_by_loss(&work.twins)?,
        None => (0..num_layers).collect(),
    };
    let mut hunt = Hunt {
        context,
        cell,
        work,
        task: &task,
        pruned: PrunedCandidates::read(checkpoint(context, cell, claim, "pruned.json")?)?,
        evaluations: 0,
        tokens: 0,
    };

    let models = || replicas.iter().map(|base| &base.decoder).zip(twins.iter());
    let mut guide = MultiDeviceScorer::new(models(), &validation, None);
    let policy =
        BatchPolicy { prune: work.prune, candidates_per_batch: CANDIDATES_PER_BATCH.max(replicas.len()) };
    let found = search::search(&work.strategy, &order, &work.stop, policy, &mut |candidates| {
        if !candidates[0].mask.layers().is_empty() {
            return hunt.try_candidates(&mut guide, candidates);
        }
        let (own, _) = hunt.whole(&mut guide, Split::Validation, candidates[0].mask)?;
        if work.prune {
            guide = MultiDeviceScorer::new(models(), &validation, Some(&own));
        }
        Ok(vec![ScoreBounds::exactly(own.score)])
    })?;
    let mut judge = MultiDeviceScorer::new(models().take(1), &test, None);
    let mut judged = |mask: &Mask| -> Result<TestScore> {
        let (result, cell) = hunt.whole(&mut judge, Split::Test, mask)?;
        Ok(TestScore { score: result.score, cell })
    };
    let base_test = judged(&Mask::none())?;
    let mut chosen = |(mask, validation): &(Mask, f64)| -> Result<Chosen> {
        Ok(Chosen { layers: mask.layers(), validation: *validation, test: judged(mask)? })
    };
    let (best, opt) = (chosen(&found.best)?, chosen(&found.opt)?);
    Ok(SearchResult {
        num_layers,
        validation_items: validation.items().len() as u32,
        base: found.base,
        threshold: found.threshold,
        impacts,
        trials: found.trials,
        rounds: found.rounds,
        best,
        opt,
        base_test,
        evaluations: hunt.evaluations,
        tokens: hunt.tokens,
    })
}

/// Layers by what is said of each, the least first; of equals the lowest.
fn ascending(values: &[f64]) -> Vec<u32> {
    let mut layers: Vec<u32> = (0..values.len() as u32).collect();
    layers.sort_by(|one, other| values[*one as usize].total_cmp(&values[*other as usize]));
    layers
}

/// A candidate whose score this process computes.
struct Open {
    index: usize,
    cell: Cell,
    claim: Claim,
}

/// What a search asks for, and what it has cost.
struct Hunt<'a> {
    context: &'a Context<'a>,
    cell: &'a Cell,
    work: &'a Searching,
    task: &'a Task<'a>,
    pruned: PrunedCandidates,
    evaluations: u64,
    tokens: u64,
}

impl Hunt<'_> {
    /// The whole score of a mask, and the cell that holds it.
    fn whole(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        split: Split,
        mask: &Mask,
    ) -> Result<(ScoreResult, Key)> {
        let cell = self.score_cell(split, mask)?;
        let result = match remembered(self.context, &cell)? {
            Some(result) => result,
            None => match claim::<ScoreResult>(self.context, &cell)? {
                Claimed::Done(result) => result,
                Claimed::Ours(claim) => {
                    let watch = self.context.meter.start();
                    let result = scorer.score(mask)?;
                    self.keep(&cell, &claim, watch.usage(), result)?
                }
            },
        };
        self.count(result.tokens);
        Ok((result, cell.key))
    }

    /// What is known of candidates' scores; those that are known to the end are kept.
    fn try_candidates(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
    ) -> Result<Vec<ScoreBounds>> {
        let mut scores = BTreeMap::new();
        let open = self.claim_unknown(scorer, candidates, &mut scores)?;
        self.compute(scorer, candidates, &open, &mut scores)?;
        scores.values().for_each(|score| self.count(score.tokens()));
        Ok(scores.values().map(CandidateScore::bounds).collect())
    }

    /// Claims the candidates that are neither stored nor pruned, so that no two processes compute one. All
    /// processes claim in the order of keys: else two could wait for each other.
    fn claim_unknown(
        &self,
        scorer: &MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut BTreeMap<usize, CandidateScore>,
    ) -> Result<Vec<Open>> {
        let mut unknown = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let cell = self.score_cell(Split::Validation, candidate.mask)?;
            let score = match (remembered(self.context, &cell)?, self.pruned.get(candidate.mask)) {
                (Some(result), _) => scorer.prune_known(candidate, result),
                (None, Some((bounds, tokens))) => CandidateScore::Pruned { bounds, tokens },
                (None, None) => {
                    unknown.push((index, cell));
                    continue;
                }
            };
            scores.insert(index, score);
        }
        unknown.sort_by_key(|(_, cell)| cell.key);
        let mut open = Vec::new();
        for (index, cell) in unknown {
            match claim::<ScoreResult>(self.context, &cell)? {
                Claimed::Done(result) => {
                    scores.insert(index, scorer.prune_known(&candidates[index], result));
                }
                Claimed::Ours(claim) => open.push(Open { index, cell, claim }),
            }
        }
        open.sort_by_key(|open| open.index);
        Ok(open)
    }

    fn compute(
        &mut self,
        scorer: &mut MultiDeviceScorer<'_>,
        candidates: &[Candidate<'_>],
        open: &[Open],
        scores: &mut BTreeMap<usize, CandidateScore>,
    ) -> Result<()> {
        let watch = self.context.meter.start();
        let claimed: Vec<Candidate<'_>> = open.iter().map(|open| candidates[open.index]).collect();
        let scored = scorer.score_pruned(&claimed)?;
        let (spent, work) = (watch.usage(), scored.iter().map(|one| one.layer_tokens).sum::<u64>());
        for (Open { index, cell, claim }, one) in open.iter().zip(scored) {
            let share = spent.share(one.layer_tokens as f64 / work as f64);
            let score = match one.score {
                CandidateScore::Complete(result) => {
                    CandidateScore::Complete(self.keep(cell, claim, share, result)?)
                }
                CandidateScore::Pruned { bounds, tokens } => {
                    self.pruned.add(candidates[*index].mask, bounds, tokens)?;
                    CandidateScore::Pruned { bounds, tokens }
                }
            };
            scores.insert(*index, score);
        }
        Ok(())
    }

    /// Records a score.
    fn keep(
        &self,
        cell: &Cell,
        claim: &Claim,
        spent: ResourceUsage,
        result: ScoreResult,
    ) -> Result<ScoreResult> {
        let result = conclude(self.context, cell, claim, spent, &[], result)?;
        self.task.log(&EventKind::Scored(cell.key));
        Ok(result)
    }

    fn count(&mut self, tokens: u64) {
        self.evaluations += 1;
        self.tokens += tokens;
        self.task.advance(1);
    }

    fn score_cell(&self, split: Split, mask: &Mask) -> Result<Cell> {
        self.task.check_interrupted()?;
        let work = self.work;
        let scoring = Scoring {
            base: work.base.clone(),
            twins: Some(work.twins),
            task: work.task.clone(),
            split,
            identity: if split == Split::Test { work.test.clone() } else { work.validation.clone() },
            layers: mask.layers(),
        };
        Cell::score(scoring, self.cell.labels.clone())
    }
}

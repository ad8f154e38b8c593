//! A search as it runs: scores are remembered or computed, what is dropped is kept until the search ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bases::Bases;
use super::claims::{Claimed, checkpoint, claim, conclude};
use super::conductor::Context;
use super::perform::remembered;
use super::progress::Task;
use crate::data::Split;
use crate::device::Watch;
use crate::error::{Error, Result};
use crate::manifest::Strategy;
use crate::model::Mask;
use crate::observer::Observer;
use crate::plan::{Cell, Scoring, Searching};
use crate::score::{Scorer, Verdict, impacts};
use crate::sealed::Sealed;
use crate::search::{self, Question};
use crate::store::{Bounds, Chosen, Claim, Happening, Key, ScoreResult, SearchResult, TestScore};

/// Searches a hybrid on the validation split, and judges base, best and opt on the test split.
pub fn find_hybrid(
    context: &Context<'_>,
    bases: &mut Bases<'_>,
    cell: &Cell,
    work: &Searching,
    claim: &Claim,
) -> Result<SearchResult> {
    let base = bases.base(&work.base)?;
    let twins = bases.twins(&work.base, &work.twins)?;
    let mut items = |split, identity| bases.requests(&work.base, &work.task, split, identity);
    let (validation, test) = (items(Split::Validation, &work.validation)?, items(Split::Test, &work.test)?);
    let num_layers = base.decoder.config.num_layers as u32;
    let at_most = work.evaluations_at_most(u64::from(num_layers));
    let task = context.progress.task(&cell.line(), at_most, "evaluations at most").logging([claim])?;
    let impacts = match work.strategy {
        Strategy::Impact {} => Some(impacts(&base.decoder, &twins, &validation, &task)?),
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
        dropped: Dropped::read(checkpoint(context, cell, claim, "dropped.json")?)?,
        evaluations: 0,
        tokens: 0,
    };

    let mut guide = Scorer::new(&base.decoder, Some(&twins), &validation);
    let found = search::search(&work.strategy, &order, &work.stop, work.prune, |question| {
        if question.bar.is_some() || !question.mask.layers().is_empty() {
            return hunt.try_candidate(&mut guide, question);
        }
        let (own, _) = hunt.whole(&mut guide, Split::Validation, question.mask)?;
        if work.prune {
            guide = Scorer::in_parts(&base.decoder, Some(&twins), &validation, &own);
        }
        Ok(Bounds::exactly(own.score))
    })?;
    let mut judge = Scorer::new(&base.decoder, Some(&twins), &test);
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

/// A scoring's error with the layers that were replaced; the cell's labels name the variant.
fn of_mask(error: Error, mask: &Mask) -> Error {
    Error::failed(format!("with layers {:?} replaced", mask.layers())).because(error)
}

/// Layers by what is said of each, the least first; of equals the lowest.
fn ascending(values: &[f64]) -> Vec<u32> {
    let mut layers: Vec<u32> = (0..values.len() as u32).collect();
    layers.sort_by(|one, other| values[*one as usize].total_cmp(&values[*other as usize]));
    layers
}

/// What a search asks for, and what it has cost.
struct Hunt<'a> {
    context: &'a Context<'a>,
    cell: &'a Cell,
    work: &'a Searching,
    task: &'a Task<'a>,
    dropped: Dropped,
    evaluations: u64,
    tokens: u64,
}

impl Hunt<'_> {
    /// The whole score of a mask, and the cell that holds it.
    fn whole(&mut self, scorer: &mut Scorer<'_>, split: Split, mask: &Mask) -> Result<(ScoreResult, Key)> {
        let cell = self.score_cell(split, mask)?;
        let result = match remembered(self.context, &cell)? {
            Some(result) => result,
            None => match claim::<ScoreResult>(self.context, &cell)? {
                Claimed::Done(result) => result,
                Claimed::Ours(claim) => {
                    let watch = self.context.meter.watch();
                    let result = scorer.score(&Mask::none(), mask).map_err(|error| of_mask(error, mask))?;
                    self.keep(&cell, &claim, &watch, result)?
                }
            },
        };
        self.count(result.tokens);
        Ok((result, cell.key))
    }

    /// What is known of a candidate's score, which is kept if it is known to the end.
    fn try_candidate(&mut self, scorer: &mut Scorer<'_>, question: &Question<'_>) -> Result<Bounds> {
        let cell = self.score_cell(Split::Validation, question.mask)?;
        let hopeless = |at_most: f64| question.bar.is_some_and(|bar| bar.is_out_of_reach(at_most));
        let verdict = match (remembered(self.context, &cell)?, self.dropped.get(question.mask)) {
            (Some(result), _) => scorer.recall(&hopeless, result),
            (None, Some((bounds, tokens))) => Verdict::Dropped(bounds, tokens),
            (None, None) => self.compute(scorer, &hopeless, question, &cell)?,
        };
        let (bounds, tokens) = match verdict {
            Verdict::Scored(result) => (Bounds::exactly(result.score), result.tokens),
            Verdict::Dropped(bounds, tokens) => (bounds, tokens),
        };
        self.count(tokens);
        Ok(bounds)
    }

    fn compute(
        &mut self,
        scorer: &mut Scorer<'_>,
        hopeless: &dyn Fn(f64) -> bool,
        question: &Question<'_>,
        cell: &Cell,
    ) -> Result<Verdict> {
        // Claimed before it is computed, so that no two processes compute it.
        let claim = match claim::<ScoreResult>(self.context, cell)? {
            Claimed::Done(result) => return Ok(scorer.recall(hopeless, result)),
            Claimed::Ours(claim) => claim,
        };
        let watch = self.context.meter.watch();
        let verdict = scorer.score_unless(hopeless, question.incumbent, question.mask);
        match verdict.map_err(|error| of_mask(error, question.mask))? {
            Verdict::Scored(result) => Ok(Verdict::Scored(self.keep(cell, &claim, &watch, result)?)),
            Verdict::Dropped(bounds, tokens) => {
                self.dropped.add(question.mask, bounds, tokens)?;
                Ok(Verdict::Dropped(bounds, tokens))
            }
        }
    }

    /// Records a score that was computed since `watch` began.
    fn keep(
        &self,
        cell: &Cell,
        claim: &Claim,
        watch: &Watch<'_>,
        result: ScoreResult,
    ) -> Result<ScoreResult> {
        let result = conclude(self.context, cell, claim, watch.spent(), &[], result)?;
        self.task.log(&Happening::Scored(cell.key));
        Ok(result)
    }

    fn count(&mut self, tokens: u64) {
        self.evaluations += 1;
        self.tokens += tokens;
        self.task.advance(1);
    }

    fn score_cell(&self, split: Split, mask: &Mask) -> Result<Cell> {
        self.task.check()?;
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

/// The candidates that a search has dropped, for the process that takes it up: they have no score to be remembered by.
struct Dropped {
    file: Sealed,
    known: BTreeMap<String, Known>,
}

/// What was known of a candidate when it was dropped.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Known {
    bounds: Bounds,
    tokens: u64,
}

impl Dropped {
    fn read(file: Sealed) -> Result<Self> {
        let bytes = file.read()?.unwrap_or_else(|| b"{}".to_vec());
        let known = serde_json::from_slice(&bytes).map_err(|cause| {
            Error::environment(format!("`{}` holds no bounds", file.path().display())).because(cause)
        })?;
        Ok(Self { file, known })
    }

    fn get(&self, mask: &Mask) -> Option<(Bounds, u64)> {
        self.known.get(&name(mask)).map(|known| (known.bounds, known.tokens))
    }

    fn add(&mut self, mask: &Mask, bounds: Bounds, tokens: u64) -> Result<()> {
        self.known.insert(name(mask), Known { bounds, tokens });
        let text = serde_json::to_string(&self.known).expect("bounds are plain JSON");
        self.file.write(text.as_bytes())
    }
}

fn name(mask: &Mask) -> String {
    mask.layers().iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

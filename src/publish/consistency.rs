//! Checks that the numbers in the records of an experiment are possible and do not contradict one another.
//!
//! The digest of a record detects damage, but not forgery: a forger can compute the digest of a forged
//! record. So these checks look for numbers that contradict other numbers. They also look for values that no
//! report can show.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answers::{AnswerScores, ChosenOptions, ReducedAnswers};
use crate::algorithms::checkpoint_distil::CheckpointDistilResult;
use crate::algorithms::distil::DistilResult;
use crate::algorithms::finetune::FinetuneResult;
use crate::algorithms::logit_distil::LogitDistilResult;
use crate::algorithms::score::{ItemAnswer, ScoreResult};
use crate::algorithms::throughput::ThroughputResult;
use crate::data::Split;
use crate::plan::Plan;
use crate::stages::finetune_score::{ComparedModel, FinetuneScoreResult, ModelScores};
use crate::stages::search::{ChosenHybrid, SearchResult};
use crate::stages::tuned_score::TunedScoreResult;
use crate::stages::{
    Cell, CheckpointDistilJob, DistilJob, FinetuneBaseJob, FinetuneJob, FinetuneScoreJob, LogitDistilJob,
    ScoreJob, SearchJob, Stage, ThroughputJob, TunedScoreJob,
};
use crate::store::{CellId, DamagedFile, Store};
use dtr_core::error::Result;

/// The largest number of layers of a base.
const MAX_LAYERS: u32 = 1 << 10;

/// The result of a check: the contradiction, if there is one.
type Checked = std::result::Result<(), String>;

/// Checks the records of the cells of `plan` and of the scores that its searches used. Returns the records
/// that contradict themselves or another record. Ignores missing and damaged records.
///
/// # Errors
/// Fails if a record cannot be read.
pub fn check_consistency(plan: &Plan, store: &Store) -> Result<Vec<DamagedFile>> {
    let mut checker = Checker { store, faults: BTreeMap::new() };
    for cell in &plan.cells {
        checker.check_cell(cell)?;
        if cell.job.measures_time() {
            let recorded = store.recorded_specs(cell.stage())?;
            let others = cell.job.cells_on_other_machines(cell, &recorded)?;
            others.iter().try_for_each(|other| checker.check_cell(other))?;
        }
    }
    Ok(checker.faults.into_values().collect())
}

/// Checks records, and collects the contradictions.
struct Checker<'a> {
    store: &'a Store,
    faults: BTreeMap<CellId, DamagedFile>,
}

impl Checker<'_> {
    fn check_cell(&mut self, cell: &Cell) -> Result<()> {
        let (id, stage) = (cell.id(), cell.stage());
        if *stage == DistilJob::NAME {
            self.check(id, check_distillation)?;
        } else if *stage == ThroughputJob::NAME {
            self.check(id, check_timing)?;
        } else if *stage == ScoreJob::NAME {
            self.check(id, check_score)?;
        } else if *stage == LogitDistilJob::NAME {
            self.check(id, check_logit_distillation)?;
        } else if [FinetuneJob::NAME, FinetuneBaseJob::NAME].contains(stage) {
            self.check(id, check_finetuning)?;
        } else if *stage == CheckpointDistilJob::NAME {
            self.check(id, check_checkpoint_distillation)?;
        } else if let Some(job) = cell.downcast_job::<FinetuneScoreJob>()
            && let Some(scores) = self.check(id, check_finetune_scores)?
        {
            self.check_scores_of_finetuned_hybrid(cell, job, &scores)?;
        } else if let Some(job) = cell.downcast_job::<TunedScoreJob>()
            && let Some(scores) = self.check(id, check_tuned_scores)?
        {
            self.check_scores_of_tuned_hybrid(cell, job, &scores)?;
        } else if let Some(job) = cell.downcast_job::<SearchJob>()
            && let Some(search) = self.check(id, check_search)?
        {
            self.check_test_scores(cell, job, &search)?;
            self.check_validation_scores(cell, job, &search)?;
        }
        Ok(())
    }

    /// Compares the test scores of a search with the answers in their score cells.
    fn check_test_scores(&mut self, cell: &Cell, job: &SearchJob, search: &SearchResult) -> Result<()> {
        let base = Vec::new();
        let hybrids = chosen_hybrids(search).map(|hybrid| (&hybrid.layers, &hybrid.test));
        for (layers, test) in std::iter::once((&base, &search.base_test)).chain(hybrids) {
            if *job.score_cell(&cell.labels, Split::Test, layers.clone())?.id() != test.cell {
                let reason = format!("{} is not the score of the layers {layers:?}", test.cell);
                self.add(cell.id(), Err(reason));
            } else if let Some(result) = self.check(&test.cell, check_score)? {
                self.add(cell.id(), expect_equal("a test score", test.score, result.score));
            }
        }
        Ok(())
    }

    /// Compares the scores of a trained hybrid and its controls with the answers in their score cells.
    fn check_scores_of_tuned_hybrid(
        &mut self,
        cell: &Cell,
        job: &TunedScoreJob,
        scores: &TunedScoreResult,
    ) -> Result<()> {
        for (score, expected) in scores.scores().into_iter().zip(job.score_cells(&scores.layers)?) {
            if *expected.id() != score.cell {
                let reason = format!("{} is not a score of the layers {:?}", score.cell, scores.layers);
                self.add(cell.id(), Err(reason));
            } else if let Some(result) = self.check(&score.cell, check_score)? {
                self.add(cell.id(), expect_equal("a test score", score.score, result.score));
            }
        }
        Ok(())
    }

    /// Compares the scores of a fine-tuned hybrid and its controls with the answers in their score cells.
    fn check_scores_of_finetuned_hybrid(
        &mut self,
        cell: &Cell,
        job: &FinetuneScoreJob,
        scores: &FinetuneScoreResult,
    ) -> Result<()> {
        let models: Vec<ComparedModel> = scores.models.iter().map(|scores| scores.model).collect();
        if models != job.models() {
            self.add(cell.id(), Err("it compares other models".to_owned()));
            return Ok(());
        }
        for ModelScores { model, validation, test } in &scores.models {
            for (split, score) in [(Split::Validation, validation), (Split::Test, test)] {
                if *job.score_cell(*model, split, &scores.layers)?.id() != score.cell {
                    let reason = format!("{} is not the {split} score of `{}`", score.cell, model.name());
                    self.add(cell.id(), Err(reason));
                } else if split == Split::Validation {
                    let answers = self.store.find::<Answers>(&score.cell)?.done();
                    let found = answers.map(|record| record.outcome.into_reduced().score());
                    let expected = found.unwrap_or(score.score);
                    self.add(cell.id(), expect_equal("a validation score", score.score, expected));
                } else if let Some(result) = self.check(&score.cell, check_score)? {
                    self.add(cell.id(), expect_equal("a test score", score.score, result.score));
                }
            }
        }
        Ok(())
    }

    /// Compares the validation scores of a search with the answers of its hybrids.
    fn check_validation_scores(&mut self, cell: &Cell, job: &SearchJob, search: &SearchResult) -> Result<()> {
        let mut items: Option<Vec<ItemAnswer>> = None;
        for (id, score) in job.validation_scores(&cell.labels, search)? {
            let Some(record) = self.store.find::<Answers>(&id)?.done() else { continue };
            if let Answers::Complete(result) = &record.outcome {
                self.add(&id, check_score(result));
                items.get_or_insert_with(|| result.items.clone());
            }
            let answers = record.outcome.into_reduced();
            self.add(&id, items.as_ref().map_or(Ok(()), |items| check_answers(&answers, items)));
            self.add(cell.id(), expect_equal("a validation score", score, answers.score()));
        }
        Ok(())
    }

    /// Checks the output of a cell, and returns it. Returns `None` if the cell is not done.
    fn check<T: DeserializeOwned>(&mut self, cell: &CellId, check: fn(&T) -> Checked) -> Result<Option<T>> {
        let output = self.store.find::<T>(cell)?.done().map(|record| record.outcome);
        if let Some(output) = &output {
            self.add(cell, check(output));
        }
        Ok(output)
    }

    fn add(&mut self, cell: &CellId, checked: Checked) {
        if let Err(reason) = checked {
            let fault =
                DamagedFile { path: self.store.record_path(cell), reason: format!("{cell}: {reason}") };
            self.faults.entry(cell.clone()).or_insert(fault);
        }
    }
}

/// The answers on a validation split, in a record or in an archive.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answers {
    Complete(ScoreResult),
    Reduced(ReducedAnswers),
}

impl Answers {
    fn into_reduced(self) -> ReducedAnswers {
        match self {
            Self::Complete(result) => result.into(),
            Self::Reduced(answers) => answers,
        }
    }
}

fn check_distillation(result: &DistilResult) -> Checked {
    expect(result.layers.len() <= MAX_LAYERS as usize, "it has too many layers")?;
    let is_complete = result.curve.iter().all(|point| point.losses.len() == result.layers.len());
    expect(is_complete, "a point of its loss curve has another number of layers")
}

fn check_logit_distillation(result: &LogitDistilResult) -> Checked {
    expect((1..=MAX_LAYERS).contains(&result.num_layers), "its number of layers is impossible")?;
    check_layers(&result.layers, result.num_layers)
}

fn check_tuned_scores(result: &TunedScoreResult) -> Checked {
    check_layers(&result.layers, MAX_LAYERS)?;
    check_fractions(&result.scores().map(|score| score.score))
}

fn check_finetuning(result: &FinetuneResult) -> Checked {
    expect((1..=MAX_LAYERS).contains(&result.num_layers), "its number of layers is impossible")?;
    expect(result.best_epoch as usize <= result.epochs.len(), "it has no such epoch as its best one")?;
    check_layers(&result.layers, result.num_layers)
}

fn check_checkpoint_distillation(result: &CheckpointDistilResult) -> Checked {
    check_finetuning(&result.training)
}

fn check_finetune_scores(result: &FinetuneScoreResult) -> Checked {
    check_layers(&result.layers, MAX_LAYERS)?;
    let scores = result.models.iter().flat_map(|scores| [scores.validation.score, scores.test.score]);
    check_fractions(&scores.collect::<Vec<f64>>())
}

fn check_timing(result: &ThroughputResult) -> Checked {
    check_layers(&result.layers, MAX_LAYERS)?;
    let takes_time = result.runs.iter().all(|run| run.prefill > 0.0 && run.decode > 0.0);
    expect(!result.runs.is_empty() && takes_time, "it has a run that takes no time")
}

fn check_search(search: &SearchResult) -> Checked {
    expect((1..=MAX_LAYERS).contains(&search.num_layers), "its number of layers is impossible")?;
    for trial in &search.trials {
        check_layers(&trial.layers, search.num_layers)?;
        check_fractions(&[trial.bounds.lower, trial.bounds.upper])?;
    }
    for round in &search.rounds {
        check_layers(&round.layers, search.num_layers)?;
        check_fractions(&[round.score])?;
        let is_counted = round.num_replaced as usize == round.layers.len();
        expect(is_counted, "the number of replaced layers of a round is wrong")?;
    }
    check_fractions(&[search.base, search.base_test.score])?;
    for hybrid in chosen_hybrids(search) {
        check_layers(&hybrid.layers, search.num_layers)?;
        check_fractions(&[hybrid.validation, hybrid.test.score])?;
    }
    Ok(())
}

/// Returns all hybrids that a search chose.
fn chosen_hybrids(search: &SearchResult) -> impl Iterator<Item = &ChosenHybrid> {
    let earlier = search.earlier_stops.iter().map(|stop| &stop.hybrid);
    [&search.best, &search.opt].into_iter().chain(earlier)
}

fn check_score(result: &ScoreResult) -> Checked {
    let is_option = |option: u32, count: usize| (option as usize) < count;
    for item in result.items.iter().filter_map(ItemAnswer::as_choice) {
        let count = item.log_likelihoods.len();
        expect(
            is_option(item.choice, count) && is_option(item.label, count),
            "an item has no option with the index of its choice or label",
        )?;
    }
    check_answers(&result.clone().into(), &result.items)
}

/// Checks answers. `items` holds the answers of the base to the same items.
fn check_answers(answers: &ReducedAnswers, items: &[ItemAnswer]) -> Checked {
    let labels: Option<Vec<u32>> = items.iter().map(|item| Some(item.as_choice()?.label)).collect();
    match (answers, labels) {
        (ReducedAnswers::Options(answers), Some(labels)) => check_options(answers, &labels),
        (ReducedAnswers::Scores(answers), None) => check_scores(answers, items.len()),
        _ => Err("its items have another kind of answer".to_owned()),
    }
}

/// Checks the scores of generated answers. A metric such as `macro-f1` is not a mean over the answers. So the
/// overall score must only be between 0 and 1.
fn check_scores(answers: &AnswerScores, num_items: usize) -> Checked {
    let is_complete = answers.scores.len() == num_items && answers.num_items == num_items as u64;
    expect(is_complete, "its number of items is wrong")?;
    let num_correct = answers.scores.iter().filter(|score| **score == 1.0).count();
    expect(answers.num_correct == num_correct as u64, "its number of correct answers is wrong")?;
    check_fractions(&answers.scores)?;
    check_fractions(&[answers.score])
}

/// Checks that a score is the fraction of items whose chosen option is the right one.
fn check_options(answers: &ChosenOptions, labels: &[u32]) -> Checked {
    let is_complete = answers.choices.len() == labels.len() && answers.num_items == labels.len() as u64;
    expect(is_complete, "its number of items is wrong")?;
    let num_correct = answers.choices.iter().zip(labels).filter(|(choice, label)| choice == label).count();
    expect(answers.num_correct == num_correct as u64, "its number of correct answers is wrong")?;
    expect_equal("the score", answers.score, num_correct as f64 / labels.len() as f64)
}

/// Checks that layers are ascending and below `num_layers`.
fn check_layers(layers: &[u32], num_layers: u32) -> Checked {
    let is_ascending = layers.windows(2).all(|pair| pair[0] < pair[1]);
    expect(is_ascending && layers.last().is_none_or(|last| *last < num_layers), "its layers are impossible")
}

fn check_fractions(values: &[f64]) -> Checked {
    expect(values.iter().all(|value| (0.0..=1.0).contains(value)), "a score is not a fraction")
}

fn expect_equal(name: &str, value: f64, expected: f64) -> Checked {
    match value == expected {
        true => Ok(()),
        false => Err(format!("{name} is {value}, but its answers give {expected}")),
    }
}

fn expect(holds: bool, reason: &str) -> Checked {
    if holds { Ok(()) } else { Err(reason.to_owned()) }
}

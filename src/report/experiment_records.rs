//! The finished cells of an experiment, read from the store. A cell is one computation, such as a
//! distillation or a search.
//!
//! The cells are in no particular order, because every table and figure sorts its rows.

use std::collections::BTreeSet;
use std::ops::Deref;

use super::derived_values::format_axes;
use crate::algorithms::checkpoint_distil::CheckpointDistilResult;
use crate::algorithms::distil::DistilResult;
use crate::algorithms::finetune::FinetuneResult;
use crate::algorithms::logit_distil::LogitDistilResult;
use crate::algorithms::score::ScoreResult;
use crate::algorithms::throughput::{ThroughputResult, TimedRun};
use crate::plan::Plan;
use crate::stages::finetune_score::{ComparedModel, FinetuneScoreResult};
use crate::stages::search::SearchResult;
use crate::stages::tuned_score::TunedScoreResult;
use crate::stages::{
    Cell, CellLabels, DistilJob, FinetuneScoreJob, ScoreJob, SearchJob, Stage, ThroughputJob, TunedScoreJob,
    WorkCounts,
};
use crate::store::{CellId, CellKey, Lookup, Record, Store};
use dtr_core::error::Result;

/// The finished cells and the missing cells of an experiment.
#[derive(Clone, Debug, Default)]
pub struct ExperimentRecords {
    /// Name of the experiment.
    pub experiment: String,
    /// Title of the experiment's tables and figures.
    pub title: String,
    /// The research question of the experiment. `None` if the manifest has no question.
    pub question: Option<String>,
    /// The command that computes the missing cells.
    pub command: String,
    /// Confidence level of every interval, for example 0.95.
    pub confidence: f64,
    /// The finished searches, except searches that lack a score on the test split.
    pub searches: Vec<SearchCell>,
    /// The scored hybrids that were trained after their searches.
    pub tuned_hybrids: Vec<TunedHybridCell>,
    /// The scored hybrids that were fine-tuned, with their controls.
    pub finetuned_hybrids: Vec<FinetunedHybridCell>,
    /// The scores of bases on test splits, if the sweep has no variants.
    pub bases: Vec<ScoreCell>,
    /// The finished distillations.
    pub distillations: Vec<DistilCell>,
    /// The finished timings of this machine and of other machines.
    pub timings: Vec<TimingCell>,
    /// The tokens, the evaluations and the record of each finished cell.
    pub work_counts: Vec<CellWorkCounts>,
    /// The cells without a result.
    pub missing: Vec<MissingCell>,
    /// Whether all records are in one archive. If not, each cell has its own record file.
    pub are_archived: bool,
    /// The keys of cells whose record is where earlier versions of this program wrote it.
    pub old_record_keys: BTreeSet<CellKey>,
}

/// A finished cell with its labels and its job. Dereferences to the output of the job.
#[derive(Clone, Debug)]
pub struct StoredCell<J, T> {
    /// The labels of the cell.
    pub labels: CellLabels,
    /// The job that computed the output.
    pub job: J,
    /// The record of the output.
    pub record: Record<T>,
}

/// A finished distillation.
pub type DistilCell = StoredCell<DistilJob, DistilResult>;

/// The score of a base.
pub type ScoreCell = StoredCell<ScoreJob, ScoreResult>;

/// The tokens and evaluations of a finished cell of any stage. The record holds the cell's time and energy.
pub type CellWorkCounts = StoredCell<(), WorkCounts>;

/// A finished search, with the answers of its base and hybrids on the test split. Dereferences to the cell of
/// the search.
#[derive(Clone, Debug)]
pub struct SearchCell {
    /// The cell of the search.
    pub cell: StoredCell<SearchJob, SearchResult>,
    /// The answers of the base.
    pub base_answers: TestAnswers,
    /// The answers of `M_best`, the hybrid with the highest validation score.
    pub best_answers: TestAnswers,
    /// The answers of `M_opt`, the last hybrid that the search accepted.
    pub opt_answers: TestAnswers,
    /// The answers of the hybrid for each of the search's earlier stops.
    pub earlier_stop_answers: Vec<TestAnswers>,
}

/// A scored hybrid that was trained after its search. Dereferences to the cell that scored it.
#[derive(Clone, Debug)]
pub struct TunedHybridCell {
    /// The cell that scored the hybrid and its controls.
    pub cell: StoredCell<TunedScoreJob, TunedScoreResult>,
    /// The result of the training.
    pub training: LogitDistilResult,
    /// The answers of the base, of the hybrid before the training, and of the hybrid after it.
    pub answers: [TestAnswers; 3],
}

/// A scored hybrid that was fine-tuned. Dereferences to the cell that scored it.
#[derive(Clone, Debug)]
pub struct FinetunedHybridCell {
    /// The cell that scored the hybrid and its controls.
    pub cell: StoredCell<FinetuneScoreJob, FinetuneScoreResult>,
    /// The result of the base's fine-tuning.
    pub base_training: FinetuneResult,
    /// The result of the hybrid's fine-tuning.
    pub training: FinetuneResult,
    /// The results of the trainings of its students, in the order of the job.
    pub students: Vec<CheckpointDistilResult>,
    /// The test answers of each model, in the order of the result.
    pub answers: Vec<TestAnswers>,
}

/// The answers of a model on a test split. Dereferences to the score.
#[derive(Clone, Debug)]
pub struct TestAnswers {
    /// The score cell.
    pub cell: CellId,
    /// The score, and the answer to each item.
    pub result: ScoreResult,
}

/// A finished timing. Dereferences to the cell of the timing.
#[derive(Clone, Debug)]
pub struct TimingCell {
    /// The cell of the timing.
    pub cell: StoredCell<ThroughputJob, ThroughputResult>,
    /// The timed runs of the base on the same machine, with the same context and batch size. `None` if there
    /// are no such runs.
    pub base_runs: Option<Vec<TimedRun>>,
}

/// A cell without a result.
#[derive(Clone, Debug)]
pub struct MissingCell {
    /// The labels of the cell.
    pub labels: CellLabels,
    /// The key of the cell.
    pub key: CellKey,
    /// The reason why the cell has no result.
    pub reason: String,
}

impl<J, T> StoredCell<J, T> {
    /// Returns the key as text.
    pub fn key(&self) -> String {
        self.record.key().to_string()
    }

    /// Returns the name of the linear variant. Empty for a cell without a variant.
    pub fn variant(&self) -> &str {
        self.labels.variant.as_deref().unwrap_or_default()
    }

    /// Returns the name of the task. Empty for a cell without a task.
    pub fn task(&self) -> &str {
        self.labels.task.as_deref().unwrap_or_default()
    }

    /// Returns model, variant, task and axes. The rows of a table are sorted by this tuple.
    pub fn sort_key(&self) -> (&str, &str, &str, String) {
        (&self.labels.model, self.variant(), self.task(), format_axes(&self.labels.axes))
    }
}

impl<J, T> Deref for StoredCell<J, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record.outcome
    }
}

impl Deref for SearchCell {
    type Target = StoredCell<SearchJob, SearchResult>;

    fn deref(&self) -> &Self::Target {
        &self.cell
    }
}

impl Deref for TunedHybridCell {
    type Target = StoredCell<TunedScoreJob, TunedScoreResult>;

    fn deref(&self) -> &Self::Target {
        &self.cell
    }
}

impl Deref for FinetunedHybridCell {
    type Target = StoredCell<FinetuneScoreJob, FinetuneScoreResult>;

    fn deref(&self) -> &Self::Target {
        &self.cell
    }
}

impl FinetunedHybridCell {
    /// Returns the test answers of a model.
    pub fn answers_of(&self, model: ComparedModel) -> Option<&TestAnswers> {
        let index = self.models.iter().position(|scores| scores.model == model)?;
        self.answers.get(index)
    }
}

impl SearchCell {
    /// Returns the name by which publications call the base. Returns `None` if the sweep trained the base.
    pub fn published_base_name(&self) -> Option<&str> {
        self.job.base.public_name(&self.labels.model)
    }

    /// Returns the answers of the base and of all chosen hybrids.
    pub fn all_answers(&self) -> impl Iterator<Item = &TestAnswers> {
        [&self.base_answers, &self.best_answers, &self.opt_answers]
            .into_iter()
            .chain(&self.earlier_stop_answers)
    }

    /// Returns the kind of linear block of the variant, such as `gla`.
    pub fn block_kind(&self) -> &'static str {
        self.job.variant.block.name()
    }
}

impl Deref for TestAnswers {
    type Target = ScoreResult;

    fn deref(&self) -> &ScoreResult {
        &self.result
    }
}

impl Deref for TimingCell {
    type Target = StoredCell<ThroughputJob, ThroughputResult>;

    fn deref(&self) -> &Self::Target {
        &self.cell
    }
}

impl ExperimentRecords {
    /// Reads the records of the cells of `plan`. `command` is the command that computes the missing cells.
    ///
    /// # Errors
    /// Fails if a record cannot be read, or if a newer version of the program wrote it.
    pub fn read(plan: &Plan, store: &Store, command: &str) -> Result<Self> {
        let mut records = Self {
            experiment: plan.name.clone(),
            title: plan.title.clone(),
            question: plan.question.clone(),
            command: command.to_owned(),
            confidence: plan.confidence,
            are_archived: store.is_archive(),
            ..Self::default()
        };
        for cell in &plan.cells {
            let recorded =
                if cell.job.measures_time() { store.recorded_specs(cell.stage())? } else { Vec::new() };
            let mut reason = records.add(cell, store)?;
            for other in cell.job.cells_on_other_machines(cell, &recorded)? {
                // A timing counts as missing only if no machine has finished it.
                reason = records.add(&other, store)?.and(reason);
            }
            let (labels, key) = (cell.labels.clone(), cell.key());
            records.missing.extend(reason.map(|reason| MissingCell { labels, key, reason }));
        }
        let old = records.cells().filter(|cell| store.has_old_record(cell)).map(|cell| cell.key);
        records.old_record_keys = old.collect();
        Ok(records)
    }

    /// Returns the finished cells, and the score cells of the searches.
    pub fn cells(&self) -> impl Iterator<Item = &CellId> {
        let finished = self.work_counts.iter().map(|usage| &usage.record.spec.id);
        let answers = self.searches.iter().flat_map(SearchCell::all_answers);
        finished.chain(answers.map(|answers| &answers.cell))
    }

    /// Adds the record of a cell. If the cell's result is missing or incomplete, returns the reason.
    fn add(&mut self, cell: &Cell, store: &Store) -> Result<Option<String>> {
        let record = match cell.job.find_work_counts(store, cell.id())? {
            Lookup::Done(record) => record,
            Lookup::Failed(record) => return Ok(Some(format!("failed: {}", record.outcome))),
            Lookup::Corrupt { path, reason } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                return Ok(Some(format!("cannot use `{name}`: {reason}")));
            }
            Lookup::Missing => return Ok(Some("not done yet".to_owned())),
        };
        self.work_counts.push(StoredCell { labels: cell.labels.clone(), job: (), record });
        self.distillations.extend(find_record::<DistilJob>(cell, store)?);
        self.bases.extend(find_record::<ScoreJob>(cell, store)?);
        if let Some(timing) = find_record::<ThroughputJob>(cell, store)? {
            let base = Cell::new(timing.job.to_base_job(), CellLabels::default())?;
            let base = store.find::<ThroughputResult>(base.id())?.done();
            let base_runs = base.map(|record| record.outcome.runs);
            self.timings.push(TimingCell { cell: timing, base_runs });
        }
        if let Some(tuned) = find_record::<TunedScoreJob>(cell, store)? {
            let tuned = with_training(tuned, store)?;
            let is_missing = tuned.is_none();
            self.tuned_hybrids.extend(tuned);
            return Ok(is_missing.then(|| "its training or one of its scores is missing".to_owned()));
        }
        if let Some(finetuned) = find_record::<FinetuneScoreJob>(cell, store)? {
            let finetuned = with_finetuning(finetuned, store)?;
            let is_missing = finetuned.is_none();
            self.finetuned_hybrids.extend(finetuned);
            return Ok(is_missing.then(|| "a fine-tuning or one of its scores is missing".to_owned()));
        }
        let Some(search) = find_record::<SearchJob>(cell, store)? else { return Ok(None) };
        match with_answers(search, store)? {
            Some(search) => self.searches.push(search),
            None => return Ok(Some("the score of its base or hybrids is missing".to_owned())),
        }
        Ok(None)
    }
}

/// Finds the record of a cell. Returns `None` if the cell does not belong to the stage `S` or is not done.
fn find_record<S: Stage + Clone>(cell: &Cell, store: &Store) -> Result<Option<StoredCell<S, S::Output>>> {
    let Some(job) = cell.downcast_job::<S>() else { return Ok(None) };
    let record = store.find::<S::Output>(cell.id())?.done();
    Ok(record.map(|record| StoredCell { labels: cell.labels.clone(), job: job.clone(), record }))
}

/// Reads the answers of a score cell. Returns `None` if the cell has no result.
fn find_answers(cell: &CellId, store: &Store) -> Result<Option<TestAnswers>> {
    let record = store.find::<ScoreResult>(cell)?.done();
    Ok(record.map(|record| TestAnswers { cell: cell.clone(), result: record.outcome }))
}

/// Reads the training and the answers of a scored hybrid. Returns `None` if one of their cells has no result.
fn with_training(
    cell: StoredCell<TunedScoreJob, TunedScoreResult>,
    store: &Store,
) -> Result<Option<TunedHybridCell>> {
    let training = store.find::<LogitDistilResult>(&cell.job.tuned)?.done();
    let answers: Option<Vec<TestAnswers>> =
        cell.scores().iter().map(|score| find_answers(&score.cell, store)).collect::<Result<_>>()?;
    let (Some(training), Some(answers)) = (training, answers) else { return Ok(None) };
    let answers = answers.try_into().expect("three models were scored");
    Ok(Some(TunedHybridCell { cell, training: training.outcome, answers }))
}

/// Reads the fine-tunings and the test answers of a scored hybrid. Returns `None` if one of their cells has no
/// result.
fn with_finetuning(
    cell: StoredCell<FinetuneScoreJob, FinetuneScoreResult>,
    store: &Store,
) -> Result<Option<FinetunedHybridCell>> {
    let find = |cell: &CellId| -> Result<Option<FinetuneResult>> {
        Ok(store.find::<FinetuneResult>(cell)?.done().map(|record| record.outcome))
    };
    let (base_training, training) = (find(&cell.job.tuned_base)?, find(&cell.job.tuned)?);
    let answers: Option<Vec<TestAnswers>> =
        cell.models.iter().map(|scores| find_answers(&scores.test.cell, store)).collect::<Result<_>>()?;
    let students: Option<Vec<CheckpointDistilResult>> =
        cell.job.students.iter().map(|student| find_student(&student.cell, store)).collect::<Result<_>>()?;
    let (Some(base_training), Some(training), Some(students), Some(answers)) =
        (base_training, training, students, answers)
    else {
        return Ok(None);
    };
    Ok(Some(FinetunedHybridCell { cell, base_training, training, students, answers }))
}

/// Reads the training of a student. Returns `None` if its cell has no result.
fn find_student(cell: &CellId, store: &Store) -> Result<Option<CheckpointDistilResult>> {
    Ok(store.find::<CheckpointDistilResult>(cell)?.done().map(|record| record.outcome))
}

/// Reads the answers on the test split for a search. Returns `None` if one of the score cells has no result.
fn with_answers(cell: StoredCell<SearchJob, SearchResult>, store: &Store) -> Result<Option<SearchCell>> {
    let answers = |cell: &CellId| find_answers(cell, store);
    let base_answers = answers(&cell.base_test.cell)?;
    let best_answers = answers(&cell.best.test.cell)?;
    let opt_answers = answers(&cell.opt.test.cell)?;
    let earlier_stops = cell.earlier_stops.iter().map(|stop| answers(&stop.hybrid.test.cell));
    let earlier_stop_answers: Option<Vec<TestAnswers>> = earlier_stops.collect::<Result<_>>()?;
    let (Some(base_answers), Some(best_answers), Some(opt_answers), Some(earlier_stop_answers)) =
        (base_answers, best_answers, opt_answers, earlier_stop_answers)
    else {
        return Ok(None);
    };
    Ok(Some(SearchCell { cell, base_answers, best_answers, opt_answers, earlier_stop_answers }))
}

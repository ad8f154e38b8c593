//! The stage `search`: chooses the layers of a base to replace.

mod candidate_scores;
mod helper;
mod pruned;
mod result;
mod search_run;
mod shared_group;
mod shared_queue;

use std::collections::BTreeMap;

use serde::Serialize;

use helper::Helper;
pub use result::{ChosenHybrid, EarlierStopResult, SearchResult, TestScore};

use super::base::{BaseSource, BaseSpec};
use super::cell::{Cell, CellLabels};
use super::distil;
use super::identity::SplitIdentity;
use super::models::ModelCache;
use super::planner::{Planner, SweepPoint};
use super::score::ScoreJob;
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::algorithms::score::max_cache_bytes;
use crate::algorithms::search::{EarlierStops, SearchStrategy, StopCriterion};
use crate::data::Split;
use crate::data::Task;
use crate::device::TimeAndEnergy;
use crate::manifest::Dtype;
use crate::resources::{ResourceEstimate, max_evaluations, num_test_evaluations, twin_bytes, weight_bytes};
use crate::runner::{ClaimOutcome, RunContext, RunningCell, UsageRecorder};
use crate::store::{CellId, CellInputs, Record, StageName};
use dtr_core::error::{Error, Result};
use dtr_model::{DecoderConfig, TwinVariant};

/// A search for hybrids with a high score on one task. All twins are of one variant.
#[derive(Clone, Debug)]
pub struct SearchJob {
    /// The source of the base.
    pub base: BaseSource,
    /// The shape of the twins.
    pub variant: TwinVariant,
    /// The distil cell of the twins.
    pub twins: CellId,
    /// The task.
    pub task: Task,
    /// The identity of the validation split at the time of the plan. The search compares scores on this
    /// split.
    pub validation: SplitIdentity,
    /// The identity of the test split at the time of the plan. The chosen hybrids are scored on this split.
    pub test: SplitIdentity,
    /// The search strategy.
    pub strategy: SearchStrategy,
    /// The stop criterion.
    pub stop: StopCriterion,
    /// The stop criteria that are evaluated after the search.
    pub earlier_stops: EarlierStops,
    /// Whether the search prunes candidates that cannot win. False if the strategy does not choose among
    /// several candidates.
    pub prune: bool,
}

/// Everything that the result of a search depends on, apart from the cell's inputs. All fields are part of
/// the cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpec {
    /// The base.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The identity of the validation split.
    pub validation: SplitIdentity,
    /// The identity of the test split.
    pub test: SplitIdentity,
    /// The search strategy.
    pub strategy: SearchStrategy,
    /// The stop criterion.
    pub stop: StopCriterion,
    /// The stop criteria that are evaluated after the search.
    #[serde(skip_serializing_if = "EarlierStops::is_empty")]
    pub earlier_stops: EarlierStops,
    /// Whether the search prunes candidates that cannot win. The key depends on this setting, because the
    /// result holds only the bounds of a pruned candidate's score.
    pub prune: bool,
}

impl Stage for SearchJob {
    const NAME: StageName = StageName::new("search");
    const VERSION: u32 = 5;
    type Spec = SearchSpec;
    type Output = SearchResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<SearchSpec> {
        Ok(SearchSpec {
            base: self.base.spec_for_task(&self.task),
            validation: self.validation.clone(),
            test: self.test.clone(),
            strategy: self.strategy.clone(),
            stop: self.stop.clone(),
            earlier_stops: self.earlier_stops.clone(),
            prune: self.prune,
        })
    }

    fn inputs(&self) -> CellInputs {
        let mut inputs = self.base.inputs();
        inputs.insert("twins".to_owned(), self.twins.clone());
        inputs
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.base)
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let dtype = self.base.dtype();
        let base_bytes = weight_bytes(config, dtype);
        // Twins are stored and loaded in f32, and then converted to the type of the base.
        let peak_twin_bytes = twin_bytes(config, &self.variant, Dtype::F32);
        ResourceEstimate {
            evaluations: self.max_evaluations(config.num_layers as u64),
            weight_bytes: base_bytes + twin_bytes(config, &self.variant, dtype),
            peak_bytes: base_bytes + peak_twin_bytes + max_cache_bytes(dtype == Dtype::F32) as u64,
            ..ResourceEstimate::default()
        }
    }

    fn count_work(&self, output: &SearchResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: output.evaluations }
    }

    fn plan(point: &SweepPoint<'_>, planner: &mut Planner) -> Result<()> {
        for (model, variant, task) in point.manifest.sweep.combinations() {
            let Some(variant) = variant else { continue };
            let (base, twins) = distil::plan_twins(point, planner, model, variant)?;
            let (variant, task) = (Some(variant.to_owned()), Some(task.to_owned()));
            let labels = CellLabels { variant, task, ..point.labels_of_searches(model) };
            let job = Self::new(point, planner, base, twins, &labels)?;
            planner.add_result_cell(Cell::new(job, labels)?)?;
        }
        Ok(())
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        group.iter().map(|(cell, job)| job.run_one(context, models, cell)).collect()
    }
}

impl SearchJob {
    /// Creates the search job for the variant and the task of `labels`.
    fn new(
        point: &SweepPoint<'_>,
        planner: &mut Planner,
        base: BaseSource,
        twins: CellId,
        labels: &CellLabels,
    ) -> Result<Self> {
        let manifest = point.manifest;
        let variant = labels.variant.as_ref().expect("a search has a variant");
        let task = labels.task.as_ref().expect("a search has a task");
        if manifest.tasks[task].is_generative()
            && matches!(manifest.search.strategy, SearchStrategy::Impact {})
        {
            return Err(Error::manifest(format!(
                "cannot search on the task `{task}` with the strategy `impact`: the task has no choices"
            ))
            .hint("choose another strategy, or a multiple-choice task"));
        }
        Ok(Self {
            base,
            variant: manifest.variants[variant].clone(),
            twins,
            validation: planner.identify_task(point, task, Split::Validation)?,
            test: planner.identify_task(point, task, Split::Test)?,
            task: manifest.tasks[task].clone(),
            strategy: manifest.search.strategy.clone(),
            stop: manifest.search.stop.clone(),
            earlier_stops: manifest.search.earlier_stops.clone(),
            prune: manifest.search.prunes_candidates(),
        })
    }

    /// Returns the search cells of a point of the sweep.
    pub(super) fn cells_of_point(point: &SweepPoint<'_>, planner: &Planner) -> Vec<Cell> {
        let is_of_point =
            |cell: &&Cell| cell.labels.axes == point.labels_of_searches(&cell.labels.model).axes;
        planner.cells_of(&Self::NAME).filter(is_of_point).cloned().collect()
    }

    /// Returns the maximum number of evaluations of the search on a base of `num_layers` layers.
    fn max_evaluations(&self, num_layers: u64) -> u64 {
        max_evaluations(&self.strategy, num_layers, self.earlier_stops.criteria().count() as u64)
    }

    /// Returns the maximum number of evaluations on each split, on a base of `num_layers` layers.
    pub fn max_evaluations_by_split(&self, num_layers: u64) -> [(Split, u64); 2] {
        let on_test = num_test_evaluations(self.earlier_stops.criteria().count() as u64);
        [(Split::Validation, self.max_evaluations(num_layers) - on_test), (Split::Test, on_test)]
    }

    /// Returns the cell that scores a hybrid on a split. `labels` are the labels of the search.
    ///
    /// # Errors
    /// Fails if the cell's specification cannot be created.
    pub fn score_cell(&self, labels: &CellLabels, split: Split, layers: Vec<u32>) -> Result<Cell> {
        let score = ScoreJob {
            base: self.base.clone(),
            twins: Some(self.twins.clone()),
            task: self.task.clone(),
            split,
            identity: if split == Split::Test { self.test.clone() } else { self.validation.clone() },
            layers,
            tuned: None,
            restores_qk: false,
        };
        Cell::new(score, labels.clone())
    }

    /// Returns the exact scores of a search on the validation split, each with its cell. The score of the
    /// base comes first. `labels` are the labels of the search.
    ///
    /// # Errors
    /// Fails if the specification of a cell cannot be created.
    pub fn validation_scores(
        &self,
        labels: &CellLabels,
        result: &SearchResult,
    ) -> Result<Vec<(CellId, f64)>> {
        let exact = result.trials.iter().filter_map(|trial| Some((&trial.layers, trial.bounds.score()?)));
        let hybrids: BTreeMap<&Vec<u32>, f64> = exact.filter(|(layers, _)| !layers.is_empty()).collect();
        let base = Vec::new();
        let scores = std::iter::once((&base, result.base)).chain(hybrids);
        let cell = |layers: &Vec<u32>| self.score_cell(labels, Split::Validation, layers.clone());
        scores.map(|(layers, score)| Ok((cell(layers)?.id().clone(), score))).collect()
    }

    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        let mut helper = Helper::new(context, cell, self);
        let claim = RunningCell::claim_with_work::<SearchResult>(context, &cell.spec, cell.to_line(), || {
            helper.help(models)
        });
        let mut claimed = match claim? {
            ClaimOutcome::Claimed(claimed) => claimed,
            ClaimOutcome::Done(_) => return Ok(CompletedBy::OtherProcess),
        };
        // A cell with a result runs again only if the result refers to a missing score cell. The new record
        // then includes the usage of both runs.
        if let Some(Record { seconds, joules, .. }) = context.store.find::<SearchResult>(cell.id())?.done() {
            claimed.continue_from_usage(TimeAndEnergy { seconds, joules });
        }
        let recorder = UsageRecorder::begin(vec![&claimed])?;
        let result = search_run::search(context, models, cell, self, &claimed, &recorder)?;
        let references = result.test_score_cells();
        recorder.finish(0, &[], references, result)?;
        Ok(CompletedBy::ThisProcess)
    }
}

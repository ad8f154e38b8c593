//! The stage `tuned-score`: scores a hybrid that was trained after its search, together with its controls.
//!
//! The controls are the same hybrid before this training, and the base. The stage scores all three models on
//! the test split of the search's task.

use serde::{Deserialize, Serialize};

use super::base::{BaseSource, BaseSpec};
use super::cell::{Cell, CellLabels};
use super::hybrid_scorer::HybridScorer;
use super::logit_distil::{self, LogitDistilJob};
use super::models::ModelCache;
use super::planner::{Planner, SweepPoint};
use super::score::ScoreJob;
use super::search::{SearchJob, TestScore};
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::data::Split;
use crate::manifest::Dtype;
use crate::resources::{ResourceEstimate, twin_bytes, weight_bytes};
use crate::runner::{ClaimOutcome, RunContext, RunningCell, UsageRecorder};
use crate::stages::identity::SplitIdentity;
use crate::store::{CellId, CellInputs, StageName};
use dtr_core::error::Result;
use dtr_model::DecoderConfig;

/// The job that scores a trained hybrid and its controls.
#[derive(Clone, Debug)]
pub struct TunedScoreJob {
    /// The search that chose the hybrid.
    pub search: SearchJob,
    /// The labels of the search.
    pub search_labels: CellLabels,
    /// The cell that trained the hybrid.
    pub tuned: CellId,
    /// The job of the cell `tuned`.
    pub training: LogitDistilJob,
}

/// Everything that the scores depend on, apart from the cell's inputs. All fields are part of the cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TunedScoreSpec {
    /// The base.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The identity of the test split.
    pub test: SplitIdentity,
}

/// The scores of a trained hybrid and its controls on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunedScoreResult {
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// Score of the base.
    pub base: TestScore,
    /// Score of the hybrid before the training.
    pub hybrid: TestScore,
    /// Score of the hybrid after the training.
    pub tuned: TestScore,
    /// Number of tokens that went through the models to compute these scores, including stored scores.
    pub tokens: u64,
}

impl TunedScoreResult {
    /// Returns the three scores: base, hybrid and trained hybrid.
    pub fn scores(&self) -> [&TestScore; 3] {
        [&self.base, &self.hybrid, &self.tuned]
    }
}

impl Stage for TunedScoreJob {
    const NAME: StageName = StageName::new("tuned-score");
    const VERSION: u32 = 1;
    type Spec = TunedScoreSpec;
    type Output = TunedScoreResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<TunedScoreSpec> {
        let search = &self.search;
        Ok(TunedScoreSpec { base: search.base.spec_for_task(&search.task), test: search.test.clone() })
    }

    fn inputs(&self) -> CellInputs {
        let mut inputs = self.search.base.inputs();
        inputs.insert("twins".to_owned(), self.search.twins.clone());
        inputs.insert("tuned".to_owned(), self.tuned.clone());
        inputs
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.search.base)
    }

    fn distinguishing_settings(&self) -> String {
        self.training.hybrid.label()
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let dtype = self.search.base.dtype();
        // This is an upper bound, because the trained hybrid shares untrained parameters with the base.
        let weight_bytes = 2 * weight_bytes(config, dtype) + twin_bytes(config, &self.search.variant, dtype);
        let peak_bytes = weight_bytes + twin_bytes(config, &self.search.variant, Dtype::F32);
        ResourceEstimate { evaluations: 3, weight_bytes, peak_bytes, ..ResourceEstimate::default() }
    }

    fn count_work(&self, output: &TunedScoreResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: 3 }
    }

    fn plan(point: &SweepPoint<'_>, planner: &mut Planner) -> Result<()> {
        if point.manifest.logit_distil.is_disabled() {
            return Ok(());
        }
        for search in SearchJob::cells_of_point(point, planner) {
            let job = search.downcast_job::<SearchJob>().expect("the cell is a search").clone();
            for (tuned, training) in logit_distil::plan_tuned_hybrids(point, planner, &search, &job)? {
                let search_labels = search.labels.clone();
                let axes = point.labels_of_logit_distillations(&search.labels.model).axes;
                let labels = CellLabels { axes, ..search_labels.clone() };
                let job = Self { search: job.clone(), search_labels, tuned, training };
                planner.add_result_cell(Cell::new(job, labels)?)?;
            }
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

impl TunedScoreJob {
    /// Returns the cells that score the base, the hybrid before the training, and the hybrid after the
    /// training. `layers` are the layers of the hybrid.
    ///
    /// # Errors
    /// Fails if the specification of a cell cannot be created.
    pub fn score_cells(&self, layers: &[u32]) -> Result<[Cell; 3]> {
        let of_search = |layers| self.search.score_cell(&self.search_labels, Split::Test, layers);
        let (base, hybrid) = (of_search(Vec::new())?, of_search(layers.to_vec())?);
        let job = hybrid.downcast_job::<ScoreJob>().expect("a score cell has a score job").clone();
        let tuned = ScoreJob { tuned: Some(self.tuned.clone()), ..job };
        Ok([base, hybrid.clone(), Cell::new(tuned, hybrid.labels)?])
    }

    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        let claimed =
            match RunningCell::claim_blocking::<TunedScoreResult>(context, &cell.spec, cell.to_line())? {
                ClaimOutcome::Claimed(claimed) => claimed,
                ClaimOutcome::Done(_) => return Ok(CompletedBy::OtherProcess),
            };
        let recorder = UsageRecorder::begin(vec![&claimed])?;
        let task = context.progress.start_task(&cell.to_line(), 3, "evaluations").with_recorder(&recorder)?;
        let layers = self.training.layers(context.store)?;
        let mut tokens = 0;
        let mut scores = Vec::new();
        let scorer = HybridScorer { context, search: &self.search, task: &task };
        for score in self.score_cells(&layers)? {
            let result = scorer.find_or_score(models, &score)?;
            tokens += result.tokens;
            scores.push(TestScore { score: result.score, cell: score.id().clone() });
        }
        let [base, hybrid, tuned] = scores.try_into().expect("three models were scored");
        let result = TunedScoreResult { layers, base, hybrid, tuned, tokens };
        let references = result.scores().map(|score| score.cell.clone()).to_vec();
        recorder.finish(0, &[], references, result)?;
        Ok(CompletedBy::ThisProcess)
    }
}

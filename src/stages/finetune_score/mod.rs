//! The stage `finetune-score`: scores a fine-tuned hybrid together with its controls.
//!
//! The controls are the same hybrid before the fine-tuning, the base, and the base that was fine-tuned in the
//! same way. If the hybrid also learned from checkpoints of a teacher, its students are scored too. All
//! models are scored on the validation split and the test split of the search's task.

mod compared_model;
mod plan;

use serde::{Deserialize, Serialize};

use super::base::{BaseSource, BaseSpec};
use super::cell::{Cell, CellLabels};
use super::finetune::{FinetuneJob, FinetunedHybrid};
use super::hybrid_scorer::HybridScorer;
use super::identity::SplitIdentity;
use super::logit_distil::find_layers_of_hybrid;
use super::models::ModelCache;
use super::planner::{Planner, SweepPoint};
use super::score::ScoreJob;
use super::search::{SearchJob, TestScore};
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::algorithms::checkpoint_distil::DistilMethod;
use crate::data::Split;
use crate::manifest::Dtype;
use crate::resources::{ResourceEstimate, twin_bytes, weight_bytes};
use crate::runner::{ClaimOutcome, RunContext, RunningCell, UsageRecorder};
use crate::store::{CellId, CellInputs, StageName};
use ComparedModel::{Base, BaseFinetuned, Hybrid, HybridDistilled, HybridFinetuned, HybridRestored};
pub use compared_model::ComparedModel;
use dtr_core::error::Result;
use dtr_model::DecoderConfig;

/// The job that scores a fine-tuned hybrid and its controls.
#[derive(Clone, Debug)]
pub struct FinetuneScoreJob {
    /// The search that chose the hybrid.
    pub search: SearchJob,
    /// The labels of the search.
    pub search_labels: CellLabels,
    /// The cell that fine-tuned the base.
    pub tuned_base: CellId,
    /// The cell that fine-tuned the hybrid.
    pub tuned: CellId,
    /// The job of the cell `tuned`.
    pub training: FinetuneJob,
    /// The hybrid that the cell `tuned` fine-tuned.
    pub hybrid: FinetunedHybrid,
    /// Whether the fine-tuned hybrid is also scored with the queries and keys of the base.
    pub restores_qk: bool,
    /// The students of a teacher's checkpoints that began as the same hybrid.
    pub students: Vec<Student>,
}

/// A student of a teacher's checkpoints.
#[derive(Clone, Debug)]
pub struct Student {
    /// The method of its training.
    pub method: DistilMethod,
    /// The cell that trained it.
    pub cell: CellId,
}

/// Everything that the scores depend on, apart from the cell's inputs. All fields are part of the cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinetuneScoreSpec {
    /// The base.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The identity of the validation split.
    pub validation: SplitIdentity,
    /// The identity of the test split.
    pub test: SplitIdentity,
    /// Whether the fine-tuned hybrid is also scored with the queries and keys of the base.
    pub restores_qk: bool,
}

/// The scores of a fine-tuned hybrid and its controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneScoreResult {
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// The scores of each model.
    pub models: Vec<ModelScores>,
    /// Number of tokens that went through the models to compute these scores, including stored scores.
    pub tokens: u64,
}

/// The scores of a model on both splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelScores {
    /// The model.
    pub model: ComparedModel,
    /// The score on the validation split.
    pub validation: TestScore,
    /// The score on the test split.
    pub test: TestScore,
}

impl FinetuneScoreJob {
    /// Returns the compared models in the order of the results.
    pub fn models(&self) -> Vec<ComparedModel> {
        let mut models = vec![Base, BaseFinetuned, Hybrid];
        models.extend(self.hybrid.distilled.is_some().then_some(HybridDistilled));
        models.push(HybridFinetuned);
        models.extend(self.restores_qk.then_some(HybridRestored));
        models.extend(self.students.iter().map(|student| ComparedModel::Student(student.method)));
        models
    }

    /// Returns the student of a method.
    pub fn student(&self, method: DistilMethod) -> Option<&Student> {
        self.students.iter().find(|student| student.method == method)
    }

    /// Returns the hybrid before any training on the task.
    fn untrained_hybrid(&self) -> ComparedModel {
        if self.hybrid.distilled.is_some() { HybridDistilled } else { Hybrid }
    }

    /// Returns the model before its last change, or `None` for a model that was not changed. Students with
    /// parts of the method are compared with the student without any part, if it is trained.
    pub fn model_before(&self, model: ComparedModel) -> Option<ComparedModel> {
        match model {
            Base | Hybrid => None,
            BaseFinetuned => Some(Base),
            HybridDistilled => Some(Hybrid),
            HybridFinetuned => Some(self.untrained_hybrid()),
            HybridRestored => Some(HybridFinetuned),
            ComparedModel::Student(method) => match self.student(DistilMethod::Plain) {
                Some(plain) if method != plain.method => Some(ComparedModel::Student(plain.method)),
                _ => Some(self.untrained_hybrid()),
            },
        }
    }

    /// Returns the base with which a hybrid is compared: the fine-tuned base for a fine-tuned hybrid. Returns
    /// `None` for a base.
    pub fn control(&self, model: ComparedModel) -> Option<ComparedModel> {
        match model {
            Base | BaseFinetuned => None,
            Hybrid | HybridDistilled => Some(Base),
            HybridFinetuned | HybridRestored | ComparedModel::Student(_) => Some(BaseFinetuned),
        }
    }

    /// Returns the cell that scores a model on a split. `layers` are the layers of the hybrid.
    ///
    /// # Errors
    /// Fails if the specification of the cell cannot be created.
    pub fn score_cell(&self, model: ComparedModel, split: Split, layers: &[u32]) -> Result<Cell> {
        let tuned = match model {
            Base | Hybrid => None,
            BaseFinetuned => Some(&self.tuned_base),
            HybridDistilled => self.hybrid.distilled.as_ref(),
            HybridFinetuned | HybridRestored => Some(&self.tuned),
            ComparedModel::Student(method) => self.student(method).map(|student| &student.cell),
        };
        let layers = if model.is_base() { Vec::new() } else { layers.to_vec() };
        let untrained = self.search.score_cell(&self.search_labels, split, layers)?;
        let Some(tuned) = tuned else { return Ok(untrained) };
        let job = untrained.downcast_job::<ScoreJob>().expect("a score cell has a score job").clone();
        let restores_qk = model == HybridRestored;
        Cell::new(ScoreJob { tuned: Some(tuned.clone()), restores_qk, ..job }, untrained.labels)
    }

    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        let claim = RunningCell::claim_blocking::<FinetuneScoreResult>(context, &cell.spec, cell.to_line())?;
        let ClaimOutcome::Claimed(claimed) = claim else { return Ok(CompletedBy::OtherProcess) };
        let recorder = UsageRecorder::begin(vec![&claimed])?;
        let task = context.progress.start_task(&cell.to_line(), self.num_evaluations(), "evaluations");
        let task = task.with_recorder(&recorder)?;
        let scorer = HybridScorer { context, search: &self.search, task: &task };
        let layers = find_layers_of_hybrid(context.store, &self.hybrid.search, self.hybrid.choice)?;
        let (mut tokens, mut scores) = (0, Vec::new());
        for model in self.models() {
            let mut score = |split| -> Result<TestScore> {
                let cell = self.score_cell(model, split, &layers)?;
                let result = scorer.find_or_score(models, &cell)?;
                tokens += result.tokens;
                Ok(TestScore { score: result.score, cell: cell.id().clone() })
            };
            let (validation, test) = (score(Split::Validation)?, score(Split::Test)?);
            scores.push(ModelScores { model, validation, test });
        }
        let result = FinetuneScoreResult { layers, models: scores, tokens };
        let references = result.models.iter().map(|scores| scores.test.cell.clone()).collect();
        recorder.finish(0, &[], references, result)?;
        Ok(CompletedBy::ThisProcess)
    }

    fn num_evaluations(&self) -> u64 {
        2 * self.models().len() as u64
    }
}

impl Stage for FinetuneScoreJob {
    const NAME: StageName = StageName::new("finetune-score");
    const VERSION: u32 = 1;
    type Spec = FinetuneScoreSpec;
    type Output = FinetuneScoreResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<FinetuneScoreSpec> {
        let search = &self.search;
        Ok(FinetuneScoreSpec {
            base: search.base.spec_for_task(&search.task),
            validation: search.validation.clone(),
            test: search.test.clone(),
            restores_qk: self.restores_qk,
        })
    }

    fn inputs(&self) -> CellInputs {
        let mut inputs = self.search.base.inputs();
        inputs.insert("twins".to_owned(), self.search.twins.clone());
        inputs.insert("tuned-base".to_owned(), self.tuned_base.clone());
        inputs.insert("tuned".to_owned(), self.tuned.clone());
        let students = self.students.iter();
        inputs.extend(students.map(|one| (one.method.student_name().to_owned(), one.cell.clone())));
        inputs
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.search.base)
    }

    fn distinguishing_settings(&self) -> String {
        self.hybrid.choice.label()
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let (dtype, variant) = (self.search.base.dtype(), &self.search.variant);
        let weight_bytes = 2 * weight_bytes(config, dtype) + twin_bytes(config, variant, dtype);
        let peak_bytes = weight_bytes + twin_bytes(config, variant, Dtype::F32);
        let evaluations = self.num_evaluations();
        ResourceEstimate { evaluations, weight_bytes, peak_bytes, ..ResourceEstimate::default() }
    }

    fn count_work(&self, output: &FinetuneScoreResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: self.num_evaluations() }
    }

    /// Plans the fine-tuning of each chosen hybrid and of its base, the training of its students, and the
    /// cell that compares them.
    fn plan(point: &SweepPoint<'_>, planner: &mut Planner) -> Result<()> {
        for &choice in &point.manifest.finetune.hybrids {
            for search in SearchJob::cells_of_point(point, planner) {
                plan::plan_comparison(point, planner, &search, choice)?;
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

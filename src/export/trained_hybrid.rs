//! The hybrids of a sweep that were trained after their searches, by either stage.

use clap::ValueEnum;

use super::find_record;
use crate::plan::Plan;
use crate::stages::finetune_score::{ComparedModel, FinetuneScoreResult};
use crate::stages::tuned_score::TunedScoreResult;
use crate::stages::{Cell, FinetuneScoreJob, SearchJob, TunedScoreJob};
use crate::store::{CellId, Store};
use dtr_core::error::Result;

/// A kind of training after the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrainingKind {
    /// Logit distillation
    LogitDistil,
    /// Fine-tuning
    Finetune,
}

/// A hybrid that was trained after its search.
#[derive(Clone, Copy)]
pub(super) struct TrainedHybrid<'a> {
    /// The cell that scores the hybrid and its controls.
    pub cell: &'a Cell,
    job: TrainingJob<'a>,
}

#[derive(Clone, Copy)]
enum TrainingJob<'a> {
    LogitDistil(&'a TunedScoreJob),
    Finetune(&'a FinetuneScoreJob),
}

/// The layers of a trained hybrid, and the test scores of the hybrid and its controls by their names.
pub(super) struct TrainedScores {
    pub layers: Vec<u32>,
    pub scores: Vec<(&'static str, f64)>,
}

impl<'a> TrainedHybrid<'a> {
    /// Returns all trained hybrids of a plan.
    pub fn all(plan: &'a Plan) -> impl Iterator<Item = Self> {
        plan.cells.iter().filter_map(|cell| {
            let distilled = || cell.downcast_job().map(TrainingJob::LogitDistil);
            let job = cell.downcast_job().map(TrainingJob::Finetune).or_else(distilled)?;
            Some(Self { cell, job })
        })
    }

    pub fn kind(&self) -> TrainingKind {
        match self.job {
            TrainingJob::LogitDistil(_) => TrainingKind::LogitDistil,
            TrainingJob::Finetune(_) => TrainingKind::Finetune,
        }
    }

    /// Returns the name of the hybrid, such as `replaced=4`.
    pub fn label(&self) -> String {
        match self.job {
            TrainingJob::LogitDistil(job) => job.training.hybrid.label(),
            TrainingJob::Finetune(job) => job.hybrid.choice.label(),
        }
    }

    /// Returns the search of the hybrid.
    pub fn search(&self) -> &'a SearchJob {
        match self.job {
            TrainingJob::LogitDistil(job) => &job.search,
            TrainingJob::Finetune(job) => &job.search,
        }
    }

    /// Returns the cell of the search.
    pub fn search_cell(&self) -> &'a CellId {
        match self.job {
            TrainingJob::LogitDistil(job) => &job.training.search,
            TrainingJob::Finetune(job) => &job.hybrid.search,
        }
    }

    /// Returns the cell that trained the hybrid.
    pub fn training_cell(&self) -> &'a CellId {
        match self.job {
            TrainingJob::LogitDistil(job) => &job.tuned,
            TrainingJob::Finetune(job) => &job.tuned,
        }
    }

    /// Returns the recipe of the training as JSON.
    pub fn recipe_json(&self) -> String {
        let json = match self.job {
            TrainingJob::LogitDistil(job) => serde_json::to_string(&job.training.recipe),
            TrainingJob::Finetune(job) => serde_json::to_string(&job.training.recipe),
        };
        json.expect("settings are plain JSON")
    }

    /// Reads the scores.
    ///
    /// # Errors
    /// Fails if the scores are not computed yet. The hint names `sweep_command`.
    pub fn read_scores(&self, store: &Store, sweep_command: &str) -> Result<TrainedScores> {
        match self.job {
            TrainingJob::LogitDistil(_) => {
                let result = find_record::<TunedScoreResult>(store, self.cell, sweep_command)?.outcome;
                let names = ["base", "the hybrid before the last training", "this model"];
                let scores = result.scores().map(|score| score.score);
                Ok(TrainedScores { layers: result.layers, scores: names.into_iter().zip(scores).collect() })
            }
            TrainingJob::Finetune(_) => {
                let result = find_record::<FinetuneScoreResult>(store, self.cell, sweep_command)?.outcome;
                let scores = result.models.iter().map(|scores| (describe(scores.model), scores.test.score));
                Ok(TrainedScores { scores: scores.collect(), layers: result.layers })
            }
        }
    }
}

fn describe(model: ComparedModel) -> &'static str {
    match model {
        ComparedModel::Base => "base",
        ComparedModel::BaseFinetuned => "base, fine-tuned in the same way",
        ComparedModel::Hybrid => "the hybrid before any training",
        ComparedModel::HybridDistilled => "the hybrid after logit distillation",
        ComparedModel::HybridFinetuned => "this model",
        ComparedModel::HybridRestored => "this model with the queries and keys of the base",
        ComparedModel::Student(method) => method.student_name(),
    }
}

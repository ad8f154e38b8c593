//! Plans the trainings that are compared with the fine-tuning of a hybrid.

use super::{FinetuneScoreJob, Student};
use crate::algorithms::checkpoint_distil::{CheckpointDistilConfig, DistilMethod};
use crate::algorithms::finetune::FinetuneStart;
use crate::algorithms::tuning::HybridChoice;
use crate::stages::cell::{Cell, CellLabels};
use crate::stages::checkpoint_distil::{CheckpointDistilJob, Teacher};
use crate::stages::finetune::{FinetuneJob, FinetunedHybrid};
use crate::stages::logit_distil;
use crate::stages::planner::{Planner, SweepPoint};
use crate::stages::search::SearchJob;
use crate::store::CellId;
use dtr_core::error::Result;

/// Plans the fine-tuning of a hybrid of the search `cell` and of its base, the training of its students, and
/// the cell that compares them.
pub(super) fn plan_comparison(
    point: &SweepPoint<'_>,
    planner: &mut Planner,
    cell: &Cell,
    choice: HybridChoice,
) -> Result<()> {
    let search = cell.downcast_job::<SearchJob>().expect("the cell is a search").clone();
    let hybrid = find_hybrid(point, planner, cell, &search, choice)?;
    let labels = CellLabels { axes: point.axes.clone(), ..cell.labels.clone() };
    let finetuned_labels =
        CellLabels { axes: point.labels_of_finetunings(&labels.model).axes, ..labels.clone() };
    let students = StudentPlan::new(point, planner, cell, &search)?;
    let base_training = FinetuneJob::plan(point, planner, cell, &search, None)?;
    let own_checkpoints = match &students {
        Some(plan) if plan.teacher.training.base == search.base => plan.teacher.training.num_checkpoints,
        _ => 0,
    };
    let base_training = FinetuneJob { num_checkpoints: own_checkpoints, ..base_training };
    let tuned_base = planner.add_input_cell(Cell::new(base_training, base_labels(point, &labels))?);
    let training = FinetuneJob::plan(point, planner, cell, &search, Some(hybrid.clone()))?;
    let tuned = planner.add_input_cell(Cell::new(training.clone(), finetuned_labels)?);
    let students = match students.filter(|plan| plan.config.hybrids.contains(&choice)) {
        Some(plan) => plan.add_students(planner, &training, &hybrid, &tuned, &labels)?,
        None => Vec::new(),
    };
    let job = FinetuneScoreJob {
        search,
        search_labels: cell.labels.clone(),
        tuned_base,
        tuned,
        training,
        hybrid,
        restores_qk: point.manifest.finetune.restore_qk,
        students,
    };
    planner.add_result_cell(Cell::new(job, labels)?)
}

/// Returns the hybrid before the fine-tuning. Adds the cell that distils its logits, if the manifest asks for
/// it.
fn find_hybrid(
    point: &SweepPoint<'_>,
    planner: &mut Planner,
    cell: &Cell,
    search: &SearchJob,
    choice: HybridChoice,
) -> Result<FinetunedHybrid> {
    let distilled = match point.manifest.finetune.start {
        FinetuneStart::Search => None,
        FinetuneStart::LogitDistil => {
            let tuned = logit_distil::plan_tuned_hybrids(point, planner, cell, search)?;
            tuned.into_iter().find(|(_, job)| job.hybrid == choice).map(|(cell, _)| cell)
        }
    };
    Ok(FinetunedHybrid {
        variant: search.variant.clone(),
        twins: search.twins.clone(),
        search: cell.id().clone(),
        choice,
        distilled,
    })
}

/// Returns the labels of the cell that fine-tunes the base of a comparison with the labels `labels`.
fn base_labels(point: &SweepPoint<'_>, labels: &CellLabels) -> CellLabels {
    CellLabels { variant: None, axes: point.labels_of_twins(&labels.model).axes, ..labels.clone() }
}

/// The students of the hybrids of a search.
struct StudentPlan<'a> {
    config: &'a CheckpointDistilConfig,
    teacher: Teacher,
}

impl<'a> StudentPlan<'a> {
    /// Adds the cell of the teacher. Returns `None` if the manifest asks for no students.
    fn new(
        point: &SweepPoint<'a>,
        planner: &mut Planner,
        cell: &Cell,
        search: &SearchJob,
    ) -> Result<Option<Self>> {
        let config = &point.manifest.checkpoint_distil;
        if config.is_disabled() {
            return Ok(None);
        }
        let model = config.teacher.clone().unwrap_or_else(|| cell.labels.model.clone());
        let base = planner.plan_base(point, &model)?;
        let training = FinetuneJob::plan(point, planner, cell, search, None)?;
        let training = FinetuneJob { base, num_checkpoints: config.checkpoints, ..training };
        let labels = CellLabels { model: model.clone(), ..cell.labels.clone() };
        let cell = planner.add_input_cell(Cell::new(training.clone(), base_labels(point, &labels))?);
        Ok(Some(Self { config, teacher: Teacher { model, training, cell } }))
    }

    /// Adds a cell for each method. `training` is the fine-tuning of the same hybrid, and `tuned` is its
    /// cell.
    fn add_students(
        &self,
        planner: &mut Planner,
        training: &FinetuneJob,
        hybrid: &FinetunedHybrid,
        tuned: &CellId,
        labels: &CellLabels,
    ) -> Result<Vec<Student>> {
        let recipe = self.config.student_recipe(&training.recipe);
        let student = FinetuneJob { recipe, ..training.clone() };
        let add = |&method: &DistilMethod| {
            let job = CheckpointDistilJob {
                student: student.clone(),
                hybrid: hybrid.clone(),
                method,
                num_stages: self.config.stages,
                teacher: self.teacher.clone(),
                finetuned: method.is_weighted().then(|| tuned.clone()),
            };
            Ok(Student { method, cell: planner.add_input_cell(Cell::new(job, labels.clone())?) })
        };
        self.config.methods.iter().map(add).collect()
    }
}

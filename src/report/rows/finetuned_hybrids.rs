//! The rows of the table `finetuned_hybrids`.

use super::format_layers;
use crate::algorithms::finetune::{FinetuneResult, FinetunedParts};
use crate::report::columns::FinetunedHybridRow;
use crate::report::experiment_records::{ExperimentRecords, FinetunedHybridCell, TestAnswers};
use crate::report::paired::PairedScores;
use crate::report::score_interval::score_interval;
use crate::stages::finetune_score::{ComparedModel, ModelScores};
use crate::store::CellId;
use dtr_core::seed::Seed;

/// Returns the rows of the table `finetuned_hybrids`.
pub(in crate::report) fn finetuned_hybrid_rows(records: &ExperimentRecords) -> Vec<FinetunedHybridRow> {
    let mut cells: Vec<&FinetunedHybridCell> = records.finetuned_hybrids.iter().collect();
    let sort_key = |cell: &FinetunedHybridCell| {
        let (model, variant, task, axes) = cell.sort_key();
        let names = [model, variant, task].map(str::to_owned);
        (names, axes, cell.layers.len(), cell.job.hybrid.choice.label())
    };
    cells.sort_by_cached_key(|cell| sort_key(cell));
    let rows = |cell: &FinetunedHybridCell| -> Vec<FinetunedHybridRow> {
        let scored = cell.models.iter().zip(&cell.answers);
        scored.map(|(scores, answers)| row(cell, scores, answers, records.confidence)).collect()
    };
    cells.into_iter().flat_map(rows).collect()
}

/// A paired comparison of a model with another one.
struct Comparison {
    other: ComparedModel,
    difference: f64,
    interval: (f64, f64),
    p_value: f64,
}

impl Comparison {
    /// Compares `answers` with the answers of the model `other`, if there is one. `name` names the comparison.
    fn new(
        cell: &FinetunedHybridCell,
        answers: &TestAnswers,
        other: Option<ComparedModel>,
        confidence: f64,
        name: &str,
    ) -> Option<Self> {
        let other = other?;
        let paired = PairedScores::new(cell.answers_of(other)?, answers);
        let seed = Seed(0).child(&cell.key()).child(name);
        Some(Self {
            other,
            difference: paired.difference(),
            interval: paired.interval(confidence, seed),
            p_value: paired.p_value(),
        })
    }

    fn other_name(&self) -> String {
        self.other.name().to_owned()
    }
}

/// Returns the fine-tuning of a model and its cell, or `None` if the model was not fine-tuned.
fn training(cell: &FinetunedHybridCell, model: ComparedModel) -> Option<(&FinetuneResult, &CellId)> {
    match model {
        ComparedModel::Base | ComparedModel::Hybrid | ComparedModel::HybridDistilled => None,
        ComparedModel::BaseFinetuned => Some((&cell.base_training, &cell.job.tuned_base)),
        ComparedModel::HybridFinetuned | ComparedModel::HybridRestored => {
            Some((&cell.training, &cell.job.tuned))
        }
        ComparedModel::Student(method) => {
            let index = cell.job.students.iter().position(|student| student.method == method)?;
            Some((&cell.students.get(index)?.training, &cell.job.students[index].cell))
        }
    }
}

fn row(
    cell: &FinetunedHybridCell,
    scores: &ModelScores,
    answers: &TestAnswers,
    confidence: f64,
) -> FinetunedHybridRow {
    let (model, variant, task, axes) = cell.sort_key();
    let (p_test_low, p_test_high) = score_interval(&cell.job.search.task, answers, confidence);
    let compare = |other, part: &str| {
        let name = format!("{part}/{}", scores.model.name());
        Comparison::new(cell, answers, other, confidence, &name)
    };
    let gain = compare(cell.job.model_before(scores.model), "gain");
    let difference = compare(cell.job.control(scores.model), "difference");
    let training = training(cell, scores.model);
    let of_training = |value: fn(&FinetuneResult) -> u64| training.map(|(result, _)| value(result));
    FinetunedHybridRow {
        model: model.to_owned(),
        variant: variant.to_owned(),
        task: task.to_owned(),
        axes,
        hybrid: cell.job.hybrid.choice.label(),
        state: scores.model.name().to_owned(),
        train: match cell.job.training.recipe.train {
            FinetunedParts::Full(_) => "full".to_owned(),
            FinetunedParts::Lora(_) => "lora".to_owned(),
        },
        num_replaced: cell.layers.len() as u32,
        layers: format_layers(&cell.layers),
        num_layers: cell.training.num_layers,
        train_items: of_training(|result| result.num_items),
        tokens: of_training(|result| result.tokens),
        num_parameters: of_training(|result| result.num_parameters),
        loss_before: training.map(|(result, _)| result.initial_loss),
        loss_after: training.map(|(result, _)| result.best_loss()),
        best_epoch: training.map(|(result, _)| result.best_epoch),
        p_validation: scores.validation.score,
        p_test: answers.score,
        p_test_low,
        p_test_high,
        before: gain.as_ref().map(Comparison::other_name),
        gain: gain.as_ref().map(|gain| gain.difference),
        gain_low: gain.as_ref().map(|gain| gain.interval.0),
        gain_high: gain.as_ref().map(|gain| gain.interval.1),
        p_value_gain: gain.as_ref().map(|gain| gain.p_value),
        control: difference.as_ref().map(Comparison::other_name),
        difference: difference.as_ref().map(|difference| difference.difference),
        difference_low: difference.as_ref().map(|difference| difference.interval.0),
        difference_high: difference.as_ref().map(|difference| difference.interval.1),
        p_value: difference.as_ref().map(|difference| difference.p_value),
        items: answers.num_items,
        training_key: training.map(|(_, cell)| cell.key.to_string()),
        cell_key: cell.key(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_fine_tuned_hybrid_is_compared_with_itself_before_and_with_the_fine_tuned_base() {
        let mut records = fixture::records();
        records.finetuned_hybrids.truncate(1);
        records.finetuned_hybrids[0].answers =
            [140, 150, 130, 136].map(|correct| fixture::answers(correct, 200)).to_vec();
        let rows = finetuned_hybrid_rows(&records);
        let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
        assert_eq!(states, ["base", "base-finetuned", "hybrid", "hybrid-finetuned"]);
        let (base, tuned_base, hybrid, tuned) = (&rows[0], &rows[1], &rows[2], &rows[3]);
        assert_eq!((base.gain, base.difference, base.training_key.as_ref()), (None, None, None));
        assert!((tuned_base.gain.unwrap() - 5.0).abs() < 1e-9 && tuned_base.difference.is_none());
        assert_eq!(hybrid.control.as_deref(), Some("base"));
        assert!((hybrid.difference.unwrap() + 5.0).abs() < 1e-9 && hybrid.gain.is_none());
        assert_eq!(tuned.before.as_deref(), Some("hybrid"));
        assert_eq!(tuned.control.as_deref(), Some("base-finetuned"));
        assert!((tuned.gain.unwrap() - 3.0).abs() < 1e-9, "{tuned:?}");
        // Fourteen items became wrong in comparison with the fine-tuned base, and none became right.
        assert!((tuned.difference.unwrap() + 7.0).abs() < 1e-9);
        assert!((tuned.p_value.unwrap() - 2.0_f64.powi(-13)).abs() < 1e-12);
        assert!(tuned.loss_after < tuned.loss_before);
    }
}

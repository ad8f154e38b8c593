//! The table of the students of teachers' checkpoints.

use super::format::format_table;
use crate::algorithms::checkpoint_distil::DistilMethod;
use crate::report::columns::FinetunedHybridRow;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::paired::SIGNIFICANCE;
use crate::report::rows;

/// Returns the table with a line for each hybrid that became students. Returns an empty text if there are
/// none.
pub(super) fn students_text(records: &ExperimentRecords) -> String {
    let rows = rows::finetuned_hybrid_rows(records);
    let hybrids = rows.chunk_by(|a, b| a.cell_key == b.cell_key);
    let lines: Vec<Vec<String>> = hybrids.filter(|rows| is_student(rows)).map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let names = ["model", "task", "variant", "layers", "tuned", "plain", "scheduled", "weighted", "both"];
    let mut table = vec![names.map(str::to_owned).to_vec()];
    table.extend(lines);
    if rows.iter().all(|row| row.model == rows[0].model) {
        table.iter_mut().for_each(|line| drop(line.remove(0)));
    }
    format!(
        "{}\nTest scores in percent of a hybrid after fine-tuning without a teacher, and of\nits students of \
         checkpoints: plain, with the schedule of teachers, with adaptive\nweights, and with both.\n\
         * The difference from the plain student has p < {SIGNIFICANCE}.\n",
        format_table(&table)
    )
}

fn is_student(rows: &[FinetunedHybridRow]) -> bool {
    rows.iter().any(|row| DistilMethod::ALL.iter().any(|method| row.state == method.student_name()))
}

/// Returns the line of a hybrid. `rows` are the rows of its models.
fn line(rows: &[FinetunedHybridRow]) -> Vec<String> {
    let plain = DistilMethod::Plain.student_name();
    let score = |state: &str| {
        let Some(row) = rows.iter().find(|row| row.state == state) else { return "-".to_owned() };
        let is_compared = row.before.as_deref() == Some(plain);
        let is_significant = is_compared && row.p_value_gain.is_some_and(|p| p < SIGNIFICANCE);
        format!("{:.1}{}", 100.0 * row.p_test, if is_significant { "*" } else { "" })
    };
    let mut line = vec![
        rows[0].model.clone(),
        rows[0].task.clone(),
        rows[0].variant.clone(),
        rows[0].num_replaced.to_string(),
        score("hybrid-finetuned"),
    ];
    line.extend(DistilMethod::ALL.map(|method| score(method.student_name())));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::checkpoint_distil::CheckpointDistilResult;
    use crate::report::fixture;
    use crate::report::text::format::TERMINAL_WIDTH;
    use crate::stages::finetune_score::{ComparedModel, ModelScores, Student};
    use crate::stages::search::TestScore;

    /// Returns the records of the fixture's first hybrid with two students. The plain student answers 100 of
    /// 200 items, and the weighted one answers 130.
    fn records() -> ExperimentRecords {
        let mut records = fixture::records();
        records.finetuned_hybrids.truncate(1);
        let hybrid = &mut records.finetuned_hybrids[0];
        for (method, correct) in [(DistilMethod::Plain, 100), (DistilMethod::Weighted, 130)] {
            let answers = fixture::answers(correct, 200);
            let cell = answers.cell.clone();
            let score = TestScore { score: answers.score, cell: cell.clone() };
            let model = ComparedModel::Student(method);
            hybrid.cell.record.outcome.models.push(ModelScores {
                model,
                validation: score.clone(),
                test: score,
            });
            hybrid.cell.job.students.push(Student { method, cell });
            let training = hybrid.training.clone();
            hybrid.students.push(CheckpointDistilResult { training, teachers: Vec::new() });
            hybrid.answers.push(answers);
        }
        records
    }

    #[test]
    fn students_with_parts_of_the_method_are_compared_with_the_plain_student() {
        let records = records();
        let rows = rows::finetuned_hybrid_rows(&records);
        let [.., plain, weighted] = rows.as_slice() else { panic!("there are two students") };
        assert_eq!((plain.state.as_str(), plain.before.as_deref()), ("student-plain", Some("hybrid")));
        assert_eq!(weighted.before.as_deref(), Some("student-plain"));
        assert!((weighted.gain.unwrap() - 15.0).abs() < 1e-9, "{weighted:?}");
        assert_eq!(weighted.control.as_deref(), Some("base-finetuned"));
        assert_eq!(weighted.loss_after, Some(records.finetuned_hybrids[0].training.best_loss()));
        let text = students_text(&records);
        assert!(text.lines().all(|line| line.chars().count() <= TERMINAL_WIDTH), "{text}");
        let row = text.lines().nth(2).unwrap();
        assert!(row.ends_with("50.0          -     65.0*     -"), "{text}");
    }

    #[test]
    fn an_experiment_without_students_has_no_such_table() {
        assert_eq!(students_text(&fixture::records()), "");
    }
}

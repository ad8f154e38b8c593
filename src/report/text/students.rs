//! The table of the students of teachers' checkpoints.

use super::format::format_table;
use crate::algorithms::checkpoint_distil::DistilMethod;
use crate::report::columns::FinetunedHybridRow;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::paired::SIGNIFICANCE;
use crate::report::rows;

/// Returns the table with a line for each hybrid that became students. Returns an empty text if there are none.
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
        "{}\nTest scores in percent of a hybrid after fine-tuning without a teacher, and of its\nstudents of \
         checkpoints: with no part of the method, the schedule, the adaptive\nweights, and both.\n\
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

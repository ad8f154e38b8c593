//! The summary of an experiment for a terminal. The summary is 80 columns wide and has no colours.

mod bases;
mod distillations;
mod finetuned_hybrids;
mod format;
mod missing;
mod scores;
mod students;
mod throughput;
mod tuned_hybrids;

use super::report_data::ReportData;

/// Returns a text with test scores, distillation errors, throughput and missing cells. The lines of the text
/// have at most 80 characters.
pub fn summary_text(data: &ReportData<'_>) -> String {
    let records = data.records;
    let parts = [
        scores::scores_text(data),
        tuned_hybrids::tuned_hybrids_text(records),
        finetuned_hybrids::finetuned_hybrids_text(records),
        students::students_text(records),
        bases::bases_text(records),
        distillations::distillations_text(records),
        throughput::throughput_text(records),
        missing::missing_text(records),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::experiment_records::ExperimentRecords;
    use crate::report::fixture;

    fn text_of(records: &ExperimentRecords) -> String {
        summary_text(&ReportData::new(records))
    }

    #[test]
    fn text_fits_eighty_columns() {
        let mut records = fixture::records_of_size(3, 6, 12);
        records.searches[0].cell.labels.axes.insert("distil.token-budget".to_owned(), "100M".to_owned());
        let text = text_of(&records);
        assert!(text.lines().all(|line| line.chars().count() <= format::TERMINAL_WIDTH), "{text}");
        assert!(text.contains("(12 layers), distil.token-budget=100M"), "{text}");
    }

    #[test]
    fn text_does_not_depend_on_the_order_of_cells() {
        let records = fixture::records();
        assert_eq!(text_of(&records), text_of(&fixture::shuffled(records.clone())));
    }

    #[test]
    fn missing_cells_are_listed_with_the_command_that_computes_them() {
        let text = text_of(&fixture::records());
        assert!(text.contains("tiny-8 / jet / arc-easy (3f2a91c05d7e): never run\n"), "{text}");
        assert!(text.ends_with("hint: run `dtr sweep experiments/fixture.toml` to compute it\n"), "{text}");
    }

    #[test]
    fn an_experiment_without_results_has_no_summary() {
        assert_eq!(text_of(&ExperimentRecords::default()), "");
    }

    #[test]
    fn the_summary_has_this_layout() {
        insta::assert_snapshot!(text_of(&fixture::records()));
    }
}

//! Computes the rows of the table `published`: the entries of the paper's Table 1.

use crate::report::columns::PublishedRow;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::paper_match;
use crate::report::published::{self, PaperKey, PublishedScore};

/// Returns the rows of the table `published`, in the order of the paper. Returns no rows if the experiment
/// has none of the paper's bases.
pub(in crate::report) fn published_rows(records: &ExperimentRecords) -> Vec<PublishedRow> {
    let mut bases = records.searches.iter().filter_map(|search| search.published_base_name());
    if !bases.any(published::has_base) {
        return Vec::new();
    }
    let matched: Vec<String> = records
        .searches
        .iter()
        .filter_map(paper_match::matching_score)
        .map(PublishedScore::entry_name)
        .collect();
    published::table1_scores().iter().map(|score| row(score, &matched)).collect()
}

/// Returns the row of an entry of the paper's Table 1. `matched` has the name of the matching entry for each
/// search of the experiment that has a matching entry.
fn row(score: &PublishedScore, matched: &[String]) -> PublishedRow {
    let key = PaperKey { base: &score.base_model, block: &score.variant, task: &score.task };
    let speedup = published::find_speedup(key);
    let name = score.entry_name();
    PublishedRow {
        searches: matched.iter().filter(|matched| **matched == name).count() as u32,
        cell_paper: name,
        base_paper: score.base_model.clone(),
        block_paper: score.variant.clone(),
        task_paper: score.task.clone(),
        label_paper: score.paper_label.clone(),
        p_base_paper: score.p_base / 100.0,
        p_best_paper: score.p_best / 100.0,
        num_replaced_paper: score.num_replaced,
        p_opt_paper: speedup.map(|speedup| speedup.p_opt / 100.0),
        num_replaced_opt_paper: speedup.map(|speedup| speedup.num_replaced),
        speedup_paper: speedup.map(|speedup| speedup.speedup_ctx2048),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn an_entry_without_a_search_has_a_row() {
        let mut records = fixture::records_of_hub_base("Qwen2.5-1.5B");
        records.searches.retain(|search| (search.block_kind(), search.task()) != ("gla", "boolq"));
        let rows = published_rows(&records);
        assert_eq!(rows.len(), 162);
        let num_matched = rows.iter().filter(|row| row.searches == 1).count();
        assert_eq!(num_matched, 3 * 4 - 1);
        for lacking in
            ["Qwen2.5-1.5B/gla/boolq", "Qwen2.5-1.5B/jet/gsm8k", "Llama-3.1-8B-Instruct/jet/pubmedqa"]
        {
            let row = rows.iter().find(|row| row.cell_paper == lacking).unwrap();
            assert_eq!(row.searches, 0, "{lacking}");
        }
    }

    #[test]
    fn an_experiment_on_other_bases_has_no_rows() {
        assert_eq!(published_rows(&fixture::records_of_hub_base("mini")), []);
    }
}

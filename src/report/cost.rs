//! Computes the rows of the table `cost`: the time and energy of each search and of its distillation.

use super::columns::CostRow;
use super::derived_values::format_axes;
use super::experiment_records::{DistilCell, ExperimentRecords, SearchCell};
use super::paper_match;
use crate::stages::{PretrainJob, Stage};
use crate::store::{CellKey, Record};

/// Returns the rows of the table `cost`: one for each search whose distillation has a record.
pub(super) fn cost_rows(records: &ExperimentRecords) -> Vec<CostRow> {
    let rows = records.searches.iter().filter_map(|search| {
        let distillation = find_distillation(search, records)?;
        Some(row(search, distillation, records))
    });
    let mut rows: Vec<CostRow> = rows.collect();
    rows.sort_by(|a, b| {
        let name = |row: &CostRow| {
            (row.model.clone(), row.variant.clone(), row.task.clone(), row.axes.clone(), row.cell_key.clone())
        };
        name(a).cmp(&name(b))
    });
    rows
}

/// Returns the key of the cell that is the input of a search in this role, such as `twins`.
fn input_key(search: &SearchCell, role: &str) -> Option<CellKey> {
    search.record.spec.inputs.get(role).map(|input| input.key)
}

fn find_distillation<'a>(search: &SearchCell, records: &'a ExperimentRecords) -> Option<&'a DistilCell> {
    let key = input_key(search, "twins")?;
    records.distillations.iter().find(|distillation| distillation.record.key() == key)
}

fn row(search: &SearchCell, distillation: &DistilCell, records: &ExperimentRecords) -> CostRow {
    let base = search.record.spec.inputs.get("base").filter(|cell| cell.stage == PretrainJob::NAME);
    let pretraining =
        base.and_then(|base| records.work_counts.iter().find(|usage| usage.record.key() == base.key));
    let published = paper_match::matching_cost(search);
    let [distil_device, search_device] =
        [&distillation.record.provenance, &search.record.provenance].map(|provenance| &provenance.device);
    let device = match distil_device == search_device {
        true => search_device.clone(),
        false => format!("{distil_device} + {search_device}"),
    };
    let (distil_hours, search_hours) = (hours(&distillation.record), hours(&search.record));
    CostRow {
        model: search.labels.model.clone(),
        variant: search.variant().to_owned(),
        task: search.task().to_owned(),
        axes: format_axes(&search.labels.axes),
        device,
        pretrain_hours: pretraining.map(|usage| hours(&usage.record)),
        distil_hours,
        search_hours,
        total_hours: distil_hours + search_hours,
        distil_tokens: distillation.tokens,
        distil_rate: distillation.tokens as f64 / distillation.record.seconds.max(f64::MIN_POSITIVE),
        search_tokens: search.tokens,
        evaluations: search.evaluations,
        distil_energy: distillation.record.joules,
        search_energy: search.record.joules,
        distil_hours_paper: published.map(|cost| cost.bld_hours),
        search_hours_paper: published.map(|cost| cost.greedy_hours),
        cell_key: search.key(),
    }
}

fn hours<T>(record: &Record<T>) -> f64 {
    record.seconds / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_cost_of_a_search_includes_its_distillation() {
        let rows = cost_rows(&fixture::records());
        assert_eq!(rows.len(), 8);
        let row = &rows[0];
        assert_eq!((row.variant.as_str(), row.task.as_str()), ("gdn", "arc-easy"));
        assert_eq!((row.distil_hours, row.search_hours, row.total_hours), (2.0, 0.5, 2.5));
        assert_eq!((row.distil_rate, row.evaluations, row.pretrain_hours), (1000.0, 35, None));
        assert_eq!((row.distil_energy, row.search_energy), (Some(7.2e6), None));
        assert_eq!(row.device, "cuda + cpu");
    }
}

//! From what stages cost to the rows of `cost`, in their one canonical order.

use super::columns::CostRow;
use super::derived::format_axes;
use super::evidence::{CostEvidence, Evidence, StageEvidence};
use super::paper_match;

/// The rows of `cost`.
pub(super) fn cost_rows(evidence: &Evidence) -> Vec<CostRow> {
    let mut rows: Vec<CostRow> = evidence.costs.iter().map(|cost| row(cost, evidence)).collect();
    rows.sort_by(|a, b| {
        let name = |row: &CostRow| {
            (row.model.clone(), row.variant.clone(), row.task.clone(), row.axes.clone(), row.cell_key.clone())
        };
        name(a).cmp(&name(b))
    });
    rows
}

fn row(cost: &CostEvidence, evidence: &Evidence) -> CostRow {
    let found = evidence.searches.iter().find(|search| search.key == cost.key);
    let of_paper = found.and_then(paper_match::matching_cost);
    let (distil, search) = (&cost.distil, &cost.search);
    let device = match distil.device == search.device {
        true => search.device.clone(),
        false => format!("{} + {}", distil.device, search.device),
    };
    CostRow {
        model: search.model.clone(),
        variant: search.variant.clone().unwrap_or_default(),
        task: search.task.clone().unwrap_or_default(),
        axes: format_axes(&search.axes),
        device,
        pretrain_hours: cost.pretrain.as_ref().map(hours),
        distil_hours: hours(distil),
        search_hours: hours(search),
        total_hours: hours(distil) + hours(search),
        distil_tokens: distil.tokens,
        distil_rate: distil.tokens as f64 / distil.seconds.max(f64::MIN_POSITIVE),
        search_tokens: search.tokens,
        evaluations: search.evaluations,
        distil_energy: distil.joules,
        search_energy: search.joules,
        distil_hours_paper: of_paper.map(|cost| cost.bld_hours),
        search_hours_paper: of_paper.map(|cost| cost.greedy_hours),
        cell_key: cost.key.clone(),
    }
}

fn hours(stage: &StageEvidence) -> f64 {
    stage.seconds / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_hybrid_costs_its_twins_and_its_search() {
        let rows = cost_rows(&fixture::evidence());
        assert_eq!(rows.len(), 8);
        let row = &rows[0];
        assert_eq!((row.variant.as_str(), row.task.as_str()), ("gdn", "arc-easy"));
        assert_eq!((row.distil_hours, row.search_hours, row.total_hours), (2.0, 0.5, 2.5));
        assert_eq!((row.distil_rate, row.evaluations, row.pretrain_hours), (1000.0, 36, None));
        assert_eq!((row.distil_energy, row.search_energy), (Some(7.2e6), None));
        assert_eq!(row.device, "cuda + cpu");
    }
}

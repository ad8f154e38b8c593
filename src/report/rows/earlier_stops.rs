//! Computes the rows of the table `earlier_stops`: for each search, the hybrids that it would have accepted
//! last under stricter stop criteria.

use super::{format_layers, owned_labels, sorted_searches};
use crate::algorithms::search::EarlierStop;
use crate::report::columns::EarlierStopRow;
use crate::report::experiment_records::{ExperimentRecords, SearchCell, TestAnswers};
use crate::report::paired::PairedScores;
use crate::report::score_interval::score_interval;
use crate::stages::search::EarlierStopResult;
use dtr_core::seed::Seed;

/// Returns the rows of the table `earlier_stops`.
pub(in crate::report) fn earlier_stop_rows(records: &ExperimentRecords) -> Vec<EarlierStopRow> {
    let rows_of = |search: &SearchCell| {
        let stops = search.earlier_stops.iter().zip(&search.earlier_stop_answers);
        stops.map(|(stop, answers)| row(search, stop, answers, records.confidence)).collect::<Vec<_>>()
    };
    sorted_searches(records).into_iter().flat_map(rows_of).collect()
}

fn row(
    search: &SearchCell,
    stop: &EarlierStopResult,
    answers: &TestAnswers,
    confidence: f64,
) -> EarlierStopRow {
    let (model, variant, task, axes) = owned_labels(search);
    let (criterion, value) = match stop.criterion {
        EarlierStop::MaxRelativeDrop(drop) => ("max-relative-drop", drop),
        EarlierStop::ReplacedLayers(count) => ("replaced-layers", f64::from(count)),
    };
    let (p_hybrid_low, p_hybrid_high) = score_interval(&search.job.task, answers, confidence);
    let pairs = PairedScores::new(&search.base_answers, answers);
    let seed = Seed(0).child(&search.key()).child(&format!("{criterion}={value}"));
    let (difference_low, difference_high) = pairs.interval(confidence, seed);
    EarlierStopRow {
        model,
        variant,
        task,
        axes,
        criterion: criterion.to_owned(),
        value,
        num_replaced: stop.hybrid.layers.len() as u32,
        layers: format_layers(&stop.hybrid.layers),
        num_layers: search.num_layers,
        p_base: search.base_answers.score,
        p_hybrid: answers.score,
        p_hybrid_low,
        p_hybrid_high,
        difference: pairs.difference(),
        difference_low,
        difference_high,
        p_value: pairs.p_value(),
        validation_base: search.base,
        validation: stop.hybrid.validation,
        items: answers.num_items,
        cell_key: search.key(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_row_compares_the_hybrid_of_the_criterion_with_the_base() {
        let mut records = fixture::records();
        let search = &mut records.searches[0];
        search.base_answers = fixture::answers(140, 200);
        search.earlier_stop_answers[0] = fixture::answers(136, 200);
        search.earlier_stops[0].hybrid.layers = vec![3, 1];
        let (key, expected) = (search.key(), search.earlier_stops.len());
        let rows: Vec<_> =
            earlier_stop_rows(&records).into_iter().filter(|row| row.cell_key == key).collect();
        assert_eq!((rows.len(), expected), (2, 2));
        let row = &rows[0];
        assert_eq!((row.criterion.as_str(), row.value), ("max-relative-drop", 0.02));
        assert_eq!((row.layers.as_str(), row.num_replaced, row.p_hybrid), ("1,3", 2, 0.68));
        assert!((row.difference + 2.0).abs() < 1e-9, "{row:?}");
        // The base answers four items correctly that the hybrid answers incorrectly, so p = 2 / 2^4.
        assert!((row.p_value - 0.125).abs() < 1e-9, "{row:?}");
        assert_eq!((rows[1].criterion.as_str(), rows[1].num_replaced), ("replaced-layers", 1));
    }
}

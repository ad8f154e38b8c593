//! The rows of the table `tuned_hybrids`.

use super::format_layers;
use crate::algorithms::tuning::TrainedParts;
use crate::report::columns::TunedHybridRow;
use crate::report::experiment_records::{ExperimentRecords, TunedHybridCell};
use crate::report::paired::PairedScores;
use crate::report::score_interval::score_interval;
use dtr_core::seed::Seed;

/// Returns the rows of the table `tuned_hybrids`.
pub(in crate::report) fn tuned_hybrid_rows(records: &ExperimentRecords) -> Vec<TunedHybridRow> {
    let mut cells: Vec<&TunedHybridCell> = records.tuned_hybrids.iter().collect();
    let sort_key = |cell: &TunedHybridCell| {
        let (model, variant, task, axes) = cell.sort_key();
        let names = [model, variant, task].map(str::to_owned);
        (names, axes, cell.layers.len(), cell.job.training.hybrid.label())
    };
    cells.sort_by_cached_key(|cell| sort_key(cell));
    cells.into_iter().map(|cell| row(cell, records.confidence)).collect()
}

fn row(cell: &TunedHybridCell, confidence: f64) -> TunedHybridRow {
    let (model, variant, task, axes) = cell.sort_key();
    let [base, hybrid, tuned] = &cell.answers;
    let (p_tuned_low, p_tuned_high) = score_interval(&cell.job.search.task, tuned, confidence);
    let (gain, difference) = (PairedScores::new(hybrid, tuned), PairedScores::new(base, tuned));
    let seed = Seed(0).child(&cell.key());
    let (gain_low, gain_high) = gain.interval(confidence, seed.child("gain"));
    let (difference_low, difference_high) = difference.interval(confidence, seed.child("difference"));
    let (training, gap) = (&cell.training, base.score - hybrid.score);
    TunedHybridRow {
        model: model.to_owned(),
        variant: variant.to_owned(),
        task: task.to_owned(),
        axes,
        hybrid: cell.job.training.hybrid.label(),
        train: match cell.job.training.recipe.train {
            TrainedParts::Mixers => "mixers".to_owned(),
            TrainedParts::All(_) => "all".to_owned(),
        },
        num_replaced: cell.layers.len() as u32,
        layers: format_layers(&cell.layers),
        num_layers: training.num_layers,
        tokens: training.tokens,
        num_parameters: training.num_parameters,
        divergence_before: training.initial_divergence,
        divergence_after: training.final_divergence,
        p_base: base.score,
        p_hybrid: hybrid.score,
        p_tuned: tuned.score,
        p_tuned_low,
        p_tuned_high,
        gap_closed: (gap > 0.0).then(|| (tuned.score - hybrid.score) / gap),
        gain: gain.difference(),
        gain_low,
        gain_high,
        p_value_gain: gain.p_value(),
        difference: difference.difference(),
        difference_low,
        difference_high,
        p_value: difference.p_value(),
        items: tuned.num_items,
        training_key: cell.job.tuned.key.to_string(),
        cell_key: cell.key(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_row_compares_a_trained_hybrid_with_itself_before_and_with_the_base() {
        let mut records = fixture::records();
        records.tuned_hybrids.truncate(1);
        records.tuned_hybrids[0].answers = [140, 130, 136].map(|correct| fixture::answers(correct, 200));
        let rows = tuned_hybrid_rows(&records);
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.p_base, row.p_hybrid, row.p_tuned), (0.7, 0.65, 0.68));
        assert!((row.gap_closed.unwrap() - 0.6).abs() < 1e-9);
        assert!((row.gain - 3.0).abs() < 1e-9 && (row.difference + 2.0).abs() < 1e-9, "{row:?}");
        // Six items became right and none became wrong, so p = 2 / 2^6. Against the base, p = 2 / 2^4.
        assert!((row.p_value_gain - 0.031_25).abs() < 1e-9 && (row.p_value - 0.125).abs() < 1e-9);
        assert!(row.divergence_after < row.divergence_before);
    }

    #[test]
    fn a_hybrid_above_its_base_leaves_no_gap_to_close() {
        let mut records = fixture::records();
        records.tuned_hybrids[0].answers = [100, 101, 102].map(|correct| fixture::answers(correct, 200));
        assert!(tuned_hybrid_rows(&records).iter().any(|row| row.gap_closed.is_none()));
    }
}

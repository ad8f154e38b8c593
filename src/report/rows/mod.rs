//! Computes the rows of the tables from the records of an experiment. The rows are sorted, so they do not
//! depend on the order of the records.

mod earlier_stops;
mod finetuned_hybrids;
mod order_agreement;
mod paper_views;
mod published;
mod searches;
mod tuned_hybrids;

use super::columns::{BaseScoreRow, CellWorkRow, DistilledLayerRow, ItemRow, TrajectoryRow, TrialRow};
use super::derived_values::format_axes;
use super::experiment_records::{CellWorkCounts, DistilCell, ExperimentRecords, ScoreCell, SearchCell};
use super::paper_match;
use super::score_interval::score_interval;
use crate::algorithms::distil::LayerLoss;
use crate::algorithms::score::{ItemAnswer, ScoreResult};
use crate::algorithms::search::RoundWinner;
use crate::algorithms::search::Trial;
use crate::stages::CellLabels;
use crate::store::CellId;
pub(super) use earlier_stops::earlier_stop_rows;
pub(super) use finetuned_hybrids::finetuned_hybrid_rows;
pub(super) use order_agreement::agreement_rows;
pub(super) use paper_views::{build_table1, compute_hours_rows, speedup_rows};
pub(super) use published::published_rows;
pub(super) use searches::search_rows;
pub(super) use tuned_hybrids::tuned_hybrid_rows;

/// Returns the searches sorted by model, variant, task and axes.
pub(super) fn sorted_searches(records: &ExperimentRecords) -> Vec<&SearchCell> {
    let mut searches: Vec<_> = records.searches.iter().collect();
    searches.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    searches
}

/// Returns the distillations sorted by model, variant and axes.
pub(super) fn sorted_distillations(records: &ExperimentRecords) -> Vec<&DistilCell> {
    let mut distillations: Vec<_> = records.distillations.iter().collect();
    distillations.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    distillations
}

/// Returns the layers in ascending order, joined by commas.
pub(super) fn format_layers(layers: &[u32]) -> String {
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    layers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Returns the scores of bases that no search computed, sorted by model, task and axes. Only a sweep without
/// variants has such scores.
fn sorted_bases(records: &ExperimentRecords) -> Vec<&ScoreCell> {
    let mut bases: Vec<_> = records.bases.iter().collect();
    bases.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    bases
}

/// Returns the rows of the table `bases`.
pub(super) fn base_score_rows(records: &ExperimentRecords) -> Vec<BaseScoreRow> {
    let row = |base: &ScoreCell| {
        let (p_base_low, p_base_high) = score_interval(&base.job.task, base, records.confidence);
        BaseScoreRow {
            model: base.labels.model.clone(),
            task: base.task().to_owned(),
            axes: format_axes(&base.labels.axes),
            p_base: base.score,
            p_base_low,
            p_base_high,
            items: base.num_items,
            cell_key: base.key(),
        }
    };
    sorted_bases(records).into_iter().map(row).collect()
}

/// Returns the rows of the table `stages`.
pub(super) fn cell_work_rows(records: &ExperimentRecords) -> Vec<CellWorkRow> {
    let row = |stage: &CellWorkCounts| CellWorkRow {
        stage: stage.record.spec.id.stage.to_string(),
        model: stage.labels.model.clone(),
        variant: stage.labels.variant.clone(),
        task: stage.labels.task.clone(),
        axes: format_axes(&stage.labels.axes),
        seconds: stage.record.seconds,
        energy: stage.record.joules,
        tokens: stage.tokens,
        evaluations: stage.evaluations,
        device: stage.record.provenance.device.clone(),
        peak_memory_bytes: stage.record.provenance.peak_memory_bytes,
        cell_key: stage.key(),
    };
    let mut rows: Vec<_> = records.work_counts.iter().map(row).collect();
    rows.sort_by(|a, b| {
        let name = |row: &CellWorkRow| {
            (row.model.clone(), row.variant.clone(), row.task.clone(), row.axes.clone(), row.stage.clone())
        };
        name(a).cmp(&name(b)).then(a.cell_key.cmp(&b.cell_key))
    });
    rows
}

/// Returns the rows of the table `trajectories`.
pub(super) fn trajectory_rows(records: &ExperimentRecords) -> Vec<TrajectoryRow> {
    let rows_of = |search: &SearchCell| {
        let rounds = search.sorted_rounds();
        rounds.iter().map(|round| trajectory_row(search, round)).collect::<Vec<_>>()
    };
    sorted_searches(records).into_iter().flat_map(rows_of).collect()
}

fn trajectory_row(search: &SearchCell, round: &RoundWinner) -> TrajectoryRow {
    let (model, variant, task, axes) = owned_labels(search);
    let set = paper_match::matching_layer_set(search, round);
    let paper_layers = set.map(|set| set.layers());
    let shared = |of_paper: &Vec<u32>| of_paper.iter().filter(|layer| round.layers.contains(layer)).count();
    let by_chance =
        |of_paper: &Vec<u32>| (of_paper.len() * round.layers.len()) as f64 / f64::from(search.num_layers);
    TrajectoryRow {
        model,
        variant,
        task,
        axes,
        round: round.round,
        layer: round.layer,
        layers: format_layers(&round.layers),
        score: round.score,
        num_replaced: round.num_replaced,
        accepted: round.accepted,
        layers_paper: paper_layers.as_deref().map(format_layers),
        overlap_paper: paper_layers.as_ref().map(|layers| shared(layers) as u32),
        overlap_by_chance: paper_layers.as_ref().map(by_chance),
        score_paper: set.map(|set| set.accuracy / 100.0),
        cell_key: search.key(),
    }
}

/// Returns the rows of the table `trials`.
pub(super) fn trial_rows(records: &ExperimentRecords) -> Vec<TrialRow> {
    let rows_of = |search: &SearchCell| {
        let (model, variant, task, axes) = owned_labels(search);
        let row = move |trial: Trial| TrialRow {
            model: model.clone(),
            variant: variant.clone(),
            task: task.clone(),
            axes: axes.clone(),
            round: trial.round,
            layer: trial.layer,
            layers: format_layers(&trial.layers),
            score: trial.bounds.score(),
            score_lower: trial.bounds.lower,
            score_upper: trial.bounds.upper,
            cell_key: search.key(),
        };
        let mut trials = search.trials.clone();
        let sort_key = |trial: &Trial| (trial.round, trial.layer, trial.layers.clone());
        trials.sort_by_cached_key(sort_key);
        trials.into_iter().map(row).collect::<Vec<_>>()
    };
    sorted_searches(records).into_iter().flat_map(rows_of).collect()
}

/// Returns the rows of the table `items`: first the items of searches, and then the items of bases in a sweep
/// without variants.
pub(super) fn item_rows(records: &ExperimentRecords) -> Vec<ItemRow> {
    let mut rows = Vec::new();
    for search in sorted_searches(records) {
        for (system, test) in
            [("base", &search.base_answers), ("best", &search.best_answers), ("opt", &search.opt_answers)]
        {
            rows.extend(item_rows_of(&search.labels, system, test, &test.cell));
        }
    }
    for base in sorted_bases(records) {
        rows.extend(item_rows_of(&base.labels, "base", base, &base.record.spec.id));
    }
    rows
}

fn item_rows_of(labels: &CellLabels, system: &str, score: &ScoreResult, cell: &CellId) -> Vec<ItemRow> {
    let row = |item: &ItemAnswer| ItemRow {
        model: labels.model.clone(),
        variant: labels.variant.clone(),
        task: labels.task.clone().unwrap_or_default(),
        axes: format_axes(&labels.axes),
        system: system.to_owned(),
        item: item.id().to_owned(),
        label: item.as_choice().map(|answer| answer.label),
        choice: item.as_choice().map(|answer| answer.choice),
        text: item.as_text().map(|answer| answer.text.clone()),
        answer: item.as_text().map(|answer| answer.answer.clone()),
        score: item.score(),
        correct: item.is_correct(),
        log_likelihoods: item.log_likelihoods().to_vec(),
        cell_key: cell.key.to_string(),
    };
    let mut rows: Vec<_> = score.items.iter().map(row).collect();
    rows.sort_by(|a, b| a.item.cmp(&b.item));
    rows
}

/// Returns the rows of the table `distillation`.
pub(super) fn distilled_layer_rows(records: &ExperimentRecords) -> Vec<DistilledLayerRow> {
    let rows_of = |distillation: &DistilCell| {
        let mut layers = distillation.layers.clone();
        layers.sort_by_key(|layer| layer.layer);
        let row = |layer| distilled_layer_row(distillation, layer);
        layers.iter().map(row).collect::<Vec<_>>()
    };
    sorted_distillations(records).into_iter().flat_map(rows_of).collect()
}

fn distilled_layer_row(distillation: &DistilCell, layer: &LayerLoss) -> DistilledLayerRow {
    let normalised = layer.normalised_losses();
    DistilledLayerRow {
        model: distillation.labels.model.clone(),
        variant: distillation.variant().to_owned(),
        axes: format_axes(&distillation.labels.axes),
        layer: layer.layer,
        initial_loss: layer.initial,
        final_loss: layer.r#final,
        output_variance: layer.output_variance,
        initial_normalised: normalised.map(|(before, _)| before),
        final_normalised: normalised.map(|(_, after)| after),
        cell_key: distillation.key(),
    }
}

fn owned_labels(search: &SearchCell) -> (String, String, String, String) {
    let (model, variant, task, axes) = search.sort_key();
    (model.to_owned(), variant.to_owned(), task.to_owned(), axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_hybrid_of_ten_layers_is_compared_with_the_layer_set_of_the_paper() {
        let mut records = fixture::records_of_hub_base("Qwen2.5-1.5B");
        records.searches.retain(|search| search.block_kind() == "jet" && search.task() == "pubmedqa");
        // Of the first ten layers, the paper's greedy search for PubMedQA replaces all but 0, 1 and 2.
        records.searches[0].rounds = fixture::rounds(&[26, 0, 24, 1, 22, 2, 4, 19, 21, 8, 12]);
        let rows = trajectory_rows(&records);
        let compared: Vec<&TrajectoryRow> = rows.iter().filter(|row| row.overlap_paper.is_some()).collect();
        assert_eq!(compared.len(), 1);
        assert_eq!((compared[0].num_replaced, compared[0].overlap_paper), (10, Some(7)));
        assert_eq!(compared[0].layers_paper.as_deref(), Some("4,8,12,19,21,22,23,24,25,26"));
        assert_eq!(compared[0].overlap_by_chance, Some(100.0 / 28.0));
    }
}

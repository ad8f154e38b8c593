//! From evidence to the rows of the tables, each list in its one canonical order.

use super::columns::{BaseRow, DistillationRow, ItemRow, Table1Row, Table2Row, TrajectoryRow, TrialRow};
use super::evidence::{
    DistilEvidence, DistilledLayer, Evidence, ItemEvidence, Round, SearchEvidence, StageEvidence,
    TestEvidence,
};
use super::measures::axes_text;
use super::paired::p_value;
use crate::manifest::Splits;
use crate::stats::wilson;
use crate::store::Trial;

/// The searches, sorted by model, variant, task and axes.
pub(super) fn sorted_searches(evidence: &Evidence) -> Vec<&SearchEvidence> {
    let mut searches: Vec<_> = evidence.searches.iter().collect();
    searches.sort_by(|a, b| a.name().cmp(&b.name()));
    searches
}

/// The distillations, sorted by model, variant and axes.
pub(super) fn sorted_distillations(evidence: &Evidence) -> Vec<&DistilEvidence> {
    let mut distillations: Vec<_> = evidence.distillations.iter().collect();
    distillations.sort_by(|a, b| a.name().cmp(&b.name()));
    distillations
}

/// The rows of `table1`.
pub(super) fn table1(evidence: &Evidence) -> Vec<Table1Row> {
    let row = |search| table1_row(search, evidence.confidence);
    sorted_searches(evidence).into_iter().map(row).collect()
}

fn table1_row(search: &SearchEvidence, confidence: f64) -> Table1Row {
    let interval = |test: &TestEvidence| wilson(test.num_correct(), test.num_items(), confidence);
    let (base, best, opt) = (&search.base, &search.best, &search.opt);
    let (p_base_low, p_base_high) = interval(base);
    let (p_best_low, p_best_high) = interval(&best.test);
    let (p_opt_low, p_opt_high) = interval(&opt.test);
    Table1Row {
        model: search.model.clone(),
        variant: search.variant.clone(),
        task: search.task.clone(),
        axes: axes_text(&search.axes),
        p_base: base.score(),
        p_base_low,
        p_base_high,
        p_best: best.test.score(),
        p_best_low,
        p_best_high,
        num_replaced: best.layers.len() as u32,
        layers: layers_text(&best.layers),
        p_opt: opt.test.score(),
        p_opt_low,
        p_opt_high,
        num_replaced_opt: opt.layers.len() as u32,
        layers_opt: layers_text(&opt.layers),
        num_layers: search.num_layers,
        items: base.num_items(),
        truncated_items: base.num_truncated,
        p_value_best: p_value(base, &best.test),
        p_value_opt: p_value(base, &opt.test),
        matches_base: best.test.score() >= base.score(),
        validation_base: search.base_validation,
        validation_best: best.validation,
        validation_opt: opt.validation,
        validation_items: search.validation_items,
        splits: match search.shared_split {
            None => "own",
            Some(Splits::HeldOut) => "held-out",
            Some(Splits::AsPublished) => "as-published",
        }
        .to_owned(),
        evaluations: search.evaluations,
        key: search.key.clone(),
    }
}

/// Layers, ascending and joined by commas.
pub(super) fn layers_text(layers: &[u32]) -> String {
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    layers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// The rows of `bases`.
pub(super) fn bases(evidence: &Evidence) -> Vec<BaseRow> {
    let mut rows: Vec<BaseRow> = evidence
        .bases
        .iter()
        .map(|base| {
            let (correct, items) = (base.test.num_correct(), base.test.num_items());
            let (p_base_low, p_base_high) = wilson(correct, items, evidence.confidence);
            BaseRow {
                model: base.model.clone(),
                task: base.task.clone(),
                axes: axes_text(&base.axes),
                p_base: base.test.score(),
                p_base_low,
                p_base_high,
                items,
                cell: base.test.cell.clone(),
            }
        })
        .collect();
    rows.sort_by(|a, b| (&a.model, &a.task, &a.axes).cmp(&(&b.model, &b.task, &b.axes)));
    rows
}

/// The rows of `table2`.
pub(super) fn table2(evidence: &Evidence) -> Vec<Table2Row> {
    let row = |stage: &StageEvidence| Table2Row {
        stage: stage.stage.clone(),
        model: stage.model.clone(),
        variant: stage.variant.clone(),
        task: stage.task.clone(),
        axes: axes_text(&stage.axes),
        seconds: stage.seconds,
        energy: stage.joules,
        tokens: stage.tokens,
        evaluations: stage.evaluations,
        device: stage.device.clone(),
        peak_memory_bytes: stage.peak_memory_bytes,
        key: stage.key.clone(),
    };
    let mut rows: Vec<_> = evidence.stages.iter().map(row).collect();
    rows.sort_by(|a, b| {
        let name = |row: &Table2Row| {
            (row.model.clone(), row.variant.clone(), row.task.clone(), row.axes.clone(), row.stage.clone())
        };
        name(a).cmp(&name(b)).then(a.key.cmp(&b.key))
    });
    rows
}

/// The rows of `trajectories`.
pub(super) fn trajectories(evidence: &Evidence) -> Vec<TrajectoryRow> {
    let rows_of = |search: &SearchEvidence| {
        let (model, variant, task, axes) = owned_name(search);
        let row = move |round: Round| TrajectoryRow {
            model: model.clone(),
            variant: variant.clone(),
            task: task.clone(),
            axes: axes.clone(),
            round: round.round,
            layer: round.layer,
            layers: layers_text(&round.layers),
            score: round.score,
            num_replaced: round.num_replaced,
            accepted: round.accepted,
            key: search.key.clone(),
        };
        search.sorted_rounds().into_iter().map(row).collect::<Vec<_>>()
    };
    sorted_searches(evidence).into_iter().flat_map(rows_of).collect()
}

/// The rows of `trials`.
pub(super) fn trials(evidence: &Evidence) -> Vec<TrialRow> {
    let rows_of = |search: &SearchEvidence| {
        let (model, variant, task, axes) = owned_name(search);
        let row = move |trial: Trial| TrialRow {
            model: model.clone(),
            variant: variant.clone(),
            task: task.clone(),
            axes: axes.clone(),
            round: trial.round,
            layer: trial.layer,
            layers: layers_text(&trial.layers),
            score: trial.bounds.score(),
            at_least: trial.bounds.at_least,
            at_most: trial.bounds.at_most,
            key: search.key.clone(),
        };
        let mut trials = search.trials.clone();
        let place = |trial: &Trial| (trial.round, trial.layer, trial.layers.clone());
        trials.sort_by_cached_key(place);
        trials.into_iter().map(row).collect::<Vec<_>>()
    };
    sorted_searches(evidence).into_iter().flat_map(rows_of).collect()
}

/// The rows of `items`.
pub(super) fn items(evidence: &Evidence) -> Vec<ItemRow> {
    let mut rows = Vec::new();
    for search in sorted_searches(evidence) {
        for (system, test) in [("base", &search.base), ("best", &search.best.test), ("opt", &search.opt.test)]
        {
            rows.extend(item_rows(search, system, test));
        }
    }
    rows
}

fn item_rows(search: &SearchEvidence, system: &str, test: &TestEvidence) -> Vec<ItemRow> {
    let (model, variant, task, axes) = owned_name(search);
    let row = |item: &ItemEvidence| ItemRow {
        model: model.clone(),
        variant: variant.clone(),
        task: task.clone(),
        axes: axes.clone(),
        system: system.to_owned(),
        item: item.id.clone(),
        label: item.label,
        choice: item.choice,
        correct: item.is_correct(),
        log_likelihoods: item.log_likelihoods.clone(),
        cell: test.cell.clone(),
    };
    let mut rows: Vec<_> = test.items.iter().map(row).collect();
    rows.sort_by(|a, b| a.item.cmp(&b.item));
    rows
}

/// The rows of `distillation`.
pub(super) fn distillation(evidence: &Evidence) -> Vec<DistillationRow> {
    let rows_of = |distillation: &DistilEvidence| {
        let mut layers = distillation.layers.clone();
        layers.sort_by_key(|layer| layer.layer);
        let row = |layer| distillation_row(distillation, layer);
        layers.iter().map(row).collect::<Vec<_>>()
    };
    sorted_distillations(evidence).into_iter().flat_map(rows_of).collect()
}

fn distillation_row(distillation: &DistilEvidence, layer: &DistilledLayer) -> DistillationRow {
    let normalised = layer.normalised();
    DistillationRow {
        model: distillation.model.clone(),
        variant: distillation.variant.clone(),
        axes: axes_text(&distillation.axes),
        layer: layer.layer,
        initial_loss: layer.initial_loss,
        final_loss: layer.final_loss,
        output_variance: layer.output_variance,
        initial_normalised: normalised.map(|(before, _)| before),
        final_normalised: normalised.map(|(_, after)| after),
        key: distillation.key.clone(),
    }
}

fn owned_name(search: &SearchEvidence) -> (String, String, String, String) {
    let (model, variant, task, axes) = search.name();
    (model.to_owned(), variant.to_owned(), task.to_owned(), axes)
}

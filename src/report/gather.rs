//! From records to evidence: reads what the plan names, runs nothing.

use super::evidence::{
    BaseEvidence, ChosenEvidence, CurvePoint, DistilEvidence, DistilledLayer, Evidence, ItemEvidence,
    MissingCell, Round, SearchEvidence, StageEvidence, TestEvidence,
};
use crate::error::Result;
use crate::plan::{Cell, Plan, Work};
use crate::store::{
    Chosen, DistilResult, Found, Key, PretrainResult, Provenance, Record, ScoreResult, SearchResult, Stage,
    Store,
};

/// What the store knows of `plan`; `command` is what makes the missing cells.
pub fn gather(plan: &Plan, store: &Store, command: &str) -> Result<Evidence> {
    let mut evidence = Evidence {
        experiment: plan.name.clone(),
        title: plan.title.clone(),
        question: plan.question.clone(),
        command: command.to_owned(),
        confidence: plan.confidence,
        ..Evidence::default()
    };
    for cell in &plan.cells {
        let whole = match cell.stage {
            Stage::Pretrain => read(store, cell, |record: &Record<PretrainResult>, result| {
                let stage = stage(cell, record, result.tokens, 0);
                evidence.stages.push(stage);
                Ok(None)
            })?,
            Stage::Distil => read(store, cell, |record: &Record<DistilResult>, result| {
                evidence.stages.push(stage(cell, record, result.tokens, 0));
                evidence.distillations.push(distillation(cell, result));
                Ok(None)
            })?,
            Stage::Score => read(store, cell, |record: &Record<ScoreResult>, result| {
                evidence.stages.push(stage(cell, record, result.tokens, 1));
                evidence.bases.push(base(cell, result));
                Ok(None)
            })?,
            Stage::Search => read(store, cell, |record: &Record<SearchResult>, result| {
                evidence.stages.push(stage(cell, record, result.tokens, result.evaluations));
                let found = search(store, cell, result)?;
                let why = found.is_none().then(|| "the score of its base or hybrids is missing".to_owned());
                evidence.searches.extend(found);
                Ok(why)
            })?,
        };
        evidence.missing.extend(whole.map(|why| missing(cell, why)));
    }
    Ok(evidence)
}

/// Hands a cell's result to `take`; why the cell is missing, if it is.
fn read<T: serde::de::DeserializeOwned>(
    store: &Store,
    cell: &Cell,
    take: impl FnOnce(&Record<T>, &T) -> Result<Option<String>>,
) -> Result<Option<String>> {
    match store.find::<T>(cell.stage, &cell.key)? {
        Found::Done(record) => match record.result() {
            Some(result) => take(&record, result),
            None => unreachable!("a record found done has a result"),
        },
        Found::Failed(record) => Ok(Some(format!("failed: {}", record.error().unwrap_or_default()))),
        Found::Corrupt { why, .. } => Ok(Some(format!("its record is damaged: {why}"))),
        Found::Missing => Ok(Some("not done yet".to_owned())),
    }
}

fn missing(cell: &Cell, why: String) -> MissingCell {
    let labels = &cell.labels;
    MissingCell {
        model: labels.model.clone(),
        variant: labels.variant.clone().unwrap_or_default(),
        task: labels.task.clone().unwrap_or_default(),
        key: cell.key.to_string(),
        why,
    }
}

fn stage<T>(cell: &Cell, record: &Record<T>, tokens: u64, evaluations: u64) -> StageEvidence {
    let (labels, provenance) = (&cell.labels, &record.provenance);
    StageEvidence {
        stage: cell.stage.name().to_owned(),
        model: labels.model.clone(),
        variant: labels.variant.clone(),
        task: labels.task.clone(),
        axes: labels.axes.clone(),
        seconds: record.seconds,
        tokens,
        evaluations,
        device: provenance.device.clone(),
        program: program(provenance),
        machine: machine(provenance),
        finished: record.finished.clone(),
        peak_memory_bytes: provenance.peak_memory_bytes,
        key: cell.key.to_string(),
    }
}

/// `dtr 0.1.0 (revision 1a2b3c4, cuda)`.
fn program(provenance: &Provenance) -> String {
    let changed = if provenance.modified == Some(true) { ", modified" } else { "" };
    let revision = provenance.revision.iter().map(|revision| format!("revision {revision}{changed}"));
    let build: Vec<String> = revision.chain(provenance.features.iter().cloned()).collect();
    match build.as_slice() {
        [] => format!("dtr {}", provenance.version),
        build => format!("dtr {} ({})", provenance.version, build.join(", ")),
    }
}

/// `linux x86_64, 2 threads`.
fn machine(provenance: &Provenance) -> String {
    let threads = match provenance.threads {
        1 => "1 thread".to_owned(),
        many => format!("{many} threads"),
    };
    format!("{} {}, {threads}", provenance.host_os, provenance.host_arch)
}

fn base(cell: &Cell, result: &ScoreResult) -> BaseEvidence {
    BaseEvidence {
        model: cell.labels.model.clone(),
        task: cell.labels.task.clone().unwrap_or_default(),
        axes: cell.labels.axes.clone(),
        test: test(&cell.key, result),
    }
}

fn distillation(cell: &Cell, result: &DistilResult) -> DistilEvidence {
    let labels = &cell.labels;
    let layer = |loss: &crate::store::LayerLoss| DistilledLayer {
        layer: loss.layer,
        initial_loss: loss.initial,
        final_loss: loss.r#final,
        output_variance: loss.output_variance,
    };
    let point = |point: &crate::store::LayerCurvePoint| CurvePoint {
        step: point.step,
        tokens: point.tokens,
        losses: point.losses.clone(),
    };
    DistilEvidence {
        model: labels.model.clone(),
        variant: labels.variant.clone().unwrap_or_default(),
        axes: labels.axes.clone(),
        layers: result.layers.iter().map(layer).collect(),
        curve: result.curve.iter().map(point).collect(),
        tokens: result.tokens,
        num_parameters: result.num_parameters,
        key: cell.key.to_string(),
    }
}

/// A search with the answers of its three systems; none when one of those is missing.
fn search(store: &Store, cell: &Cell, result: &SearchResult) -> Result<Option<SearchEvidence>> {
    let answers = |key: &Key| -> Result<Option<TestEvidence>> {
        let Found::Done(record) = store.find::<ScoreResult>(Stage::Score, key)? else { return Ok(None) };
        let Some(result) = record.result() else { return Ok(None) };
        Ok(Some(test(key, result)))
    };
    let base = answers(&result.base_test.cell)?;
    let best = answers(&result.best.test.cell)?;
    let opt = answers(&result.opt.test.cell)?;
    let (Some(base), Some(best), Some(opt)) = (base, best, opt) else {
        return Ok(None);
    };
    let chosen = |chosen: &Chosen, test| ChosenEvidence {
        layers: chosen.layers.clone(),
        validation: chosen.validation,
        test,
    };
    let labels = &cell.labels;
    let found = SearchEvidence {
        model: labels.model.clone(),
        variant: labels.variant.clone().unwrap_or_default(),
        task: labels.task.clone().unwrap_or_default(),
        axes: labels.axes.clone(),
        num_layers: result.num_layers,
        base_validation: result.base,
        validation_items: result.validation_items,
        shared_split: match &cell.work {
            Work::Search(work) => work.task.shared_split(),
            _ => None,
        },
        threshold: result.threshold,
        trials: result.trials.clone(),
        rounds: result.rounds.iter().map(round).collect(),
        base,
        best: chosen(&result.best, best),
        opt: chosen(&result.opt, opt),
        evaluations: result.evaluations,
        key: cell.key.to_string(),
    };
    Ok(Some(found))
}

fn round(round: &crate::store::Round) -> Round {
    Round {
        round: round.round,
        layer: round.layer,
        layers: round.layers.clone(),
        score: round.score,
        num_replaced: round.num_replaced,
        accepted: round.accepted,
    }
}

fn test(key: &Key, result: &ScoreResult) -> TestEvidence {
    TestEvidence {
        cell: key.to_string(),
        num_truncated: result.num_truncated,
        items: result.items.iter().map(item).collect(),
    }
}

fn item(item: &crate::store::ItemScore) -> ItemEvidence {
    ItemEvidence {
        id: item.id.clone(),
        label: item.label,
        choice: item.choice,
        log_likelihoods: item.log_likelihoods.clone(),
    }
}

//! From records to evidence: reads what the plan names, runs nothing.

use std::collections::BTreeMap;

use super::evidence::{
    BaseEvidence, ChosenEvidence, CostEvidence, CurvePoint, DistilEvidence, DistilledLayer, Evidence,
    ItemEvidence, MissingCell, Round, SearchEvidence, StageEvidence, TestEvidence, TimingEvidence,
};
use crate::algorithms::distil::DistilResult;
use crate::algorithms::pretrain::PretrainResult;
use crate::algorithms::score::ScoreResult;
use crate::algorithms::throughput::{ThroughputResult, TimedRun};
use crate::plan::{Cell, Labels, Plan, Timing, Work};
use crate::stages::search::{Chosen, SearchResult};
use crate::store::{CellSpec, Key, Lookup, Provenance, Record, Stage, Store};
use dtr_core::error::Result;

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
    let known = match plan.of(Stage::Throughput).next() {
        Some(_) => store.cell_specs(Stage::Throughput)?,
        None => Vec::new(),
    };
    let mut spent: BTreeMap<Key, StageEvidence> = BTreeMap::new();
    for cell in &plan.cells {
        let whole = match cell.stage {
            Stage::Pretrain => read(store, cell, |record: &Record<PretrainResult>, result| {
                let stage = stage(cell, record, result.tokens, 0);
                spent.insert(cell.key, stage.clone());
                evidence.stages.push(stage);
                Ok(None)
            })?,
            Stage::Distil => read(store, cell, |record: &Record<DistilResult>, result| {
                let stage = stage(cell, record, result.tokens, 0);
                spent.insert(cell.key, stage.clone());
                evidence.stages.push(stage);
                evidence.distillations.push(distillation(cell, result));
                Ok(None)
            })?,
            Stage::Score => read(store, cell, |record: &Record<ScoreResult>, result| {
                evidence.stages.push(stage(cell, record, result.tokens, 1));
                evidence.bases.push(base(cell, result));
                Ok(None)
            })?,
            Stage::Search => read(store, cell, |record: &Record<SearchResult>, result| {
                let stage = stage(cell, record, result.tokens, result.evaluations);
                evidence.costs.extend(cost(cell, &stage, &spent));
                evidence.stages.push(stage);
                let found = search(plan, store, cell, result)?;
                let why = found.is_none().then(|| "the score of its base or hybrids is missing".to_owned());
                evidence.searches.extend(found);
                Ok(why)
            })?,
            Stage::Throughput => timings(store, cell, &known, &mut evidence)?,
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
        Lookup::Done(record) => match record.result() {
            Some(result) => take(&record, result),
            None => unreachable!("a record found done has a result"),
        },
        Lookup::Failed(record) => Ok(Some(format!("failed: {}", record.error().unwrap_or_default()))),
        Lookup::Corrupt { why, .. } => Ok(Some(format!("its record is damaged: {why}"))),
        Lookup::Missing => Ok(Some("not done yet".to_owned())),
    }
}

/// Adds what is known of a cell that times, on every machine; why it is missing, if none has timed it.
fn timings(
    store: &Store,
    cell: &Cell,
    known: &[CellSpec],
    evidence: &mut Evidence,
) -> Result<Option<String>> {
    let Work::Throughput(work) = &cell.work else { return Ok(None) };
    let (mut found, mut why) = (Vec::new(), Vec::new());
    for work in work.everywhere(known) {
        let base = Cell::throughput(work.of_base(), Labels::default())?;
        let base = match store.find::<ThroughputResult>(Stage::Throughput, &base.key)? {
            Lookup::Done(record) => record.result().map(|result| result.runs.clone()),
            _ => None,
        };
        let cell = Cell::throughput(work.clone(), cell.labels.clone())?;
        why.extend(read(store, &cell, |record: &Record<ThroughputResult>, result| {
            evidence.stages.push(stage(&cell, record, work.num_tokens(), 0));
            found.push(timing(&cell, &work, result, base));
            Ok(None)
        })?);
    }
    let why = if found.is_empty() { why.into_iter().next() } else { None };
    evidence.timings.extend(found);
    Ok(why)
}

fn timing(
    cell: &Cell,
    work: &Timing,
    result: &ThroughputResult,
    base: Option<Vec<TimedRun>>,
) -> TimingEvidence {
    let labels = &cell.labels;
    TimingEvidence {
        model: labels.model.clone(),
        variant: labels.variant.clone(),
        task: labels.task.clone(),
        axes: labels.axes.clone(),
        device: work.machine.device.clone(),
        threads: work.machine.threads as u64,
        num_layers: work.shape.num_layers as u32,
        layers: result.layers.clone(),
        context: work.context as u64,
        batch_size: work.batch_size as u64,
        new_tokens: work.recipe.new_tokens as u64,
        cache_bytes: result.cache_bytes,
        state_bytes: result.state_bytes,
        others: result.other_cpus,
        runs: result.runs.clone(),
        base,
        key: cell.key.to_string(),
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
        joules: record.joules,
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

/// What a search cost with all that it stands on, of which `spent` tells by cell; none where the twins' cost
/// is missing.
fn cost(cell: &Cell, search: &StageEvidence, spent: &BTreeMap<Key, StageEvidence>) -> Option<CostEvidence> {
    let of = |role: &str| cell.inputs.get(role).and_then(|key| spent.get(key)).cloned();
    let (distil, search) = (of("twins")?, search.clone());
    Some(CostEvidence { pretrain: of("base"), distil, search, key: cell.key.to_string() })
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
    let layer = |loss: &crate::algorithms::distil::LayerLoss| DistilledLayer {
        layer: loss.layer,
        initial_loss: loss.initial,
        final_loss: loss.r#final,
        output_variance: loss.output_variance,
    };
    let point = |point: &crate::algorithms::distil::LayerCurvePoint| CurvePoint {
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
fn search(plan: &Plan, store: &Store, cell: &Cell, result: &SearchResult) -> Result<Option<SearchEvidence>> {
    let Work::Search(work) = &cell.work else { unreachable!("a search's cell has a search's work") };
    let answers = |key: &Key| -> Result<Option<TestEvidence>> {
        let Lookup::Done(record) = store.find::<ScoreResult>(Stage::Score, key)? else { return Ok(None) };
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
    let block = match plan.cell(&work.twins).map(|cell| &cell.work) {
        Some(Work::Distil(work)) => work.variant.block.name(),
        _ => unreachable!("a plan has the cell of a search's twins"),
    };
    let found = SearchEvidence {
        model: labels.model.clone(),
        variant: labels.variant.clone().unwrap_or_default(),
        task: labels.task.clone().unwrap_or_default(),
        axes: labels.axes.clone(),
        public_base: work.base.public_name(&labels.model).map(str::to_owned),
        block: block.to_owned(),
        strategy: work.strategy.clone(),
        stop: work.stop.clone(),
        num_layers: result.num_layers,
        base_validation: result.base,
        validation_items: result.validation_items,
        shared_split: work.task.split_policy(),
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

fn round(round: &crate::algorithms::search::Round) -> Round {
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

fn item(item: &crate::algorithms::score::ItemScore) -> ItemEvidence {
    ItemEvidence {
        id: item.id.clone(),
        label: item.label,
        choice: item.choice,
        log_likelihoods: item.log_likelihoods.clone(),
    }
}

//! Reads the records that a plan names and collects them as the evidence of a report. Runs nothing.

use std::collections::BTreeMap;

use super::evidence::{
    BaseEvidence, ChosenEvidence, CostEvidence, CurvePoint, DistilEvidence, DistilledLayer, Evidence,
    ItemEvidence, MissingCell, Round, SearchEvidence, StageEvidence, TestEvidence, TimingEvidence,
};
use crate::algorithms::distil::DistilResult;
use crate::algorithms::score::ScoreResult;
use crate::algorithms::throughput::{ThroughputResult, TimedRun};
use crate::plan::Plan;
use crate::stages::search::{Chosen, SearchResult};
use crate::stages::{Cell, DistilJob, Labels, ScoreJob, SearchJob, ThroughputJob, Usage};
use crate::store::{CellId, Key, Lookup, Provenance, Record, Store};
use dtr_core::error::Result;

/// Collects the records of the cells of `plan`. `command` is the command that computes the missing ones.
///
/// # Errors
/// Fails if a record cannot be read.
pub fn gather(plan: &Plan, store: &Store, command: &str) -> Result<Evidence> {
    let mut evidence = Evidence {
        experiment: plan.name.clone(),
        title: plan.title.clone(),
        question: plan.question.clone(),
        command: command.to_owned(),
        confidence: plan.confidence,
        ..Evidence::default()
    };
    let mut spent: BTreeMap<Key, StageEvidence> = BTreeMap::new();
    for cell in &plan.cells {
        let mut reasons = Vec::new();
        let ended = if cell.job.measures_time() { store.ended_specs(cell.stage())? } else { Vec::new() };
        let elsewhere = cell.job.cells_on_other_machines(cell, &ended)?;
        let mut is_done = false;
        for cell in std::iter::once(cell).chain(&elsewhere) {
            match cell.job.find_usage(store, cell.id())? {
                Lookup::Done(record) => {
                    is_done = true;
                    let stage = stage(cell, &record);
                    evidence.costs.extend(cost(cell, &stage, &spent));
                    spent.insert(cell.key(), stage.clone());
                    evidence.stages.push(stage);
                    reasons.extend(add_output(store, cell, &mut evidence)?);
                }
                Lookup::Failed(record) => reasons.push(format!("failed: {}", record.outcome)),
                Lookup::Corrupt { reason, .. } => reasons.push(format!("its record is damaged: {reason}")),
                Lookup::Missing if is_done => {}
                Lookup::Missing => reasons.push("not done yet".to_owned()),
            }
        }
        // A timing is missing only if no machine has done it.
        if !is_done || !cell.job.measures_time() {
            evidence.missing.extend(reasons.into_iter().next().map(|reason| missing(cell, reason)));
        }
    }
    Ok(evidence)
}

/// Adds the output of a cell that is done. Returns the reason if another cell that it needs is missing.
fn add_output(store: &Store, cell: &Cell, evidence: &mut Evidence) -> Result<Option<String>> {
    let id = cell.id();
    if cell.job_of::<DistilJob>().is_some() {
        let record = store.find::<DistilResult>(id)?.done();
        evidence.distillations.extend(record.map(|record| distillation(cell, &record.outcome)));
    } else if cell.job_of::<ScoreJob>().is_some() {
        let record = store.find::<ScoreResult>(id)?.done();
        evidence.bases.extend(record.map(|record| base(cell, &record.outcome)));
    } else if let Some(job) = cell.job_of::<SearchJob>() {
        let Some(record) = store.find::<SearchResult>(id)?.done() else { return Ok(None) };
        let found = search(store, cell, job, &record.outcome)?;
        let reason = found.is_none().then(|| "the score of its base or hybrids is missing".to_owned());
        evidence.searches.extend(found);
        return Ok(reason);
    } else if let Some(job) = cell.job_of::<ThroughputJob>() {
        let of_base = Cell::new(job.of_base(), Labels::default())?;
        let of_base = store.find::<ThroughputResult>(of_base.id())?.done().map(|record| record.outcome.runs);
        let record = store.find::<ThroughputResult>(id)?.done();
        evidence.timings.extend(record.map(|record| timing(cell, job, &record.outcome, of_base)));
    }
    Ok(None)
}

fn timing(
    cell: &Cell,
    work: &ThroughputJob,
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
        num_layers: work.config.num_layers as u32,
        layers: result.layers.clone(),
        context: work.context as u64,
        batch_size: work.batch_size as u64,
        new_tokens: work.recipe.new_tokens as u64,
        cache_bytes: result.cache_bytes,
        state_bytes: result.state_bytes,
        others: result.other_cpus,
        runs: result.runs.clone(),
        base,
        key: cell.key().to_string(),
    }
}

fn missing(cell: &Cell, why: String) -> MissingCell {
    let labels = &cell.labels;
    MissingCell {
        model: labels.model.clone(),
        variant: labels.variant.clone().unwrap_or_default(),
        task: labels.task.clone().unwrap_or_default(),
        key: cell.key().to_string(),
        why,
    }
}

fn stage(cell: &Cell, record: &Record<Usage>) -> StageEvidence {
    let (labels, provenance) = (&cell.labels, &record.provenance);
    StageEvidence {
        stage: cell.stage().to_string(),
        model: labels.model.clone(),
        variant: labels.variant.clone(),
        task: labels.task.clone(),
        axes: labels.axes.clone(),
        seconds: record.seconds,
        joules: record.joules,
        tokens: record.outcome.tokens,
        evaluations: record.outcome.evaluations,
        device: provenance.device.clone(),
        program: program(provenance),
        machine: machine(provenance),
        finished: record.finished.clone(),
        peak_memory_bytes: provenance.peak_memory_bytes,
        key: cell.key().to_string(),
    }
}

/// Returns the cost of a search and its inputs, which `spent` holds by cell. A cell of another stage, and a search whose
/// twins have no record, has none.
fn cost(cell: &Cell, search: &StageEvidence, spent: &BTreeMap<Key, StageEvidence>) -> Option<CostEvidence> {
    cell.job_of::<SearchJob>()?;
    let of = |role: &str| cell.inputs().get(role).and_then(|input| spent.get(&input.key)).cloned();
    let (distil, search) = (of("twins")?, search.clone());
    Some(CostEvidence { pretrain: of("base"), distil, search, key: cell.key().to_string() })
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
        test: test(cell.id(), result),
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
        key: cell.key().to_string(),
    }
}

/// Returns a search with the answers of its base and hybrids on the test split, or `None` if one of these is missing.
fn search(
    store: &Store,
    cell: &Cell,
    job: &SearchJob,
    result: &SearchResult,
) -> Result<Option<SearchEvidence>> {
    let answers = |cell: &CellId| -> Result<Option<TestEvidence>> {
        Ok(store.find::<ScoreResult>(cell)?.done().map(|record| test(cell, &record.outcome)))
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
        public_base: job.base.public_name(&labels.model).map(str::to_owned),
        block: job.variant.block.name().to_owned(),
        strategy: job.strategy.clone(),
        stop: job.stop.clone(),
        num_layers: result.num_layers,
        base_validation: result.base,
        validation_items: result.validation_items,
        shared_split: job.task.split_policy(),
        threshold: result.threshold,
        trials: result.trials.clone(),
        rounds: result.rounds.iter().map(round).collect(),
        base,
        best: chosen(&result.best, best),
        opt: chosen(&result.opt, opt),
        evaluations: result.evaluations,
        key: cell.key().to_string(),
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

fn test(cell: &CellId, result: &ScoreResult) -> TestEvidence {
    TestEvidence {
        cell: cell.key.to_string(),
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

//! Simulated records for tests: a base, and greedy searches over it.
//!
//! Each item has a margin, and is answered correctly if the margin is positive. Each replaced layer shifts
//! the margins of all items.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::path::PathBuf;

use rand_distr::{Distribution, StandardNormal};

use super::experiment_records::{
    CellUsage, DistilCell, ExperimentRecords, MissingCell, ScoreCell, SearchCell, StoredCell, TestAnswers,
    TimingCell,
};
use crate::algorithms::distil::{DistilConfig, DistilResult, LayerCurvePoint, LayerLoss};
use crate::algorithms::score::{ItemScore, ScoreBounds, ScoreResult};
use crate::algorithms::search::{Round, SearchStrategy, StopCriterion, Trial};
use crate::algorithms::throughput::{ThroughputConfig, ThroughputResult, TimedRun};
use crate::data;
use crate::data::{Choices, CorpusSource, FileTask, Metric, SplitPolicy, SyntheticCorpus, Task, TaskSource};
use crate::device::HardwareLabel;
use crate::hub::{PinnedRepo, RepoKind};
use crate::manifest::Dtype;
use crate::stages::search::{ChosenHybrid, SearchResult, TestScore};
use crate::stages::throughput::ReplacedLayers;
use crate::stages::{
    BaseSource, CorpusIdentity, DistilJob, Labels, ModelIdentity, PretrainJob, ScoreJob, SearchJob, Stage,
    TaskIdentity, ThroughputJob, Usage,
};
use crate::store::{CellId, CellSpec, FORMAT, Inputs, Provenance, Record, StageName};
use dtr_core::seed::Seed;
use dtr_model::{
    BlockConfig, DecoderConfig, DecoderShape, GdnConfig, GeometryConfig, GlaConfig, JetConfig, TwinInit,
    Variant,
};

const MODEL: &str = "tiny-8";
const VARIANTS: [&str; 3] = ["gla", "gdn", "jet"];
const TASKS: [&str; 12] = [
    "arc-easy",
    "boolq",
    "commonsense-qa",
    "pubmedqa",
    "arc-challenge",
    "hellaswag",
    "openbookqa",
    "piqa",
    "winogrande",
    "mathqa",
    "econometrics",
    "marketing",
];
const VALIDATION_ITEMS: usize = 300;
const TEST_ITEMS: usize = 200;

/// Returns records of two variants on four tasks, for a base of eight layers. One cell is missing.
pub(super) fn records() -> ExperimentRecords {
    sized(2, 4, 8)
}

/// Returns records of the first `num_variants` variants on the first `num_tasks` tasks, for a base of
/// `num_layers` layers.
pub(super) fn sized(num_variants: usize, num_tasks: usize, num_layers: u32) -> ExperimentRecords {
    let variants = &VARIANTS[..num_variants];
    let pairs =
        variants.iter().flat_map(|variant| TASKS[..num_tasks].iter().map(move |task| (*variant, *task)));
    let searches: Vec<SearchCell> = pairs.map(|(variant, task)| search(variant, task, num_layers)).collect();
    ExperimentRecords {
        experiment: "fixture".to_owned(),
        title: "Which layers can go linear at no loss?".to_owned(),
        question: None,
        command: "dtr sweep experiments/fixture.toml".to_owned(),
        confidence: 0.95,
        bases: Vec::new(),
        distillations: variants.iter().map(|variant| distillation(variant, num_layers)).collect(),
        timings: variants.iter().flat_map(|variant| timings(variant, num_layers)).collect(),
        usages: searches.iter().map(usage).collect(),
        searches,
        missing: vec![MissingCell {
            labels: labels("jet", Some("arc-easy")),
            key: format!("3f2a91c05d7e{}", "0".repeat(52)).parse().unwrap(),
            reason: "never run".to_owned(),
        }],
    }
}

/// Returns records of all variants on four tasks, for a base that publications call `base`.
pub(super) fn of_paper(base: &str) -> ExperimentRecords {
    let mut records = sized(3, 4, 28);
    for search in &mut records.searches {
        let repo = PinnedRepo { kind: RepoKind::Model, id: base.to_owned(), commit: String::new() };
        search.cell.job.base = directory(ModelIdentity::Hub(repo));
    }
    records
}

/// Returns answers, of which the first `num_correct` are correct.
pub(super) fn answers(num_correct: usize, num_items: usize) -> TestAnswers {
    let item = |index: usize| ItemScore {
        id: format!("item-{index:04}"),
        label: 0,
        choice: u32::from(index >= num_correct),
        log_likelihoods: vec![-1.0, -2.0],
    };
    test_answers("score", (0..num_items).map(item).collect())
}

/// Returns the answers to `items`, in the score cell `name`.
pub(super) fn test_answers(name: &str, items: Vec<ItemScore>) -> TestAnswers {
    let num_correct = items.iter().filter(|item| item.is_correct()).count() as u64;
    let num_items = items.len() as u64;
    let score = num_correct as f64 / num_items.max(1) as f64;
    let result = ScoreResult { score, num_items, num_correct, num_truncated: 0, tokens: 0, items };
    TestAnswers { cell: cell_id(&ScoreJob::NAME, name), result }
}

/// Returns the score cell of a search's base, as in a sweep without variants.
pub(super) fn base_score(search: &SearchCell) -> ScoreCell {
    let task = search.job.task.clone();
    let job = ScoreJob {
        base: search.job.base.clone(),
        twins: None,
        identity: search.job.test.clone(),
        task,
        split: data::Split::Test,
        layers: Vec::new(),
    };
    let labels = Labels { variant: None, ..search.labels.clone() };
    stored(labels, job, "base", Inputs::new(), search.base_answers.result.clone())
}

/// Returns a base that the sweep trains.
pub(super) fn trained_base() -> BaseSource {
    BaseSource::Trained { cell: cell_id(&PretrainJob::NAME, "base"), config: config(8) }
}

/// Returns the identity of the cell `name`.
pub(super) fn cell_id(stage: &StageName, name: &str) -> CellId {
    CellSpec::new(stage.clone(), 1, &name, Inputs::new()).unwrap().id
}

fn directory(identity: ModelIdentity) -> BaseSource {
    BaseSource::Directory { folder: PathBuf::new(), identity, dtype: Dtype::F32, config_copy: None }
}

fn config(num_layers: u32) -> DecoderConfig {
    let architecture = DecoderShape {
        hidden_size: 32,
        intermediate_size: 64,
        num_layers: num_layers as usize,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        tokenizer: None,
    };
    architecture.llama_config(100, 128)
}

fn variant_of(name: &str) -> Variant {
    let block = match name {
        "gla" => BlockConfig::Gla(GlaConfig::default()),
        "gdn" => BlockConfig::Gdn(GdnConfig::default()),
        _ => BlockConfig::Jet(JetConfig::default()),
    };
    Variant { block, geometry: GeometryConfig::default(), init: TwinInit::Random }
}

fn labels(variant: &str, task: Option<&str>) -> Labels {
    Labels {
        model: MODEL.to_owned(),
        variant: Some(variant.to_owned()),
        task: task.map(str::to_owned),
        axes: BTreeMap::new(),
    }
}

/// Returns the record of the cell `name`, which took 1.5 s on a processor.
fn stored<S: Stage>(
    labels: Labels,
    job: S,
    name: &str,
    inputs: Inputs,
    outcome: S::Output,
) -> StoredCell<S, S::Output> {
    let provenance = Provenance {
        version: "0.1.0".to_owned(),
        revision: None,
        modified: None,
        features: Vec::new(),
        host_os: "linux".to_owned(),
        host_arch: "x86_64".to_owned(),
        peak_memory_bytes: None,
        ..Provenance::of_this_process("cpu", 2)
    };
    let spec = CellSpec { id: cell_id(&S::NAME, name), version: 1, spec: name.into(), inputs };
    let record = Record {
        format: FORMAT,
        spec,
        artifacts: BTreeMap::new(),
        references: Vec::new(),
        seconds: 1.5,
        joules: None,
        finished: "2026-01-02T03:04:05Z".to_owned(),
        provenance,
        outcome,
    };
    StoredCell { labels, job, record }
}

fn usage(search: &SearchCell) -> CellUsage {
    let usage = Usage { tokens: search.tokens, evaluations: search.evaluations };
    StoredCell { labels: search.labels.clone(), job: (), record: search.record.clone().map(|_| usage) }
}

impl<J, T> DerefMut for StoredCell<J, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.record.outcome
    }
}

impl DerefMut for SearchCell {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cell
    }
}

/// Returns the rounds of a greedy search that replaced the layers in this order. All rounds are accepted.
pub(super) fn rounds(order: &[u32]) -> Vec<Round> {
    let round = |index: usize| Round {
        round: index as u32 + 1,
        layer: Some(order[index]),
        layers: order[..=index].to_vec(),
        score: 0.5,
        num_replaced: index as u32 + 1,
        accepted: true,
    };
    (0..order.len()).map(round).collect()
}

/// Returns the same records with every list in another order.
pub(super) fn shuffled(mut records: ExperimentRecords) -> ExperimentRecords {
    for search in &mut records.searches {
        search.trials.reverse();
        search.rounds.reverse();
        search.best.layers.reverse();
        search.opt_answers.result.items.reverse();
    }
    for distillation in &mut records.distillations {
        // The curve's losses are in the order of the layers, so both are reversed.
        distillation.layers.reverse();
        distillation.curve.iter_mut().for_each(|point| point.losses.reverse());
        distillation.curve.reverse();
    }
    records.searches.reverse();
    records.distillations.reverse();
    records.timings.reverse();
    records.usages.reverse();
    records.missing.reverse();
    records
}

/// Returns normally distributed numbers that depend only on `name`.
fn noise(name: &str, count: usize) -> Vec<f64> {
    let mut rng = Seed(7).child(name).rng();
    (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// The margins of the items of a split, and the shift of the margins by each replaced layer.
struct Split {
    base: Vec<f64>,
    shifts: Vec<Vec<f64>>,
}

impl Split {
    fn new(variant: &str, task: &str, split: &str, num_items: usize, num_layers: u32) -> Self {
        let level = 0.6 + 0.3 * noise(task, 1)[0];
        let base = noise(&format!("{task}/{split}"), num_items).iter().map(|x| x + level).collect();
        let layer_shifts = |layer| {
            let early = f64::from(num_layers - layer) / f64::from(num_layers);
            let mean = 0.05 - 0.25 * early * noise(&format!("{task}/{layer}"), 1)[0].abs();
            let shifts = noise(&format!("{variant}/{task}/{split}/{layer}"), num_items);
            shifts.iter().map(|x| 0.25 * x + mean).collect()
        };
        Self { base, shifts: (0..num_layers).map(layer_shifts).collect() }
    }

    fn margins(&self, replaced: &[u32]) -> Vec<f64> {
        let mut margins = self.base.clone();
        for layer in replaced {
            margins
                .iter_mut()
                .zip(&self.shifts[*layer as usize])
                .for_each(|(margin, shift)| *margin += shift);
        }
        margins
    }

    fn score(&self, replaced: &[u32]) -> f64 {
        let margins = self.margins(replaced);
        margins.iter().filter(|margin| **margin > 0.0).count() as f64 / margins.len() as f64
    }

    fn test(&self, replaced: &[u32]) -> TestAnswers {
        let item = |(index, margin): (usize, &f64)| {
            let label = index as u32 % 4;
            let mut log_likelihoods = vec![-12.0, -11.5, -13.0, -12.5];
            log_likelihoods[label as usize] = -11.0;
            if *margin <= 0.0 {
                log_likelihoods[(label as usize + 1) % 4] = -11.0 - margin;
            }
            let choice = if *margin > 0.0 { label } else { (label + 1) % 4 };
            ItemScore { id: format!("item-{index:04}"), label, choice, log_likelihoods }
        };
        let items = self.margins(replaced).iter().enumerate().map(item).collect();
        test_answers(&format!("score-{replaced:?}"), items)
    }
}

fn search(variant: &str, task: &str, num_layers: u32) -> SearchCell {
    let validation = Split::new(variant, task, "validation", VALIDATION_ITEMS, num_layers);
    let test = Split::new(variant, task, "test", TEST_ITEMS, num_layers);
    let base_validation = validation.score(&[]);
    let threshold = 0.95 * base_validation;
    let (trials, rounds) = greedy(&validation, num_layers, threshold);
    let accepted: Vec<Round> = rounds.iter().filter(|round| round.accepted).cloned().collect();
    let chosen = |num_replaced: usize| {
        let layers: Vec<u32> = accepted[..num_replaced].iter().filter_map(|round| round.layer).collect();
        let answers = test.test(&layers);
        let score = TestScore { score: answers.score, cell: answers.cell.clone() };
        (ChosenHybrid { validation: validation.score(&layers), test: score, layers }, answers)
    };
    let mut num_best = 0;
    for (index, round) in accepted.iter().enumerate() {
        if round.score >= chosen(num_best).0.validation {
            num_best = index + 1;
        }
    }
    let base_answers = test.test(&[]);
    let (best, best_answers) = chosen(num_best);
    let (opt, opt_answers) = chosen(accepted.len());
    let result = SearchResult {
        num_layers,
        validation_items: VALIDATION_ITEMS as u32,
        base: base_validation,
        threshold: Some(threshold),
        impacts: None,
        evaluations: trials.len() as u64,
        trials,
        rounds,
        best,
        opt,
        base_test: TestScore { score: base_answers.score, cell: base_answers.cell.clone() },
        tokens: 300_000,
    };
    let twins = cell_id(&DistilJob::NAME, &format!("distil-{variant}"));
    let inputs = Inputs::from([("twins".to_owned(), twins.clone())]);
    let name = format!("search-{variant}-{task}");
    let mut cell = stored(labels(variant, Some(task)), search_job(variant, twins), &name, inputs, result);
    // The search takes half an hour, on another device than the distillation of two hours.
    cell.record.seconds = 1800.0;
    SearchCell { cell, base_answers, best_answers, opt_answers }
}

fn search_job(variant: &str, twins: CellId) -> SearchJob {
    let task = Task {
        source: TaskSource::File(FileTask {
            validation: Some("hf://datasets/owner/name@main/validation.jsonl".to_owned()),
            test: "hf://datasets/owner/name@main/test.jsonl".to_owned(),
            splits: SplitPolicy::default(),
            validation_items: None,
            test_items: None,
            prompt: String::new(),
            continuation: None,
            choices: Choices::Fixed(Vec::new()),
            label: String::new(),
            metric: Metric::default(),
        }),
    };
    let identity = |split| TaskIdentity::of(&task, split).unwrap();
    SearchJob {
        base: directory(ModelIdentity::Files { files: BTreeMap::new() }),
        variant: variant_of(variant),
        twins,
        validation: identity(data::Split::Validation),
        test: identity(data::Split::Test),
        task,
        strategy: SearchStrategy::Greedy {},
        stop: StopCriterion::MaxRelativeDrop(0.05),
        prune: false,
    }
}

fn greedy(split: &Split, num_layers: u32, threshold: f64) -> (Vec<Trial>, Vec<Round>) {
    let (mut trials, mut rounds) = (Vec::new(), Vec::new());
    let mut replaced = Vec::new();
    for round in 1..=num_layers {
        let mut winner: Option<Trial> = None;
        for layer in (0..num_layers).filter(|layer| !replaced.contains(layer)) {
            let candidate: Vec<u32> = replaced.iter().copied().chain([layer]).collect();
            let bounds = ScoreBounds::exactly(split.score(&candidate));
            let trial = Trial { round, layer: Some(layer), layers: candidate, bounds };
            trials.push(trial.clone());
            if winner.as_ref().is_none_or(|best| bounds.lower > best.bounds.lower) {
                winner = Some(trial);
            }
        }
        let Trial { layer, layers, bounds: ScoreBounds { lower: score, .. }, .. } =
            winner.expect("a layer is left to try");
        let accepted = score >= threshold;
        rounds.push(Round { round, layer, layers: layers.clone(), score, num_replaced: round, accepted });
        if !accepted {
            break;
        }
        replaced = layers;
    }
    (trials, rounds)
}

fn distillation(variant: &str, num_layers: u32) -> DistilCell {
    let spread = noise(variant, 3 * num_layers as usize);
    let layers: Vec<LayerLoss> = (0..num_layers)
        .map(|layer| {
            let draw = &spread[3 * layer as usize..];
            let output_variance = 0.02 * 1.2_f64.powi(layer as i32);
            let initial = 0.9 * (0.15 * draw[0]).exp();
            let last = 0.05 * (0.5 * draw[1] + 0.04 * f64::from(layer)).exp();
            LayerLoss {
                layer,
                initial: initial * output_variance,
                r#final: last * output_variance,
                output_variance,
            }
        })
        .collect();
    let curve_point = |step: u64| {
        let progress = (step - 1) as f64 / 40.0;
        let at =
            |layer: &LayerLoss| layer.r#final + (layer.initial - layer.r#final) * (-8.0 * progress).exp();
        LayerCurvePoint { step, tokens: step * 250_000, losses: layers.iter().map(at).collect() }
    };
    let result = DistilResult {
        tokens: 7_200_000,
        steps: 40,
        num_parameters: 1_234_567,
        curve: (1..=40).map(curve_point).collect(),
        layers,
    };
    let corpus = CorpusSource::Synthetic(SyntheticCorpus { language_seed: Seed(0), seed: Seed(0) });
    let job = DistilJob {
        base: directory(ModelIdentity::Files { files: BTreeMap::new() }),
        variant: variant_of(variant),
        recipe: DistilConfig::default(),
        corpus_identity: CorpusIdentity::of(&corpus).unwrap(),
        corpus,
    };
    let name = format!("distil-{variant}");
    let mut cell = stored(labels(variant, None), job, &name, Inputs::new(), result);
    (cell.record.seconds, cell.record.joules) = (7200.0, Some(7.2e6));
    cell.record.provenance.device = "cuda".to_owned();
    cell
}

/// Returns timings of a base and of hybrids of a variant, at two contexts. Only the first variant has the
/// timings of the base.
fn timings(variant: &str, num_layers: u32) -> Vec<TimingCell> {
    let runs = |speedup: f64| {
        [1.0, 1.1, 1.2].map(|decode| TimedRun { prefill: 0.5 * decode, decode: decode / speedup }).to_vec()
    };
    let timing = |context: u64, num_replaced: u32| {
        let layers: Vec<u32> = (0..num_replaced).collect();
        let job = ThroughputJob {
            config: config(num_layers),
            variant: (num_replaced > 0).then(|| variant_of(variant)),
            layers: ReplacedLayers::Fixed(layers.clone()),
            context: context as usize,
            batch_size: 2,
            recipe: ThroughputConfig { new_tokens: 16, ..ThroughputConfig::default() },
            machine: HardwareLabel { device: "cpu".to_owned(), threads: 2 },
        };
        let result = ThroughputResult {
            layers,
            cache_bytes: context * u64::from(num_layers - num_replaced),
            state_bytes: u64::from(num_replaced),
            other_cpus: Some(if context == 512 { 0.02 } else { 1.25 }),
            runs: runs(1.0 + f64::from(num_replaced) * context as f64 / 5120.0),
        };
        let variant_label = (num_replaced > 0).then(|| variant.to_owned());
        let labels = Labels { variant: variant_label, ..labels(variant, None) };
        let name = format!("throughput-{variant}-{context}-{num_replaced}");
        TimingCell { cell: stored(labels, job, &name, Inputs::new(), result), base_runs: Some(runs(1.0)) }
    };
    let first = u32::from(variant != VARIANTS[0]);
    let counts = (first..=num_layers).filter(|count| count.is_multiple_of(4) || *count == num_layers);
    counts.flat_map(|count| [512, 2048].map(|context| timing(context, count))).collect()
}

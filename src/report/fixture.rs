//! Evidence that no experiment made: a simulated base whose items are won or lost by margins that each
//! replaced layer shifts, searched greedily as a real one would be.

use std::collections::BTreeMap;

use rand_distr::{Distribution, StandardNormal};

use super::evidence::{
    ChosenEvidence, CostEvidence, CurvePoint, DistilEvidence, DistilledLayer, Evidence, ItemEvidence,
    MissingCell, Round, SearchEvidence, StageEvidence, TestEvidence, TimingEvidence,
};
use crate::algorithms::score::ScoreBounds;
use crate::algorithms::search::Trial;
use crate::algorithms::search::{SearchStrategy, StopCriterion};
use crate::algorithms::throughput::TimedRun;
use dtr_core::seed::Seed;

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

/// Two variants on four tasks, eight layers; one cell is missing.
pub(super) fn evidence() -> Evidence {
    sized(2, 4, 8)
}

/// The first `num_variants` variants on the first `num_tasks` tasks, of a model of `num_layers` layers.
pub(super) fn sized(num_variants: usize, num_tasks: usize, num_layers: u32) -> Evidence {
    let variants = &VARIANTS[..num_variants];
    let pairs =
        variants.iter().flat_map(|variant| TASKS[..num_tasks].iter().map(move |task| (*variant, *task)));
    Evidence {
        experiment: "fixture".to_owned(),
        title: "Which layers can go linear at no loss?".to_owned(),
        question: None,
        command: "dtr sweep experiments/fixture.toml".to_owned(),
        confidence: 0.95,
        bases: Vec::new(),
        searches: pairs.clone().map(|(variant, task)| search(variant, task, num_layers)).collect(),
        distillations: variants.iter().map(|variant| distillation(variant, num_layers)).collect(),
        timings: variants.iter().flat_map(|variant| timings(variant, num_layers)).collect(),
        costs: pairs.clone().map(|(variant, task)| cost(variant, task)).collect(),
        stages: pairs.map(|(variant, task)| stage(variant, task)).collect(),
        missing: vec![MissingCell {
            model: MODEL.to_owned(),
            variant: "jet".to_owned(),
            task: "arc-easy".to_owned(),
            key: "3f2a91c05d7e".to_owned(),
            why: "never run".to_owned(),
        }],
    }
}

/// All variants on four tasks, of a model that the public knows as `base`.
pub(super) fn of_paper(base: &str) -> Evidence {
    let mut evidence = sized(3, 4, 28);
    evidence.searches.iter_mut().for_each(|search| search.public_base = Some(base.to_owned()));
    evidence
}

/// Answers of which the first `num_correct` are right.
pub(super) fn answers(num_correct: usize, num_items: usize) -> TestEvidence {
    let item = |index: usize| ItemEvidence {
        id: format!("item-{index:04}"),
        label: 0,
        choice: u32::from(index >= num_correct),
        log_likelihoods: vec![-1.0, -2.0],
    };
    TestEvidence { cell: "score".to_owned(), num_truncated: 0, items: (0..num_items).map(item).collect() }
}

/// Rounds of a greedy search that replaced these layers in this order, all accepted.
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

/// The same evidence with every list in another order.
pub(super) fn shuffled(mut evidence: Evidence) -> Evidence {
    for search in &mut evidence.searches {
        search.trials.reverse();
        search.rounds.reverse();
        search.best.layers.reverse();
        search.opt.test.items.reverse();
    }
    for distillation in &mut evidence.distillations {
        // The curve's losses are in the order of the layers, so both turn round.
        distillation.layers.reverse();
        distillation.curve.iter_mut().for_each(|point| point.losses.reverse());
        distillation.curve.reverse();
    }
    evidence.searches.reverse();
    evidence.distillations.reverse();
    evidence.timings.reverse();
    evidence.costs.reverse();
    evidence.stages.reverse();
    evidence.missing.reverse();
    evidence
}

/// Numbers around 0 that depend on `name` alone.
fn noise(name: &str, count: usize) -> Vec<f64> {
    let mut rng = Seed(7).child(name).rng();
    (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// By how much each item of one split is won (positive) or lost, with a set of layers replaced.
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

    fn test(&self, replaced: &[u32]) -> TestEvidence {
        let item = |(index, margin): (usize, &f64)| {
            let label = index as u32 % 4;
            let mut log_likelihoods = vec![-12.0, -11.5, -13.0, -12.5];
            log_likelihoods[label as usize] = -11.0;
            if *margin <= 0.0 {
                log_likelihoods[(label as usize + 1) % 4] = -11.0 - margin;
            }
            let choice = if *margin > 0.0 { label } else { (label + 1) % 4 };
            ItemEvidence { id: format!("item-{index:04}"), label, choice, log_likelihoods }
        };
        let items = self.margins(replaced).iter().enumerate().map(item).collect();
        TestEvidence { cell: format!("score-{replaced:?}"), num_truncated: 0, items }
    }
}

fn search(variant: &str, task: &str, num_layers: u32) -> SearchEvidence {
    let validation = Split::new(variant, task, "validation", VALIDATION_ITEMS, num_layers);
    let test = Split::new(variant, task, "test", TEST_ITEMS, num_layers);
    let base_validation = validation.score(&[]);
    let threshold = 0.95 * base_validation;
    let (trials, rounds) = greedy(&validation, num_layers, threshold);
    let accepted: Vec<Round> = rounds.iter().filter(|round| round.accepted).cloned().collect();
    let chosen = |num_replaced: usize| {
        let layers: Vec<u32> = accepted[..num_replaced].iter().filter_map(|round| round.layer).collect();
        ChosenEvidence { validation: validation.score(&layers), test: test.test(&layers), layers }
    };
    let mut num_best = 0;
    for (index, round) in accepted.iter().enumerate() {
        if round.score >= chosen(num_best).validation {
            num_best = index + 1;
        }
    }
    SearchEvidence {
        model: MODEL.to_owned(),
        variant: variant.to_owned(),
        task: task.to_owned(),
        axes: BTreeMap::new(),
        public_base: Some(MODEL.to_owned()),
        block: variant.to_owned(),
        strategy: SearchStrategy::Greedy {},
        stop: StopCriterion::MaxRelativeDrop(0.05),
        num_layers,
        base_validation,
        validation_items: VALIDATION_ITEMS as u32,
        shared_split: None,
        threshold: Some(threshold),
        evaluations: trials.len() as u64,
        trials,
        base: test.test(&[]),
        best: chosen(num_best),
        opt: chosen(accepted.len()),
        rounds,
        key: format!("search-{variant}-{task}"),
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

fn distillation(variant: &str, num_layers: u32) -> DistilEvidence {
    let spread = noise(variant, 3 * num_layers as usize);
    let layers: Vec<DistilledLayer> = (0..num_layers)
        .map(|layer| {
            let draw = &spread[3 * layer as usize..];
            let output_variance = 0.02 * 1.2_f64.powi(layer as i32);
            let initial = 0.9 * (0.15 * draw[0]).exp();
            let last = 0.05 * (0.5 * draw[1] + 0.04 * f64::from(layer)).exp();
            DistilledLayer {
                layer,
                initial_loss: initial * output_variance,
                final_loss: last * output_variance,
                output_variance,
            }
        })
        .collect();
    let curve_point = |step: u64| {
        let progress = (step - 1) as f64 / 40.0;
        let at = |layer: &DistilledLayer| {
            layer.final_loss + (layer.initial_loss - layer.final_loss) * (-8.0 * progress).exp()
        };
        CurvePoint { step, tokens: step * 250_000, losses: layers.iter().map(at).collect() }
    };
    DistilEvidence {
        model: MODEL.to_owned(),
        variant: variant.to_owned(),
        axes: BTreeMap::new(),
        curve: (1..=40).map(curve_point).collect(),
        layers,
        tokens: 10_000_000,
        num_parameters: 1_234_567,
        key: format!("distil-{variant}"),
    }
}

/// A base, which belongs to the first variant, and hybrids of a variant, at two contexts.
fn timings(variant: &str, num_layers: u32) -> Vec<TimingEvidence> {
    let runs = |speedup: f64| {
        [1.0, 1.1, 1.2].map(|decode| TimedRun { prefill: 0.5 * decode, decode: decode / speedup }).to_vec()
    };
    let timing = |context: u64, num_replaced: u32| TimingEvidence {
        model: MODEL.to_owned(),
        variant: (num_replaced > 0).then(|| variant.to_owned()),
        task: None,
        axes: BTreeMap::new(),
        device: "cpu".to_owned(),
        threads: 2,
        num_layers,
        layers: (0..num_replaced).collect(),
        context,
        batch_size: 2,
        new_tokens: 16,
        cache_bytes: context * u64::from(num_layers - num_replaced),
        state_bytes: u64::from(num_replaced),
        others: Some(if context == 512 { 0.02 } else { 1.25 }),
        runs: runs(1.0 + f64::from(num_replaced) * context as f64 / 5120.0),
        base: Some(runs(1.0)),
        key: format!("throughput-{variant}-{context}-{num_replaced}"),
    };
    let first = u32::from(variant != VARIANTS[0]);
    let counts = (first..=num_layers).filter(|count| count.is_multiple_of(4) || *count == num_layers);
    counts.flat_map(|count| [512, 2048].map(|context| timing(context, count))).collect()
}

/// Two hours of distillation on another device than half an hour of search.
fn cost(variant: &str, task: &str) -> CostEvidence {
    let distil = StageEvidence {
        stage: "distil".to_owned(),
        task: None,
        seconds: 7200.0,
        joules: Some(7.2e6),
        tokens: 7_200_000,
        evaluations: 0,
        device: "cuda".to_owned(),
        ..stage(variant, task)
    };
    let search = StageEvidence { seconds: 1800.0, ..stage(variant, task) };
    CostEvidence { pretrain: None, distil, search, key: format!("search-{variant}-{task}") }
}

fn stage(variant: &str, task: &str) -> StageEvidence {
    StageEvidence {
        stage: "search".to_owned(),
        model: MODEL.to_owned(),
        variant: Some(variant.to_owned()),
        task: Some(task.to_owned()),
        axes: BTreeMap::new(),
        seconds: 12.5,
        joules: None,
        tokens: 300_000,
        evaluations: 36,
        device: "cpu".to_owned(),
        program: "dtr 0.1.0".to_owned(),
        machine: "linux x86_64, 2 threads".to_owned(),
        finished: "2026-01-02T03:04:05Z".to_owned(),
        peak_memory_bytes: None,
        key: format!("search-{variant}-{task}"),
    }
}

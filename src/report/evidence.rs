//! What a report is made from: plain values, filled by whoever read them.
//!
//! A report never runs anything, and nothing here says where a number came from beyond the key of the
//! cell that holds it. The order of the lists does not matter: every table and figure sorts what it shows.

use std::collections::BTreeMap;

use crate::algorithms::search::Trial;
use crate::algorithms::search::{SearchStrategy, StopCriterion};
use crate::algorithms::throughput::TimedRun;
use crate::data::SplitPolicy;

/// Everything that an experiment's report may say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Name of the experiment.
    pub experiment: String,
    /// What the experiment asks, in a few words; the heading of tables and figures.
    pub title: String,
    /// The question that the experiment asks, where its manifest says one.
    pub question: Option<String>,
    /// The command that makes the missing cells.
    pub command: String,
    /// Confidence of every interval, for example 0.95.
    pub confidence: f64,
    /// The searches that have ended.
    pub searches: Vec<SearchEvidence>,
    /// The bases that were scored without any variant beside them.
    pub bases: Vec<BaseEvidence>,
    /// The distillations that have ended.
    pub distillations: Vec<DistilEvidence>,
    /// What was timed, on every machine that did.
    pub timings: Vec<TimingEvidence>,
    /// What each search cost, with all that it stands on.
    pub costs: Vec<CostEvidence>,
    /// What each stage cost.
    pub stages: Vec<StageEvidence>,
    /// The cells that the experiment names and that are not there.
    pub missing: Vec<MissingCell>,
}

/// A base on a task's test split.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseEvidence {
    /// Name of the base model.
    pub model: String,
    /// Name of the task.
    pub task: String,
    /// Value of each further sweep axis, by its dotted key.
    pub axes: BTreeMap<String, String>,
    /// The base on the test split.
    pub test: TestEvidence,
}

/// One search: which layers of a base can go linear on a task.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchEvidence {
    /// Name of the base model.
    pub model: String,
    /// Name of the linear variant.
    pub variant: String,
    /// Name of the task.
    pub task: String,
    /// Value of each further sweep axis, by its dotted key.
    pub axes: BTreeMap<String, String>,
    /// What the public knows the base by; none for a base that was trained here.
    pub public_base: Option<String>,
    /// Kind of the variant's linear block.
    pub block: String,
    /// How layers were chosen for replacement.
    pub strategy: SearchStrategy,
    /// When the search was to stop.
    pub stop: StopCriterion,
    /// Number of layers of the base.
    pub num_layers: u32,
    /// Score of the base on the validation split, a fraction.
    pub base_validation: f64,
    /// Number of items of the validation split.
    pub validation_items: u32,
    /// How they and the test items share one split; none where each has its own.
    pub shared_split: Option<SplitPolicy>,
    /// Validation score under which the search stopped; none if it went on to the last layer.
    pub threshold: Option<f64>,
    /// Every candidate that the search scored.
    pub trials: Vec<Trial>,
    /// The candidate that won each round.
    pub rounds: Vec<Round>,
    /// The base on the test split.
    pub base: TestEvidence,
    /// The hybrid with the highest validation score, `M_best`.
    pub best: ChosenEvidence,
    /// The hybrid with most linear layers that the threshold allows, `M_opt`.
    pub opt: ChosenEvidence,
    /// Number of times a hybrid was scored.
    pub evaluations: u64,
    /// Key of the search's cell.
    pub key: String,
}

/// The winner of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Round, from 1.
    pub round: u32,
    /// The layer that the winner replaces beside those of the round before, from 0; none where it does not
    /// replace all of these.
    pub layer: Option<u32>,
    /// All layers that the winner replaces, from 0.
    pub layers: Vec<u32>,
    /// Validation score of the winner, a fraction.
    pub score: f64,
    /// Number of linear layers of the hybrid with that score.
    pub num_replaced: u32,
    /// Whether the winner was accepted; if not, the search ended here.
    pub accepted: bool,
}

/// A hybrid that the search chose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChosenEvidence {
    /// The replaced layers, from 0.
    pub layers: Vec<u32>,
    /// Validation score, a fraction.
    pub validation: f64,
    /// The hybrid on the test split.
    pub test: TestEvidence,
}

/// One system's answers on the test split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestEvidence {
    /// Key of the cell that scored it.
    pub cell: String,
    /// Items whose beginning was cut to fit the base's context.
    pub num_truncated: u64,
    /// The answer to each item.
    pub items: Vec<ItemEvidence>,
}

/// One system's answer to one item.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemEvidence {
    /// Name of the item within its task.
    pub id: String,
    /// Index of the right option.
    pub label: u32,
    /// Index of the option that the system chose.
    pub choice: u32,
    /// Log-likelihood of each option, in nats, as the choice compared them.
    pub log_likelihoods: Vec<f64>,
}

/// One distillation: the linear twins of one variant for every layer of a base.
#[derive(Clone, Debug, PartialEq)]
pub struct DistilEvidence {
    /// Name of the base model.
    pub model: String,
    /// Name of the linear variant.
    pub variant: String,
    /// Value of each further sweep axis, by its dotted key.
    pub axes: BTreeMap<String, String>,
    /// What each layer's twin learned.
    pub layers: Vec<DistilledLayer>,
    /// The losses over the course of training.
    pub curve: Vec<CurvePoint>,
    /// Number of tokens trained on.
    pub tokens: u64,
    /// Number of trained parameters, all layers together.
    pub num_parameters: u64,
    /// Key of the distillation's cell.
    pub key: String,
}

/// What the twin of one layer learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistilledLayer {
    /// Layer, from 0.
    pub layer: u32,
    /// Mean squared error before training.
    pub initial_loss: f64,
    /// Mean squared error after training.
    pub final_loss: f64,
    /// Variance of the attention block's output: the error of answering its mean.
    pub output_variance: f64,
}

/// The training losses at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvePoint {
    /// Optimiser step, from 1.
    pub step: u64,
    /// Number of tokens seen so far.
    pub tokens: u64,
    /// Mean squared error of each layer, in the order of `layers`.
    pub losses: Vec<f64>,
}

/// What a hybrid cost, from the base to the choice of its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct CostEvidence {
    /// Training the base, where that was done here.
    pub pretrain: Option<StageEvidence>,
    /// Distilling the twins.
    pub distil: StageEvidence,
    /// The search; it gives the cost its name.
    pub search: StageEvidence,
    /// Key of the search's cell.
    pub key: String,
}

/// How fast one base or hybrid is on one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct TimingEvidence {
    /// Name of the base model.
    pub model: String,
    /// Name of the linear variant; none for a base.
    pub variant: Option<String>,
    /// Name of the task whose search chose the layers; none where they are spread evenly.
    pub task: Option<String>,
    /// Value of each further sweep axis that decides it, by its dotted key.
    pub axes: BTreeMap<String, String>,
    /// The device that computed.
    pub device: String,
    /// Threads of the processor at work.
    pub threads: u64,
    /// Number of layers of the base.
    pub num_layers: u32,
    /// The replaced layers, from 0.
    pub layers: Vec<u32>,
    /// Tokens of the prompt.
    pub context: u64,
    /// Prompts side by side.
    pub batch_size: u64,
    /// Tokens decoded after each prompt.
    pub new_tokens: u64,
    /// Bytes of keys and values after the prompt.
    pub cache_bytes: u64,
    /// Bytes of recurrent states and of the last inputs of convolutions.
    pub state_bytes: u64,
    /// Processors that other processes kept at work meanwhile, where the system tells.
    pub others: Option<f64>,
    /// What each run took.
    pub runs: Vec<TimedRun>,
    /// What each run of the base took at the same context and batch size on this machine; none where it is
    /// missing.
    pub base: Option<Vec<TimedRun>>,
    /// Key of the cell.
    pub key: String,
}

/// What one cell of one stage cost.
#[derive(Clone, Debug, PartialEq)]
pub struct StageEvidence {
    /// Name of the stage.
    pub stage: String,
    /// Name of the base model.
    pub model: String,
    /// Name of the linear variant, for stages that have one.
    pub variant: Option<String>,
    /// Name of the task, for stages that have one.
    pub task: Option<String>,
    /// Value of each further sweep axis, by its dotted key.
    pub axes: BTreeMap<String, String>,
    /// Wall-clock time in seconds.
    pub seconds: f64,
    /// Energy of the device meanwhile, in joules, where it tells.
    pub joules: Option<f64>,
    /// Number of tokens that went through the model.
    pub tokens: u64,
    /// Number of times a hybrid was scored.
    pub evaluations: u64,
    /// The device that ran it.
    pub device: String,
    /// The program that ran it: its version, and the revision and features of its build where it has any.
    pub program: String,
    /// The machine that ran it: system, architecture and threads at work.
    pub machine: String,
    /// When it ended: UTC, RFC 3339.
    pub finished: String,
    /// Most memory held at once, where the device tells.
    pub peak_memory_bytes: Option<u64>,
    /// Key of the cell.
    pub key: String,
}

/// A cell that the experiment names and that is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingCell {
    /// Name of the base model.
    pub model: String,
    /// Name of the linear variant; empty for stages without one.
    pub variant: String,
    /// Name of the task; empty for stages without one.
    pub task: String,
    /// Key that the cell would have.
    pub key: String,
    /// Why it is not there.
    pub why: String,
}

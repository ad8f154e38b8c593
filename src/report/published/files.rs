//! The rows of the paper's tables as the CSV files hold them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A cell of Table 1: a base against `M_best`; scores in percent.
#[derive(Clone, Debug, Deserialize)]
pub struct Score {
    /// The base's name on the hub, without its owner.
    pub base_model: String,
    /// The kind of linear block.
    pub variant: String,
    /// The task.
    pub task: String,
    /// What the paper calls the task.
    pub paper_label: String,
    /// Test score of the base.
    pub p_base: f64,
    /// Test score of `M_best`.
    pub p_best: f64,
    /// Layers that `M_best` has replaced.
    pub num_replaced: u32,
}

/// A cell of Table 2: a base against `M_opt` within 5 % on validation; scores in percent.
#[derive(Clone, Debug, Deserialize)]
pub struct Speedup {
    /// The base's name on the hub, without its owner.
    pub base_model: String,
    /// The kind of linear block.
    pub variant: String,
    /// The task.
    pub task: String,
    /// Test score of the base.
    pub p_base: f64,
    /// Test score of `M_opt`.
    pub p_opt: f64,
    /// By how much the score fell, in percent of the base's.
    pub drop_percent: f64,
    /// Layers that `M_opt` has replaced.
    pub num_replaced: u32,
    /// Layers of the base.
    pub num_layers: u32,
    /// Throughput over the base's at a context of 2,048 tokens.
    pub speedup_ctx2048: f64,
}

/// A row of Table 3: what the method cost for PubMedQA; hours.
#[derive(Clone, Debug, Deserialize)]
pub struct Cost {
    /// The base's name on the hub, without its owner.
    pub base_model: String,
    /// The GPU, one of them.
    pub gpu: String,
    /// Distillation on 100M tokens.
    pub bld_hours: f64,
    /// A greedy search of all layers by 500 validation items.
    pub greedy_hours: f64,
    /// Both.
    pub total_hours: f64,
}

/// A cell of Table 4: the ten layers that a strategy replaced.
#[derive(Clone, Debug, Deserialize)]
pub struct LayerSet {
    /// The base's name on the hub, without its owner.
    pub base_model: String,
    /// The kind of linear block.
    pub variant: String,
    /// The task.
    pub task: String,
    /// `greedy` or `impact`.
    pub strategy: String,
    layers_0based: String,
    /// The score in percent; on which split is not stated.
    pub accuracy: f64,
}

impl Score {
    /// A name for the cell: base, block and task.
    pub fn cell(&self) -> String {
        format!("{}/{}/{}", self.base_model, self.variant, self.task)
    }
}

impl LayerSet {
    /// The layers, ascending from 0.
    pub fn layers(&self) -> Vec<u32> {
        let number = |word: &str| word.parse().expect("the paper's layers are numbers");
        self.layers_0based.split(' ').map(number).collect()
    }
}

/// The rows of one of the files: a line of names, then fields without quotes.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Vec<T> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        let fields =
            names.iter().zip(line.split(',')).map(|(name, field)| ((*name).to_owned(), value(field)));
        let row = Value::Object(fields.collect());
        serde_json::from_value(row)
            .expect("the paper's tables are part of the program and have these columns")
    };
    lines.map(row).collect()
}

/// A field as a number where it is one, as text otherwise.
fn value(field: &str) -> Value {
    serde_json::from_str(field).unwrap_or_else(|_| Value::String(field.to_owned()))
}

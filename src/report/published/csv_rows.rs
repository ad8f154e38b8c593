//! The rows of the CSV files that hold the paper's tables.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An entry of Table 1: the test scores of a base and of its `M_best`, in percent. `M_best` is the hybrid
/// with the highest validation score.
#[derive(Clone, Debug, Deserialize)]
pub struct PublishedScore {
    /// Name of the base on the Hugging Face hub, without its owner.
    pub base_model: String,
    /// Kind of linear block.
    pub variant: String,
    /// Name of the task.
    pub task: String,
    /// Abbreviation of the task in the paper.
    pub paper_label: String,
    /// Test score of the base.
    pub p_base: f64,
    /// Test score of `M_best`.
    pub p_best: f64,
    /// Number of layers that `M_best` replaces.
    pub num_replaced: u32,
}

/// An entry of Table 2: the test scores of a base and of its `M_opt` in percent, and the speed-up of `M_opt`.
/// `M_opt` is the last hybrid that the search accepted.
#[derive(Clone, Debug, Deserialize)]
pub struct PublishedSpeedup {
    /// Name of the base on the Hugging Face hub, without its owner.
    pub base_model: String,
    /// Kind of linear block.
    pub variant: String,
    /// Name of the task.
    pub task: String,
    /// Test score of the base.
    pub p_base: f64,
    /// Test score of `M_opt`.
    pub p_opt: f64,
    /// Relative drop of the score from `p_base` to `p_opt`, in percent.
    pub drop_percent: f64,
    /// Number of layers that `M_opt` replaces.
    pub num_replaced: u32,
    /// Number of layers of the base.
    pub num_layers: u32,
    /// Throughput of `M_opt` divided by the throughput of the base, at a context of 2,048 tokens.
    pub speedup_ctx2048: f64,
}

/// A row of Table 3: the hours that distillation and search take for the task PubMedQA.
#[derive(Clone, Debug, Deserialize)]
pub struct PublishedCost {
    /// Name of the base on the Hugging Face hub, without its owner.
    pub base_model: String,
    /// Name of the GPU. All hours are for a single GPU.
    pub gpu: String,
    /// Hours of distillation on 100M tokens.
    pub bld_hours: f64,
    /// Hours of a greedy search over all layers on 500 validation items.
    pub greedy_hours: f64,
    /// Sum of the hours of distillation and search.
    pub total_hours: f64,
}

/// An entry of Table 4: the ten layers that a strategy replaces.
#[derive(Clone, Debug, Deserialize)]
pub struct PublishedReplacedLayers {
    /// Name of the base on the Hugging Face hub, without its owner.
    pub base_model: String,
    /// Kind of linear block.
    pub variant: String,
    /// Name of the task.
    pub task: String,
    /// Search strategy: `greedy` or `impact`.
    pub strategy: String,
    /// The layers, counted from 0 and separated by spaces.
    layers_0based: String,
    /// Score in percent. The paper does not name the split.
    pub accuracy: f64,
}

impl PublishedScore {
    /// Returns the name of this entry of the paper's Table 1: `base_model/variant/task`.
    pub fn entry_name(&self) -> String {
        format!("{}/{}/{}", self.base_model, self.variant, self.task)
    }
}

impl PublishedReplacedLayers {
    /// Returns the layers, counted from 0, in ascending order.
    pub fn layers(&self) -> Vec<u32> {
        let number = |word: &str| word.parse().expect("the paper's layers are numbers");
        self.layers_0based.split(' ').map(number).collect()
    }
}

/// Parses a CSV file with a header line and without quotes.
pub(super) fn parse_csv<T: DeserializeOwned>(text: &str) -> Vec<T> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        let fields =
            names.iter().zip(line.split(',')).map(|(name, field)| ((*name).to_owned(), parse_field(field)));
        let row = Value::Object(fields.collect());
        serde_json::from_value(row).expect("each row of a bundled CSV file has the columns of its type")
    };
    lines.map(row).collect()
}

/// Parses a field as a number. Returns any other field as text.
fn parse_field(field: &str) -> Value {
    serde_json::from_str(field).unwrap_or_else(|_| Value::String(field.to_owned()))
}

//! The result of searching which layers of a base to replace.

use serde::{Deserialize, Serialize};

use crate::algorithms::search::{Round, Trial};
use crate::store::Key;

/// Which layers a search replaced, and everything it tried on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Layers of the base.
    pub num_layers: u32,
    /// Items of the validation split.
    pub validation_items: u32,
    /// The base's score on the validation split.
    pub base: f64,
    /// The validation score under which the search stopped; none when it went on to the last layer.
    pub threshold: Option<f64>,
    /// The impact score of each layer; none where the strategy has no use for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impacts: Option<Vec<f64>>,
    /// Every candidate of every round, in the order of trial.
    pub trials: Vec<Trial>,
    /// The best trial of each round.
    pub rounds: Vec<Round>,
    /// The hybrid with the highest validation score; of equals the one with more layers replaced.
    pub best: Chosen,
    /// The last accepted hybrid: the most layers replaced without falling under the threshold.
    pub opt: Chosen,
    /// The base on the test split.
    pub base_test: TestScore,
    /// Masks scored, with those that another search had scored before.
    pub evaluations: u64,
    /// Tokens that went through the model in those scorings, remembered ones included.
    pub tokens: u64,
}

/// A hybrid that a search settled on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// Its score on the validation split.
    pub validation: f64,
    /// Its score on the test split, which played no part in choosing it.
    pub test: TestScore,
}

/// A score on the test split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScore {
    /// The score.
    pub score: f64,
    /// The score cell that holds the answers.
    pub cell: Key,
}

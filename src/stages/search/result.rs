//! The result of a search for the layers to replace.
//!
//! A search proceeds in rounds. Each round scores several candidates, which are hybrids, and has one winner.

use serde::{Deserialize, Serialize};

use crate::algorithms::search::{EarlierStop, RoundWinner, Trial};
use crate::store::CellId;

/// The result of a search: the two chosen hybrids, and every candidate that the search scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Number of layers of the base.
    pub num_layers: u32,
    /// Number of items of the validation split.
    pub validation_items: u32,
    /// Score of the base on the validation split.
    pub base: f64,
    /// The search stops when the best validation score of a round is below this threshold. `None` if the
    /// search continues until every layer is replaced.
    pub threshold: Option<f64>,
    /// The impact score of each layer, if the strategy uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impacts: Option<Vec<f64>>,
    /// Every candidate of every round, in the order in which they were scored.
    pub trials: Vec<Trial>,
    /// The winner of each round.
    pub rounds: Vec<RoundWinner>,
    /// The hybrid with the highest validation score: `M_best` in the paper. If several hybrids have this
    /// score, `best` is the hybrid with the most replaced layers.
    pub best: ChosenHybrid,
    /// The last hybrid that the search accepted: `M_opt` in the paper. It replaces the most layers of all
    /// accepted hybrids.
    pub opt: ChosenHybrid,
    /// For each stricter stop criterion, the last hybrid that the search would have accepted under it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_stops: Vec<EarlierStopResult>,
    /// Score of the base on the test split.
    pub base_test: TestScore,
    /// Number of scores that the search needed on both splits, including scores that were already stored.
    pub evaluations: u64,
    /// Number of tokens that went through the model to compute these scores. The tokens of already stored
    /// scores are included.
    pub tokens: u64,
}

impl SearchResult {
    /// Returns the score cells of the base and of all chosen hybrids on the test split, without duplicates.
    pub fn test_score_cells(&self) -> Vec<CellId> {
        let earlier = self.earlier_stops.iter().map(|stop| &stop.hybrid.test);
        let mut cells: Vec<CellId> = Vec::new();
        for test in [&self.base_test, &self.best.test, &self.opt.test].into_iter().chain(earlier) {
            if !cells.contains(&test.cell) {
                cells.push(test.cell.clone());
            }
        }
        cells
    }
}

/// A hybrid that a search chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChosenHybrid {
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// Score on the validation split.
    pub validation: f64,
    /// Score on the test split, which did not influence the choice.
    pub test: TestScore,
}

/// The last hybrid that a search would have accepted under a stricter stop criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlierStopResult {
    /// The stop criterion.
    pub criterion: EarlierStop,
    /// The hybrid.
    pub hybrid: ChosenHybrid,
}

/// A score on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScore {
    /// The score.
    pub score: f64,
    /// The score cell that holds the answers.
    pub cell: CellId,
}

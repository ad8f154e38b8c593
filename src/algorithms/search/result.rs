//! The candidates and the rounds of a search.

use serde::{Deserialize, Serialize};

use crate::algorithms::score::ScoreBounds;

/// One candidate of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The round, counted from 1.
    pub round: u32,
    /// The layer that the candidate adds to the layers of the previous round's winner. `None` if the
    /// candidate does not extend that winner by exactly one layer.
    pub layer: Option<u32>,
    /// All layers that the candidate replaces, in ascending order.
    pub layers: Vec<u32>,
    /// The bounds of the candidate's validation score.
    pub bounds: ScoreBounds,
}

/// The winner of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundWinner {
    /// The round, counted from 1.
    pub round: u32,
    /// The layer that the winner adds to the layers of the previous round's winner. `None` if the winner
    /// does not extend the previous winner by exactly one layer.
    pub layer: Option<u32>,
    /// All layers that the winner replaces, in ascending order.
    pub layers: Vec<u32>,
    /// The winner's validation score.
    pub score: f64,
    /// The number of layers that the winner replaces.
    pub num_replaced: u32,
    /// Whether the winner was accepted. The search ends with the first round whose winner is not accepted.
    pub accepted: bool,
}

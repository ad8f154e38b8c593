//! The steps of a search: its candidates and its rounds.

use serde::{Deserialize, Serialize};

use crate::algorithms::score::ScoreBounds;

/// One candidate of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The round, from 1.
    pub round: u32,
    /// The layer replaced beside those of the round before; none where these are not all replaced.
    pub layer: Option<u32>,
    /// All layers that it replaces, ascending.
    pub layers: Vec<u32>,
    /// What is known of the validation score.
    pub bounds: ScoreBounds,
}

/// The outcome of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The round, from 1.
    pub round: u32,
    /// The layer replaced beside those of the round before; none where these are not all replaced.
    pub layer: Option<u32>,
    /// All layers of the candidate that scored highest, ascending; of equals the lowest in lexicographic
    /// order.
    pub layers: Vec<u32>,
    /// Its validation score.
    pub score: f64,
    /// How many layers it replaces.
    pub num_replaced: u32,
    /// Whether it was accepted; the search ends with the first that was not.
    pub accepted: bool,
}

//! The result of timing a base or a hybrid.

use serde::{Deserialize, Serialize};

/// How fast a base or a hybrid read a prompt and decoded after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputResult {
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// Bytes of keys and values after the prompt.
    pub cache_bytes: u64,
    /// Bytes of recurrent states and of the last inputs of convolutions.
    pub state_bytes: u64,
    /// Processors that other processes kept at work meanwhile, on average; none where the system does not
    /// tell.
    pub others: Option<f64>,
    /// What each run that counts took.
    pub runs: Vec<TimedRun>,
}

/// What one run took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedRun {
    /// Seconds to read the prompt.
    pub prefill: f64,
    /// Seconds to decode the new tokens.
    pub decode: f64,
}

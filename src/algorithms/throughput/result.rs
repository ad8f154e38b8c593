//! The result of timing a base or a hybrid.

use serde::{Deserialize, Serialize};

/// The time and the memory of prefill and decoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputResult {
    /// The replaced layers, counted from 0, in ascending order.
    pub layers: Vec<u32>,
    /// Bytes of the key/value cache after the prompt.
    pub cache_bytes: u64,
    /// Bytes of recurrent states and convolution states after the prompt.
    pub state_bytes: u64,
    /// Mean number of CPUs that other processes used during the timing. `None` if the system does not report
    /// this number.
    pub other_cpus: Option<f64>,
    /// The times of each run that follows the warm-up.
    pub runs: Vec<TimedRun>,
}

/// The times of one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedRun {
    /// Seconds of the prefill.
    pub prefill: f64,
    /// Seconds of decoding the new tokens.
    pub decode: f64,
}

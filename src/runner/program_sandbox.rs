//! The settings of the sandbox for programs that a model wrote.

use std::path::PathBuf;

use dtr_core::error::Result;
use dtr_core::system_info::running_program;
use dtr_sandbox::{ConfinementPolicy, ProgramLimits, PythonInterpreter, Sandbox};

/// The settings of the sandbox. By default, the interpreter is `python3` in `PATH`, and confinement is
/// required.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    python: PathBuf,
    policy: ConfinementPolicy,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self { python: "python3".into(), policy: ConfinementPolicy::Require }
    }
}

impl SandboxOptions {
    /// Creates settings for the interpreter `python`, a path or a name in `PATH`.
    pub fn new(python: PathBuf, policy: ConfinementPolicy) -> Self {
        Self { python, policy }
    }

    /// Runs the Python interpreter outside the sandbox, and returns its version and the files that it needs.
    ///
    /// # Errors
    /// Fails if the interpreter cannot be run.
    pub fn inspect_python(&self) -> Result<PythonInterpreter> {
        PythonInterpreter::inspect(&self.python)
    }

    /// Prepares the sandbox.
    ///
    /// # Errors
    /// Fails if the interpreter cannot be run, or if the machine cannot confine programs and the user has not
    /// accepted unconfined programs.
    pub fn open(&self) -> Result<Sandbox> {
        Sandbox::new(&running_program(), &self.python, ProgramLimits::default(), self.policy)
    }
}

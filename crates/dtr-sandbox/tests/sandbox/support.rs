//! Sandboxes and fixtures for tests.

use std::fs;
use std::path::{Path, PathBuf};

use dtr_sandbox::{ConfinementPolicy, ProgramLimits, PythonInterpreter, Sandbox};
use serde::de::DeserializeOwned;

use crate::skipped::report_skipped;

/// The limits with which the fixtures were made.
pub fn limits() -> ProgramLimits {
    ProgramLimits { min_input_seconds: 1.0, ..ProgramLimits::default() }
}

/// Returns the path of the program that becomes a sandboxed process.
pub fn child_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dtr-sandbox-child"))
}

/// Returns the interpreter for tests. Without Python, reports the test as skipped and returns `None`.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("DTR_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    match PythonInterpreter::inspect(&python) {
        Ok(_) => Some(python),
        Err(error) => {
            report_skipped(&error.to_line());
            None
        }
    }
}

/// Returns a sandbox. Where there is no Python or no confinement, reports the test as skipped.
pub fn sandbox() -> Option<Sandbox> {
    let sandbox = Sandbox::new(child_program(), &python()?, limits(), ConfinementPolicy::Require);
    sandbox.inspect_err(|error| report_skipped(&error.to_line())).ok()
}

/// Reads a fixture of the reference implementations.
pub fn read_fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()
}

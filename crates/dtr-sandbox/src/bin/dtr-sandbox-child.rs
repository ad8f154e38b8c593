//! The program that the tests of this crate start as a sandboxed process. `dtr` itself has the same
//! subcommand.
//!
//! With the arguments `attack PYTHON`, the program attacks its own sandbox, and prints the layers and the
//! results as JSON.

use std::path::Path;

use dtr_core::error::{Error, Result};
use dtr_sandbox::{CHILD_SUBCOMMAND, ConfinementPolicy, ProgramLimits, Sandbox, child_main};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next().unwrap_or_default();
    if command == CHILD_SUBCOMMAND {
        child_main(arguments);
    }
    let result = match arguments.next() {
        Some(python) if command == "attack" => attack(Path::new(&python)),
        _ => Err(Error::manifest("cannot run: expected `attack PYTHON`")),
    };
    if let Err(error) = result {
        eprintln!("{}", error.to_line());
        std::process::exit(error.kind().exit_code().into());
    }
}

fn attack(python: &Path) -> Result<()> {
    let program = dtr_core::system_info::running_program();
    let limits = ProgramLimits::default();
    let sandbox = Sandbox::new(&program, python, limits, ConfinementPolicy::AcceptUnsafe)?;
    let report = serde_json::json!({"layers": sandbox.layers(), "attacks": sandbox.probe_attacks()?});
    println!("{report}");
    Ok(())
}

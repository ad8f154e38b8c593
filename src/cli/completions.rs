//! `dtr completions SHELL`: prints a completion script for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use dtr_core::error::Result;

/// Print a completion script for a shell.
#[derive(Args)]
pub struct CompletionsCommand {
    /// Shell that the script is for.
    shell: Shell,
}

impl CompletionsCommand {
    pub(super) fn run(self) -> Result<u8> {
        clap_complete::generate(self.shell, &mut super::Cli::command(), "dtr", &mut std::io::stdout());
        Ok(0)
    }
}

//! A running `dtr serve`.

use std::path::Path;

use rustix::process::Signal;

use crate::dtr_command::{DtrCommand, DtrOutput, RunningDtr};

/// A server at a free port of this machine.
pub struct DtrServer {
    program: RunningDtr,
    address: String,
}

impl DtrServer {
    /// Starts `dtr serve MODEL`. `configure` can add arguments and variables.
    pub fn start(model: &Path, configure: impl FnOnce(DtrCommand) -> DtrCommand) -> Self {
        let command = DtrCommand::new("serve").arg(model).args(["--port", "0"]);
        let mut program = configure(command).start();
        let line = program.stderr_line("serving `");
        let (_, address) = line.split_once("http://").unwrap();
        Self { address: address.to_owned(), program }
    }

    /// Returns the address and the port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the server with SIGTERM.
    pub fn stop(self) -> DtrOutput {
        self.program.send(Signal::TERM);
        self.program.finish()
    }
}

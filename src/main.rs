//! The `dtr` program: reads the command line, does what it says, and turns what came of it into an
//! exit code.

use std::process::ExitCode;

use clap::Parser;
use dtr::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = error.kind().exit_code();
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}

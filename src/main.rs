//! The `dtr` program. Parses the command line, runs the command, and returns the exit code. If the command
//! fails, prints the error and its hint.

use std::process::ExitCode;

use clap::Parser;
use dtr::cli::Cli;
use dtr_sandbox::{CHILD_SUBCOMMAND, child_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // The sandbox for model-written programs starts `dtr` again with this subcommand. The new process must
    // have one thread and read no files, so no other code may run before `child_main`.
    if arguments.next().is_some_and(|command| command == CHILD_SUBCOMMAND) {
        child_main(arguments);
    }
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = error.kind().exit_code();
            disable_line_wrapping();
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}

/// Turns off line wrapping in error messages. Wrapped lines would break commands and paths that users copy.
fn disable_line_wrapping() {
    let hook = |_: &(dyn miette::Diagnostic + 'static)| -> Box<dyn miette::ReportHandler> {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())
    };
    miette::set_hook(Box::new(hook)).expect("another miette hook is already set");
}

//! Shows the status again and again.

use std::io::{IsTerminal, Write};
use std::thread;
use std::time::Duration;

use super::StatusObserver;
use super::cells::CellActivity;
use super::text;
use dtr_core::error::{Error, Result};

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Clears the terminal from the first line on.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Shows the status every two seconds until all cells are done. A terminal shows only the latest status, and
/// other outputs get one after the other. Ctrl-C ends the program.
pub(super) fn watch(observer: &mut StatusObserver<'_>) -> Result<()> {
    let mut output = std::io::stdout().lock();
    let is_terminal = output.is_terminal();
    loop {
        let status = observer.observe()?;
        let text = text::render(&status);
        let text = if is_terminal { format!("{CLEAR}{text}") } else { format!("{text}\n") };
        let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        written.map_err(|cause| Error::environment("cannot write to standard output").with_source(cause))?;
        if status.cells.iter().all(|report| report.activity == CellActivity::Done) {
            return Ok(());
        }
        thread::sleep(INTERVAL);
    }
}

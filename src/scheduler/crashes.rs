//! Records the crashes of earlier workers of a sweep.

use crate::plan::Plan;
use crate::runner::{RunContext, WorkEnd, WorkerCrash, log_crash, record_failure};
use dtr_core::error::{Error, Result};

/// Records a failure for each cell that crashed an earlier worker. If several cells were running when a
/// worker crashed, only logs the crash for each of these cells, because any of them may have caused the
/// crash.
///
/// # Errors
/// Fails if the store cannot be read or written.
pub(super) fn record_crashes(plan: &Plan, context: &RunContext<'_>) -> Result<()> {
    let sweep = context.supervisor.sweep_state();
    for cell in &plan.cells {
        let key = cell.key();
        if let Some(WorkerCrash { reason, seconds }) = sweep.crashed.get(&key) {
            context.progress.print_line(&format!("failed  {}: {reason}", cell.to_line()));
            record_failure(context, &cell.spec, Some(*seconds), &Error::failed(reason.clone()))?;
            context.supervisor.report_end(&key, WorkEnd::Failed);
        }
        if let Some(WorkerCrash { reason, .. }) = sweep.suspects.get(&key) {
            let message = format!("{reason}; other cells ran at the same time, so the cell now runs alone");
            context.progress.print_line(&format!("{}: {message}", cell.to_line()));
            log_crash(context, cell.id(), message)?;
            context.supervisor.report_end(&key, WorkEnd::Released);
        }
    }
    Ok(())
}

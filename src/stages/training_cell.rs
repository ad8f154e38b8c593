//! Runs a cell that trains one model.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cell::Cell;
use super::stage::CompletedBy;
use crate::runner::{ClaimOutcome, RunContext, RunningCell, UsageRecorder};
use dtr_core::error::Result;

/// Claims `cell`, calls `train`, and records the result. `train` writes the files `artifacts`. Waits if another
/// process works on the cell.
///
/// # Errors
/// Fails if the cell cannot be claimed or recorded, or if `train` fails.
pub(super) fn run_training_cell<T: Serialize + DeserializeOwned>(
    context: &RunContext<'_>,
    cell: &Cell,
    artifacts: &[&str],
    train: impl FnOnce(&RunningCell<'_>, &UsageRecorder<'_>) -> Result<T>,
) -> Result<CompletedBy> {
    let claim = RunningCell::claim_blocking::<T>(context, &cell.spec, cell.to_line())?;
    let ClaimOutcome::Claimed(claimed) = claim else { return Ok(CompletedBy::OtherProcess) };
    let recorder = UsageRecorder::begin(vec![&claimed])?;
    let result = train(&claimed, &recorder)?;
    recorder.finish(0, artifacts, Vec::new(), result)?;
    Ok(CompletedBy::ThisProcess)
}

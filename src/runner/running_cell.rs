//! A cell that this process runs. A [`RunningCell`] gives access to the cell's log, checkpoints and record.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::RunContext;
use super::saved_usage::SavedUsage;
use crate::device::TimeAndEnergy;
use crate::store::{
    AttemptId, CellId, CellSpec, CellState, CheckDepth, Claim, EventKind, EventLog, Lookup, NewRecord,
    Provenance,
};
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

/// A cell that this process has claimed and runs.
pub struct RunningCell<'a> {
    context: &'a RunContext<'a>,
    spec: CellSpec,
    /// The cell's name in messages.
    name: String,
    claim: Claim,
    /// The usage of the processes that worked on the cell before this process. `None` if no usage was saved.
    earlier: Option<TimeAndEnergy>,
}

/// The result of waiting for a claim: a claimed cell, or the output that another process computed.
#[expect(clippy::large_enum_variant, reason = "the value is short-lived")]
pub enum ClaimOutcome<'a, T> {
    /// This process has claimed the cell and must do the work.
    Claimed(RunningCell<'a>),
    /// Another process has done the work and recorded this output.
    Done(T),
}

/// The reason why this process did not claim a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotClaimed {
    /// Another process works on the cell.
    InUse,
    /// The cell is done.
    Done,
}

impl<'a> RunningCell<'a> {
    /// Claims a cell. Waits while another process works on the cell. `name` is the cell's name in messages.
    ///
    /// # Errors
    /// Fails if the user asks to stop, or if the store cannot be read or written.
    pub fn claim_blocking<T: DeserializeOwned>(
        context: &'a RunContext<'a>,
        spec: &CellSpec,
        name: String,
    ) -> Result<ClaimOutcome<'a, T>> {
        Self::claim_with_work(context, spec, name, || Ok(false))
    }

    /// Claims a cell as [`Self::claim_blocking`] does. Calls `work` again and again while another process
    /// works on the cell, so that this process can do something useful meanwhile. `work` returns whether the
    /// other process has ended its work.
    ///
    /// # Errors
    /// Fails as [`Self::claim_blocking`] does, and with the error of `work`.
    pub fn claim_with_work<T: DeserializeOwned>(
        context: &'a RunContext<'a>,
        spec: &CellSpec,
        name: String,
        mut work: impl FnMut() -> Result<bool>,
    ) -> Result<ClaimOutcome<'a, T>> {
        let mut is_reported = false;
        let claim = context.store.claim_blocking(&spec.id, |waited| {
            if !is_reported && waited.as_secs() >= 1 {
                context.progress.print_line(&format!("{name}: waiting for another process that works on it"));
                is_reported = true;
            }
            let has_ended = work()?;
            context.check_interrupted()?;
            Ok(has_ended)
        })?;
        let state = context.store.cell_state(&spec.id, CheckDepth::Full)?;
        Ok(match (state, context.store.find::<T>(&spec.id)?) {
            (CellState::Done, Lookup::Done(record)) => ClaimOutcome::Done(record.outcome),
            _ => ClaimOutcome::Claimed(Self::new(context, spec, name, claim)?),
        })
    }

    /// Claims a cell that is not done and that no other process has claimed. `name` is the cell's name in
    /// messages.
    ///
    /// Returns the reason as the inner error if this process did not claim the cell.
    ///
    /// # Errors
    /// Fails if the store cannot be read or written.
    pub fn try_claim(
        context: &'a RunContext<'a>,
        spec: &CellSpec,
        name: String,
    ) -> Result<std::result::Result<Self, NotClaimed>> {
        let Some(claim) = context.store.try_claim(&spec.id)? else { return Ok(Err(NotClaimed::InUse)) };
        if context.store.cell_state(&spec.id, CheckDepth::Full)? == CellState::Done {
            return Ok(Err(NotClaimed::Done));
        }
        Self::new(context, spec, name, claim).map(Ok)
    }

    fn new(context: &'a RunContext<'a>, spec: &CellSpec, name: String, claim: Claim) -> Result<Self> {
        let mut claimed = Self { context, spec: spec.clone(), name, claim, earlier: None };
        let saved = SavedUsage::read(&claimed.checkpoint(SavedUsage::FILE)?)?;
        claimed.earlier = saved.map(SavedUsage::total);
        Ok(claimed)
    }

    /// Sets the usage of earlier processes to `usage`, the usage in the cell's existing record. The new
    /// record then has the usage of both runs.
    ///
    /// Does nothing if the cell has saved usage, because the saved usage already includes `usage`.
    pub fn continue_from_usage(&mut self, usage: TimeAndEnergy) {
        self.earlier = self.earlier.or(Some(usage));
    }

    /// Returns the context of the run.
    pub(super) fn context(&self) -> &'a RunContext<'a> {
        self.context
    }

    /// Saves the usage of this process so far together with the usage of earlier processes.
    pub(super) fn save_usage(&self, spent: TimeAndEnergy) -> Result<()> {
        let usage = SavedUsage { earlier: self.earlier(), last_process: spent };
        usage.write(&self.checkpoint(SavedUsage::FILE)?)
    }

    fn earlier(&self) -> TimeAndEnergy {
        self.earlier.unwrap_or(TimeAndEnergy::ZERO)
    }

    /// Logs the start of the work. Prints and logs a message if the previous process on this cell was killed.
    ///
    /// # Errors
    /// Fails if the log cannot be written.
    pub(super) fn log_start(&self) -> Result<()> {
        self.context.supervisor.report_start(&self.spec.id.key);
        let mut log = self.claim.open_event_log()?;
        // Ignore a log that cannot be read, because the work does not depend on it.
        let events = self.context.store.read_events(&self.spec.id).unwrap_or_default();
        if events.last().is_some_and(|event| !event.kind.is_end()) {
            let message = "the process before this one was killed or ran out of memory";
            self.context.progress.print_line(&format!("{}: {message}", self.name));
            log.append(EventKind::Message(message.to_owned()))?;
        }
        log.append(EventKind::Started)
    }

    /// Returns the checkpoint `name`. Deletes the checkpoint's file first if it is damaged.
    ///
    /// # Errors
    /// Fails if the checkpoint cannot be read or removed.
    pub fn checkpoint(&self, name: &str) -> Result<CheckpointFile> {
        let checkpoint = self.claim.checkpoint(name)?;
        if checkpoint.remove_if_unusable()? {
            let path = checkpoint.path().display();
            let message =
                format!("removed `{path}`, which is damaged; the cell repeats the work of this file");
            self.context.progress.print_line(&format!("{}: {message}", self.name));
            self.claim.open_event_log()?.append(EventKind::Message(message))?;
        }
        Ok(checkpoint)
    }

    /// Returns the folder in which to write artifacts. Creates the folder.
    ///
    /// # Errors
    /// Fails if the folder cannot be created.
    pub fn artifact_folder(&self) -> Result<PathBuf> {
        self.claim.artifact_folder()
    }

    /// Returns the path at which to write an artifact.
    ///
    /// # Errors
    /// Fails if `name` leads out of the cell's folder, or if the store uses the name for one of its own
    /// files.
    pub fn artifact_path(&self, name: &str) -> Result<PathBuf> {
        self.claim.artifact_path(name)
    }

    /// Opens the cell's log.
    ///
    /// # Errors
    /// Fails if the log cannot be opened.
    pub fn open_event_log(&self) -> Result<EventLog> {
        self.claim.open_event_log()
    }

    /// Writes the record of a cell that succeeded, and returns the output as read back from the record.
    ///
    /// `spent` is the usage of this process. The record has the sum of `spent` and the usage of earlier
    /// processes. `artifacts` are the names of the files that the cell has written. `references` are the
    /// cells that the output refers to.
    ///
    /// If another process has recorded a result first, returns the output of that process.
    ///
    /// Logs the end of the work only if the cell has a log. A search that computes a score cell writes the
    /// score to the log of the search instead.
    ///
    /// # Errors
    /// Fails if a number in the output is not finite, or if a file cannot be written.
    pub fn finish<T: Serialize + DeserializeOwned>(
        &self,
        spent: TimeAndEnergy,
        artifacts: &[&str],
        references: Vec<CellId>,
        output: T,
    ) -> Result<T> {
        let artifacts = artifacts.iter().map(|&name| name.to_owned()).collect();
        let usage = self.earlier() + spent;
        let new = NewRecord { artifacts, references, ..new_record(self.context, &self.spec, usage)? };
        let record = self.claim.finish(new, output)?;
        if self.claim.has_event_log() {
            let mut log = self.claim.open_event_log()?;
            match record.attempt.as_ref() == Some(AttemptId::of_this_process()) {
                true => log.append(EventKind::Done)?,
                false => {
                    let message = "another process recorded a result first";
                    self.context.progress.print_line(&format!("{}: {message}", self.name));
                    log.append(EventKind::Message(message.to_owned()))?;
                    log.append(EventKind::Stopped)?;
                }
            }
        }
        Ok(record.outcome)
    }
}

/// Records that a cell failed. Does nothing if another process has claimed the cell, or if the cell is done.
///
/// `crashed_after` is the time from the start of the cell to the crash of its process, in seconds. `None` if
/// the process did not crash.
///
/// # Errors
/// Fails if a file cannot be read or written.
pub fn record_failure(
    context: &RunContext<'_>,
    spec: &CellSpec,
    crashed_after: Option<f64>,
    error: &Error,
) -> Result<()> {
    let Some(claim) = context.store.try_claim(&spec.id)? else { return Ok(()) };
    if context.store.cell_state(&spec.id, CheckDepth::Full)? == CellState::Done {
        return Ok(());
    }
    let saved = SavedUsage::read(&claim.checkpoint(SavedUsage::FILE)?).ok().flatten().unwrap_or_default();
    let crashed_after = crashed_after.map(|seconds| context.meter.device_seconds(seconds));
    let usage = crashed_after.map_or(saved, |seconds| saved.extended_to(seconds)).total();
    claim.open_event_log()?.append(EventKind::Failed(error.to_line()))?;
    claim.fail(new_record(context, spec, usage)?, error.to_line())
}

/// Logs the crash of the process that worked on a cell. Does nothing if another process has claimed the cell.
///
/// # Errors
/// Fails if the log cannot be written.
pub fn log_crash(context: &RunContext<'_>, cell: &CellId, message: String) -> Result<()> {
    let Some(claim) = context.store.try_claim(cell)? else { return Ok(()) };
    let mut log = claim.open_event_log()?;
    log.append(EventKind::Message(message))?;
    log.append(EventKind::Stopped)
}

/// Logs that this process stopped before a cell was done. Does nothing if another process has claimed the
/// cell.
///
/// # Errors
/// Fails if the log cannot be written.
pub fn log_stop(context: &RunContext<'_>, cell: &CellId) -> Result<()> {
    match context.store.try_claim(cell)? {
        Some(claim) => claim.open_event_log()?.append(EventKind::Stopped),
        None => Ok(()),
    }
}

fn new_record(context: &RunContext<'_>, spec: &CellSpec, spent: TimeAndEnergy) -> Result<NewRecord> {
    let provenance = context.provenance.clone().with_current_peak();
    let provenance = Provenance { input_files: input_files(context, spec)?, ..provenance };
    let TimeAndEnergy { seconds, joules } = spent;
    let (artifacts, references) = (Vec::new(), Vec::new());
    Ok(NewRecord { spec: spec.clone(), artifacts, references, seconds, joules, provenance })
}

/// Returns the recorded digests of the input cells' artifacts. The keys are `role/name`.
fn input_files(context: &RunContext<'_>, spec: &CellSpec) -> Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::new();
    for (role, input) in &spec.inputs {
        if let Some(record) = context.store.find::<Value>(input)?.done() {
            let named = record.artifacts.iter();
            files.extend(named.map(|(name, artifact)| (format!("{role}/{name}"), artifact.digest)));
        }
    }
    Ok(files)
}

//! Adds up the time and the energy that processes spend on a cell, from its start to its record.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::running_cell::RunningCell;
use crate::device::{MeterReading, ResourceUsage, UsageMeter};
use crate::store::{CellId, EventLog};
use dtr_core::error::Result;

/// The shortest time between two writes of the usage, so that many short scores do not wait for the disk.
const MIN_SAVE_INTERVAL: Duration = Duration::from_millis(100);

/// Measures the time and the energy that this process spends on cells that it computes together.
///
/// The cells have equal shares. The usage of each cell so far is on disk, so a process that resumes the cell
/// adds to it. If the work ends early, the usage up to this moment is saved when the recorder is dropped.
pub struct UsageRecorder<'a> {
    cells: Vec<&'a RunningCell<'a>>,
    meter: &'a UsageMeter,
    state: Mutex<State>,
}

struct State {
    /// The reading up to which the usage is divided among the cells.
    divided_until: MeterReading,
    /// The usage of this process by each cell.
    spent: Vec<ResourceUsage>,
    /// Whether each cell has its record.
    is_finished: Vec<bool>,
    last_save: Instant,
}

impl<'a> UsageRecorder<'a> {
    /// Starts the work on `cells`, and logs the start.
    ///
    /// # Errors
    /// Fails if a log cannot be written.
    pub fn begin(cells: Vec<&'a RunningCell<'a>>) -> Result<Self> {
        let meter = cells[0].context().meter;
        let state = State {
            divided_until: meter.read(),
            spent: vec![ResourceUsage::NONE; cells.len()],
            is_finished: vec![false; cells.len()],
            last_save: Instant::now(),
        };
        cells.iter().try_for_each(|cell| cell.log_start())?;
        Ok(Self { cells, meter, state: Mutex::new(state) })
    }

    /// Writes the usage so far, unless it was written a moment ago. Call this before writing a checkpoint or
    /// a score, so that the usage on disk includes the work in it.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn save_if_due(&self) -> Result<()> {
        let mut state = self.lock();
        if state.last_save.elapsed() < MIN_SAVE_INTERVAL {
            return Ok(());
        }
        self.save(&mut state)
    }

    /// Writes the record of the cell with this index, as [`RunningCell::finish`] does.
    ///
    /// # Errors
    /// Fails if the output is not finite, or if a file cannot be written.
    pub fn finish<T: Serialize + DeserializeOwned>(
        &self,
        cell: usize,
        artifacts: &[&str],
        references: Vec<CellId>,
        output: T,
    ) -> Result<T> {
        let mut state = self.lock();
        self.divide_usage(&mut state);
        let output = self.cells[cell].finish(state.spent[cell], artifacts, references, output)?;
        state.is_finished[cell] = true;
        Ok(output)
    }

    /// Opens the logs of the cells.
    ///
    /// # Errors
    /// Fails if a log cannot be opened.
    pub(super) fn logs(&self) -> Result<Vec<EventLog>> {
        self.cells.iter().map(|cell| cell.open_event_log()).collect()
    }

    fn save(&self, state: &mut State) -> Result<()> {
        self.divide_usage(state);
        let cells = self.cells.iter().zip(&state.spent).zip(&state.is_finished);
        for ((cell, spent), _) in cells.filter(|(_, is_finished)| !**is_finished) {
            cell.save_usage(*spent)?;
        }
        state.last_save = Instant::now();
        Ok(())
    }

    /// Divides the usage since the last call equally among the cells that have no record yet.
    fn divide_usage(&self, state: &mut State) {
        let now = self.meter.read();
        let usage = self.meter.usage_between(state.divided_until, now);
        state.divided_until = now;
        let num_active = state.is_finished.iter().filter(|is_finished| !**is_finished).count();
        for (spent, is_finished) in state.spent.iter_mut().zip(&state.is_finished) {
            if !is_finished {
                *spent = *spent + usage.scale(1.0 / num_active as f64);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UsageRecorder<'_> {
    /// Saves the usage of the cells without a record. Their work has failed or was interrupted, and its error
    /// matters more than an error of this write.
    fn drop(&mut self) {
        let mut state = self.lock();
        let _ = self.save(&mut state);
    }
}

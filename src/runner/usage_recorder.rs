//! Adds up the time and the energy that processes spend on a cell, from the cell's start to its record.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::running_cell::RunningCell;
use crate::device::{MeterReading, TimeAndEnergy, UsageMeter};
use crate::store::{CellId, EventLog};
use dtr_core::error::Result;

/// Minimum time between two writes of the usage. Without this minimum, a search with many short evaluations
/// would write the usage after each evaluation.
const MIN_SAVE_INTERVAL: Duration = Duration::from_millis(100);

/// Measures the time and the energy that this process spends on a group of cells.
///
/// The usage is divided equally among the cells. The recorder saves the usage of each cell. A process that
/// resumes the cell adds its own usage to the saved usage. If the work ends early, dropping the recorder
/// saves the usage.
pub struct UsageRecorder<'a> {
    cells: Vec<&'a RunningCell<'a>>,
    meter: &'a UsageMeter,
    state: Mutex<State>,
}

struct State {
    /// The meter reading up to which the usage has been divided among the cells.
    divided_until: MeterReading,
    /// The time and the energy that this process has spent on each cell.
    spent: Vec<TimeAndEnergy>,
    /// Whether the record of each cell has been written.
    is_finished: Vec<bool>,
    last_save: Instant,
}

impl<'a> UsageRecorder<'a> {
    /// Starts to measure the work on `cells`, and logs the start of the work.
    ///
    /// # Errors
    /// Fails if a log cannot be written.
    pub fn begin(cells: Vec<&'a RunningCell<'a>>) -> Result<Self> {
        let meter = cells[0].context().meter;
        let state = State {
            divided_until: meter.read(),
            spent: vec![TimeAndEnergy::ZERO; cells.len()],
            is_finished: vec![false; cells.len()],
            last_save: Instant::now(),
        };
        cells.iter().try_for_each(|cell| cell.log_start())?;
        Ok(Self { cells, meter, state: Mutex::new(state) })
    }

    /// Saves the usage so far. Does nothing if the last save was less than 100 ms ago. Call this function
    /// before you write a checkpoint or a score. The saved usage then lacks less than 100 ms of the work for
    /// that checkpoint or score.
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

    /// Writes the record of the cell with the index `cell`, as [`RunningCell::finish`] does.
    ///
    /// # Errors
    /// Fails if a number in the output is not finite, or if a file cannot be written.
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
    /// Saves the usage of the cells without a record. Ignores an error, because the error that ended the work
    /// of these cells matters more.
    fn drop(&mut self) {
        let mut state = self.lock();
        let _ = self.save(&mut state);
    }
}

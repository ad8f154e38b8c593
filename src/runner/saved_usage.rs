//! Saves the time and the energy that processes have spent on a cell that has no record yet. The file is one
//! of the cell's checkpoints.

use serde::{Deserialize, Serialize};

use crate::device::TimeAndEnergy;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};

/// The usage of all processes that have worked on a cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedUsage {
    /// The usage of all processes but the last.
    pub(super) earlier: TimeAndEnergy,
    /// The usage of the last process, up to the moment when it wrote the file.
    pub(super) last_process: TimeAndEnergy,
}

impl Default for SavedUsage {
    fn default() -> Self {
        Self { earlier: TimeAndEnergy::ZERO, last_process: TimeAndEnergy::ZERO }
    }
}

impl SavedUsage {
    /// The name of the checkpoint that holds the usage.
    pub(super) const FILE: &str = "usage.json";

    /// Reads the usage in `file`. Returns `None` if the file does not exist.
    ///
    /// # Errors
    /// Fails if the file cannot be read or is damaged.
    pub(super) fn read(file: &CheckpointFile) -> Result<Option<Self>> {
        let Some(bytes) = file.read()? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|cause| {
            let message = format!("cannot read the usage in `{}`", file.path().display());
            Error::environment(message).with_source(cause)
        })
    }

    /// Writes the usage to `file`.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn write(self, file: &CheckpointFile) -> Result<()> {
        file.write(serde_json::to_string(&self).expect("a usage is plain JSON").as_bytes())
    }

    /// Returns the usage of all processes.
    pub(super) fn total(self) -> TimeAndEnergy {
        self.earlier + self.last_process
    }

    /// Returns the usage after a crash of the last process, which ran for `seconds` device seconds. If the
    /// saved time of the last process is shorter than `seconds`, replaces the saved time by `seconds`. The
    /// energy is then `None`, because the saved energy does not cover the time up to the crash.
    pub(super) fn extended_to(self, seconds: f64) -> Self {
        match self.last_process.seconds < seconds {
            true => Self { last_process: TimeAndEnergy { seconds, joules: None }, ..self },
            false => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(seconds: f64, joules: f64) -> TimeAndEnergy {
        TimeAndEnergy { seconds, joules: Some(joules) }
    }

    #[test]
    fn usage_reads_back_and_a_file_that_is_missing_holds_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(folder.path().join("a/usage.json"), "cell");
        assert_eq!(SavedUsage::read(&file).unwrap(), None);
        let saved = SavedUsage { earlier: usage(1.5, 3.0), last_process: usage(0.1, 0.2) };
        saved.write(&file).unwrap();
        assert_eq!(SavedUsage::read(&file).unwrap(), Some(saved));
        assert_eq!(saved.total(), usage(1.6, 3.2));
    }

    #[test]
    fn the_time_of_a_process_that_crashed_lasts_until_the_crash() {
        let saved = SavedUsage { earlier: usage(10.0, 1.0), last_process: usage(2.0, 1.0) };
        assert_eq!(saved.extended_to(5.0).total(), TimeAndEnergy { seconds: 15.0, joules: None });
        assert_eq!(saved.extended_to(1.0).total(), usage(12.0, 2.0));
    }
}

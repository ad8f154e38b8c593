//! Writes checkpoints in a background thread, so that training continues while a disk stores them.

use std::thread::{self, JoinHandle};

use dtr_core::error::Result;

use super::EncodedCheckpoint;

/// Writes one group of checkpoints at a time. When a writer is dropped, it waits until its last group is
/// written.
#[derive(Default)]
pub struct CheckpointWriter {
    thread: Option<JoinHandle<Result<()>>>,
}

impl CheckpointWriter {
    /// Waits for the previous group, and then starts to write `checkpoints`.
    ///
    /// # Errors
    /// Fails if a checkpoint of the previous group could not be written.
    pub fn write(&mut self, checkpoints: Vec<EncodedCheckpoint>) -> Result<()> {
        self.finish()?;
        let write_all = move || checkpoints.iter().try_for_each(EncodedCheckpoint::write);
        self.thread = Some(thread::spawn(write_all));
        Ok(())
    }

    /// Waits until the last group is written.
    ///
    /// # Errors
    /// Fails if a checkpoint of this group could not be written.
    pub fn finish(&mut self) -> Result<()> {
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => Ok(()),
        }
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The training has already failed for another reason, which its caller reports.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use dtr_core::checkpoint::CheckpointFile;
    use dtr_model::NamedTensors;

    use super::*;

    fn encoded(file: &CheckpointFile, step: u64) -> EncodedCheckpoint {
        EncodedCheckpoint::new(file, NamedTensors::default(), &step).unwrap()
    }

    #[test]
    fn the_last_group_is_on_disk_after_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(folder.path().join("twins"), "test");
        let mut writer = CheckpointWriter::default();
        for step in 0..5 {
            writer.write(vec![encoded(&file, step)]).unwrap();
        }
        writer.finish().unwrap();
        let device = burn::tensor::Device::default();
        let (_, step) = super::super::read_checkpoint::<u64>(&file, &device).unwrap().unwrap();
        assert_eq!(step, 4);
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_fails_the_next_call() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let file = CheckpointFile::new(folder.path().join("file/twins"), "test");
        let mut writer = CheckpointWriter::default();
        writer.write(vec![encoded(&file, 0)]).unwrap();
        assert!(writer.finish().is_err());
        assert!(writer.finish().is_ok(), "an error is reported once");
    }
}

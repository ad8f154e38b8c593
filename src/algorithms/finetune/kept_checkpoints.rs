//! The checkpoints along a fine-tuning that are kept as teachers.

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::Result;
use dtr_model::NamedTensors;

/// Returns the numbers of steps after which checkpoints are kept. They are evenly spaced, and the last one is the
/// end of the training. There are fewer than `count` if the training has fewer steps.
pub fn kept_steps(num_steps: u64, count: usize) -> Vec<u64> {
    let mut steps: Vec<u64> =
        (1..=count as u64).map(|index| (index * num_steps).div_ceil(count as u64)).collect();
    steps.dedup();
    steps
}

/// The files of the checkpoints that a fine-tuning keeps.
#[derive(Clone, Debug, Default)]
pub struct KeptCheckpoints {
    files: Vec<CheckpointFile>,
}

impl KeptCheckpoints {
    /// Keeps a checkpoint in each of `files`.
    pub fn new(files: Vec<CheckpointFile>) -> Self {
        Self { files }
    }

    /// Writes the parameters `tensors` if the checkpoint after `step` of `num_steps` steps is kept.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn save_if_kept(
        &self,
        step: u64,
        num_steps: u64,
        tensors: impl FnOnce() -> NamedTensors,
    ) -> Result<()> {
        let steps = kept_steps(num_steps, self.files.len());
        match steps.iter().position(|kept| *kept == step) {
            Some(index) => self.files[index].write(&tensors().to_bytes()?),
            None => Ok(()),
        }
    }

    /// Returns whether all checkpoints up to `step` exist.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub(super) fn is_complete(&self, step: u64, num_steps: u64) -> Result<bool> {
        let steps = kept_steps(num_steps, self.files.len());
        for (file, _) in self.files.iter().zip(steps).filter(|(_, kept)| *kept <= step) {
            if file.read()?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the safetensors files of a training of `num_steps` steps.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub fn read(&self, num_steps: u64) -> Result<Vec<Vec<u8>>> {
        let kept = self.files.iter().take(kept_steps(num_steps, self.files.len()).len());
        kept.map(|file| Ok(file.read()?.expect("a finished training has kept all checkpoints"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_steps_are_evenly_spaced_and_end_with_the_training() {
        assert_eq!(kept_steps(20, 4), [5, 10, 15, 20]);
        assert_eq!(kept_steps(10, 3), [4, 7, 10]);
        assert_eq!(kept_steps(2, 4), [1, 2]);
        assert!(kept_steps(2, 0).is_empty());
    }
}

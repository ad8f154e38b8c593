//! The checkpoints along a fine-tuning that are kept as teachers.

use std::path::PathBuf;

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;
use dtr_model::NamedTensors;

/// Returns the numbers of steps after which checkpoints are kept. They are evenly spaced, and the last one is
/// the end of the training. `count` is at most `num_steps`.
fn kept_steps(num_steps: u64, count: usize) -> impl Iterator<Item = u64> {
    let count = count as u64;
    (1..=count).map(move |number| (number * num_steps).div_ceil(count))
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

    /// Checks that a training of `num_steps` steps is long enough.
    ///
    /// # Errors
    /// Fails if the training has fewer steps than checkpoints are kept.
    pub(super) fn ensure_enough_steps(&self, num_steps: u64) -> Result<()> {
        let count = self.files.len();
        match count as u64 <= num_steps {
            true => Ok(()),
            false => Err(Error::manifest(format!(
                "cannot keep {count} checkpoints of the fine-tuning: it has {num_steps} steps"
            ))
            .hint("decrease `checkpoint-distil.checkpoints`, or increase `finetune.epochs`")),
        }
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
        match kept_steps(num_steps, self.files.len()).position(|kept| kept == step) {
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

    /// Writes each checkpoint of a finished training to the safetensors file that `path` returns for its
    /// index.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written.
    pub fn write_safetensors(&self, path: impl Fn(usize) -> Result<PathBuf>) -> Result<()> {
        for (index, file) in self.files.iter().enumerate() {
            let bytes = file.read()?.expect("a finished training has kept all checkpoints");
            write_bytes_atomically(&path(index)?, &bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_steps_are_evenly_spaced_and_end_with_the_training() {
        let steps = |num_steps, count| kept_steps(num_steps, count).collect::<Vec<u64>>();
        assert_eq!(steps(20, 4), [5, 10, 15, 20]);
        assert_eq!(steps(10, 3), [4, 7, 10]);
        assert_eq!(steps(3, 3), [1, 2, 3]);
        assert!(steps(2, 0).is_empty());
    }

    #[test]
    fn a_training_with_fewer_steps_than_checkpoints_is_refused() {
        let files = (0..3).map(|index| CheckpointFile::new(format!("{index}"), "cell")).collect();
        let kept = KeptCheckpoints::new(files);
        assert!(kept.ensure_enough_steps(3).is_ok());
        let error = kept.ensure_enough_steps(2).unwrap_err();
        assert!(error.to_string().contains("cannot keep 3 checkpoints"), "{error}");
    }
}

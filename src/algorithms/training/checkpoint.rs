//! Checkpoints of a training run: safetensors files with the run's tensors. The metadata of the file holds
//! the run's progress as JSON.

use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_model::{NamedTensors, SafetensorsReader};

/// A checkpoint in memory, and the path of its future file.
pub struct EncodedCheckpoint {
    file: CheckpointFile,
    bytes: Vec<u8>,
}

impl EncodedCheckpoint {
    /// Encodes `tensors` and `progress` for `file`.
    ///
    /// # Errors
    /// Fails if safetensors refuses the tensors.
    pub fn new(file: &CheckpointFile, mut tensors: NamedTensors, progress: &impl Serialize) -> Result<Self> {
        tensors.set_metadata_text(serde_json::to_string(progress).expect("progress is plain JSON"));
        Ok(Self { file: file.clone(), bytes: tensors.to_bytes()? })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&self) -> Result<()> {
        self.file.write(&self.bytes)
    }
}

/// Reads the tensors and the progress of a checkpoint. Returns `None` if there is no checkpoint.
///
/// # Errors
/// Fails if the file cannot be read, is damaged, or belongs to another training run.
pub fn read_checkpoint<P: DeserializeOwned>(
    file: &CheckpointFile,
    device: &Device,
) -> Result<Option<(SafetensorsReader, P)>> {
    let Some(bytes) = file.read()? else { return Ok(None) };
    let checkpoint = SafetensorsReader::from_bytes(bytes, file.path(), device)?;
    let progress = serde_json::from_str(checkpoint.metadata_text().unwrap_or_default()).map_err(|cause| {
        let path = file.path().display();
        Error::environment(format!("cannot read the training progress in `{path}`")).with_source(cause)
    })?;
    Ok(Some((checkpoint, progress)))
}

//! The candidates that a search has pruned, in a file that exists until the search ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::algorithms::score::ScoreBounds;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_model::Mask;

/// The candidates that a search has pruned.
///
/// A pruned candidate has no exact score, and so no score record. This file stores the bounds of its score,
/// so that a process that resumes the search can read them.
pub(super) struct PrunedCandidates {
    file: CheckpointFile,
    candidates: BTreeMap<String, PrunedCandidate>,
}

/// The result of a pruned candidate.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct PrunedCandidate {
    /// The bounds of the candidate's score at the time of pruning.
    pub(super) bounds: ScoreBounds,
    /// Number of tokens that the model processed for the candidate before the pruning.
    pub(super) tokens: u64,
}

impl PrunedCandidates {
    /// Reads the candidates in `file`. Returns no candidates if the file does not exist.
    ///
    /// # Errors
    /// Fails if the file cannot be read or is damaged.
    pub(super) fn read(file: CheckpointFile) -> Result<Self> {
        let bytes = file.read()?.unwrap_or_else(|| b"{}".to_vec());
        let candidates = serde_json::from_slice(&bytes).map_err(|cause| {
            let message = format!("cannot read the pruned candidates in `{}`", file.path().display());
            Error::environment(message).with_source(cause)
        })?;
        Ok(Self { file, candidates })
    }

    /// Returns the pruned candidate with this mask, or `None` if the search has not pruned it.
    pub(super) fn get(&self, mask: &Mask) -> Option<PrunedCandidate> {
        self.candidates.get(&mask_name(mask)).copied()
    }

    /// Adds the pruned candidates of a batch and writes the file. Does nothing if there are none.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn add_batch(&mut self, batch: Vec<(&Mask, PrunedCandidate)>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.candidates.extend(batch.into_iter().map(|(mask, candidate)| (mask_name(mask), candidate)));
        let text = serde_json::to_string(&self.candidates).expect("bounds are plain JSON");
        self.file.write(text.as_bytes())
    }
}

/// Returns the name of a mask in files: the replaced layers, joined by commas.
pub(super) fn mask_name(mask: &Mask) -> String {
    mask.layers().iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

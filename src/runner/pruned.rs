//! The candidates that a search has pruned, kept until the search ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::algorithms::score::ScoreBounds;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_model::Mask;

/// The candidates that a search has pruned. They have no score cell, so that a resumed search reads them from
/// here.
pub struct PrunedCandidates {
    file: CheckpointFile,
    candidates: BTreeMap<String, PrunedCandidate>,
}

/// A pruned candidate.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct PrunedCandidate {
    bounds: ScoreBounds,
    tokens: u64,
}

impl PrunedCandidates {
    /// Reads the pruned candidates from `file`; none if there is no file.
    pub fn read(file: CheckpointFile) -> Result<Self> {
        let bytes = file.read()?.unwrap_or_else(|| b"{}".to_vec());
        let candidates = serde_json::from_slice(&bytes).map_err(|cause| {
            Error::environment(format!("cannot read the pruned candidates in `{}`", file.path().display()))
                .with_source(cause)
        })?;
        Ok(Self { file, candidates })
    }

    /// Returns the bounds of a mask's score when it was pruned, and the tokens that were scored until then.
    pub fn get(&self, mask: &Mask) -> Option<(ScoreBounds, u64)> {
        self.candidates.get(&name(mask)).map(|pruned| (pruned.bounds, pruned.tokens))
    }

    /// Adds a mask that was pruned, and writes the file.
    pub fn add(&mut self, mask: &Mask, bounds: ScoreBounds, tokens: u64) -> Result<()> {
        self.candidates.insert(name(mask), PrunedCandidate { bounds, tokens });
        let text = serde_json::to_string(&self.candidates).expect("bounds are plain JSON");
        self.file.write(text.as_bytes())
    }
}

fn name(mask: &Mask) -> String {
    mask.layers().iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

//! The files through which processes help a search that another process runs.
//!
//! The process that runs a search describes the current round in `round.json`, if a candidate takes long. An
//! idle process claims some of these candidates and scores them. The score of a complete candidate becomes a
//! record, as every score does. The bounds of a pruned candidate become a line of a file of the helper. Both
//! are what the search itself would have computed, so help changes no result.
//!
//! The files are in the folder of the search's checkpoints, which is removed when the search ends.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::algorithms::candidate::{CandidateBatch, PruneBelow};
use crate::algorithms::score::PartBounds;
use crate::store::{AttemptId, CellFolder, CellId, Store};
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::error::{Error, Result};
use dtr_core::files;
use dtr_model::Mask;

/// The name of the file that describes the current round.
const ROUND_FILE: &str = "round.json";

/// The beginning of the names of the files in which helpers write the bounds of pruned candidates.
const PRUNED_PREFIX: &str = "pruned-by-";

/// The candidates of a round that other processes may score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenRound {
    /// The layers of the hybrid whose hidden states the candidates share up to the first difference.
    incumbent: Vec<u32>,
    /// The layers of each candidate, in the order in which the search scores them.
    candidates: Vec<Vec<u32>>,
    /// A score below which a candidate cannot win. `None` if it is not known yet.
    prune_below: Option<f64>,
    /// Whether the search runs on a CPU. CPUs and GPUs divide a split into different parts.
    is_cpu: bool,
}

impl OpenRound {
    /// Describes the round of `batch`.
    pub(super) fn new(batch: &CandidateBatch<'_>, is_cpu: bool) -> Self {
        let thresholds = batch.candidates.iter().map(|one| Some(one.prune_below?.score));
        // The search prunes later candidates below the same or a higher score.
        let prune_below = thresholds.reduce(|one, other| Some(one?.min(other?))).flatten();
        let masks = batch.candidates.iter().map(|one| one.mask).chain(batch.later);
        Self {
            incumbent: batch.candidates[0].incumbent.layers(),
            candidates: masks.map(Mask::layers).collect(),
            prune_below,
            is_cpu,
        }
    }

    pub(super) fn incumbent(&self) -> Mask {
        self.incumbent.iter().copied().collect()
    }

    /// Returns the masks of the candidates in the order in which a helper tries them.
    ///
    /// The search takes candidates from the front, so a helper takes them from the back. Before the first
    /// score of a round, there is nothing to prune against. The front then holds the most promising
    /// candidates, which will be scored completely in any case.
    pub(super) fn masks_for_helper(&self) -> Vec<Mask> {
        let masks = self.candidates.iter().map(|layers| layers.iter().copied().collect());
        match self.prune_below {
            Some(_) => masks.rev().collect(),
            None => masks.collect(),
        }
    }

    /// Returns the threshold for a helper's candidates. It prunes a candidate no earlier than the search
    /// would.
    pub(super) fn prune_below(&self) -> Option<PruneBelow> {
        self.prune_below.map(|score| PruneBelow { score, prunes_ties: false })
    }

    /// Returns whether a process that computes on a CPU, or on GPUs, can help.
    pub(super) fn accepts(&self, is_cpu: bool) -> bool {
        self.is_cpu == is_cpu
    }
}

/// The files of the open round of a search.
pub(super) struct OpenRoundFiles {
    folder: CellFolder,
    owner: String,
}

impl OpenRoundFiles {
    /// Returns the files of the search with the id `search`.
    pub(super) fn new(store: &Store, search: &CellId) -> Self {
        Self { folder: store.cell_folder(search), owner: search.key.to_string() }
    }

    fn file(&self, name: &str) -> Result<CheckpointFile> {
        Ok(CheckpointFile::new(self.folder.checkpoint_path(name)?, self.owner.clone()))
    }

    /// Opens a round to helpers.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn open(&self, round: &OpenRound) -> Result<()> {
        let text = serde_json::to_string(round).expect("a round is plain JSON");
        self.file(ROUND_FILE)?.write(text.as_bytes())
    }

    /// Closes the round to helpers.
    ///
    /// # Errors
    /// Fails if the file cannot be removed.
    pub(super) fn close(&self) -> Result<()> {
        files::remove_file_or_folder_if_present(self.file(ROUND_FILE)?.path())
    }

    /// Reads the open round. Returns `None` if no round is open, or if its file cannot be used.
    pub(super) fn read(&self) -> Result<Option<OpenRound>> {
        Ok(read_json(&self.file(ROUND_FILE)?))
    }

    /// Writes the bounds of the candidates that this process has pruned, by the names of their masks.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn write_pruned(&self, pruned: &BTreeMap<String, Vec<PartBounds>>) -> Result<()> {
        let name = format!("{PRUNED_PREFIX}{}.json", AttemptId::of_this_process().as_str());
        let text = serde_json::to_string(pruned).expect("bounds are plain JSON");
        self.file(&name)?.write(text.as_bytes())
    }

    /// Reads the bounds of the candidates that helpers have pruned, by the names of their masks. Ignores a
    /// file that cannot be used, because the search can compute the bounds itself.
    ///
    /// # Errors
    /// Fails if the folder cannot be listed.
    pub(super) fn read_pruned(&self) -> Result<BTreeMap<String, Vec<PartBounds>>> {
        let folder = self.folder.checkpoint_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(cause) => return Err(Error::io("list", &folder, cause)),
        };
        let mut pruned = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(|cause| Error::io("list", &folder, cause))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(PRUNED_PREFIX) && name.ends_with(".json") {
                let read: Option<BTreeMap<_, _>> = read_json(&self.file(&name)?);
                pruned.extend(read.unwrap_or_default());
            }
        }
        Ok(pruned)
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(file: &CheckpointFile) -> Option<T> {
    serde_json::from_slice(&file.read().ok()??).ok()
}

/// Returns the number of candidates that a process claims at once, if several processes score the
/// `num_open` candidates of a round. Claims become smaller towards the end of the round (guided
/// self-scheduling), so that the processes end at about the same time.
pub(super) fn fair_share(num_open: usize, num_processes: usize) -> usize {
    (num_open / (2 * num_processes)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::candidate::Candidate;

    fn round(thresholds: [Option<f64>; 2]) -> OpenRound {
        let incumbent: Mask = [3].into_iter().collect();
        let masks: Vec<Mask> = (0..3).map(|layer| incumbent.with_layer(layer)).collect();
        let candidates: Vec<Candidate<'_>> = masks
            .iter()
            .zip(thresholds)
            .map(|(mask, score)| {
                let prune_below = score.map(|score| PruneBelow { score, prunes_ties: true });
                Candidate { incumbent: &incumbent, mask, prune_below }
            })
            .collect();
        OpenRound::new(&CandidateBatch { candidates: &candidates, later: &masks[2..] }, true)
    }

    #[test]
    fn a_helper_prunes_no_earlier_than_the_search() {
        let pruning = round([Some(0.5), Some(0.4)]);
        let threshold = pruning.prune_below().unwrap();
        assert!(threshold.prunes(0.39) && !threshold.prunes(0.4));
        for thresholds in [[None, None], [Some(0.5), None], [None, Some(0.5)]] {
            assert_eq!(round(thresholds).prune_below(), None);
        }
    }

    #[test]
    fn a_helper_starts_at_the_other_end_once_it_can_prune() {
        let layers = |round: OpenRound| -> Vec<Vec<u32>> {
            round.masks_for_helper().iter().map(Mask::layers).collect()
        };
        assert_eq!(layers(round([None, None])), [[0, 3], [1, 3], [2, 3]]);
        assert_eq!(layers(round([Some(0.5), Some(0.5)])), [[2, 3], [1, 3], [0, 3]]);
        assert_eq!(round([None, None]).incumbent().layers(), [3]);
        assert!(round([None, None]).accepts(true) && !round([None, None]).accepts(false));
    }

    #[test]
    fn shares_become_smaller_and_are_never_empty() {
        assert_eq!([28, 8, 4, 3, 1].map(|num_open| fair_share(num_open, 2)), [7, 2, 1, 1, 1]);
    }
}

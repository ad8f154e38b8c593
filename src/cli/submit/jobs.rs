//! The jobs that compute the cells of a plan on a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::plan::{CellStatus, can_run_in_parallel};
use crate::slurm::QueuedJob;
use crate::stages::{Cell, STAGES};
use crate::store::{CellKey, StageName};
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

/// Returns the beginning of the names of an experiment's jobs. Some digits distinguish the jobs of results
/// folders with equal experiments.
///
/// # Errors
/// Fails if the path of the results folder cannot be made absolute.
pub(in crate::cli) fn job_name_prefix(experiment: &str, results: &Path) -> Result<String> {
    let absolute = std::path::absolute(results).map_err(|cause| Error::io("find", results, cause))?;
    let digest = Digest::hash(absolute.display().to_string().as_bytes()).to_string();
    Ok(format!("dtr-{experiment}-{}-", &digest[..6]))
}

/// The part of a base's work that a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Training of the base and distillation, whose cells of one base run together in one process.
    Distil,
    /// Scores, searches, and the training after searches: cells that several equal workers claim.
    Search,
    /// Timings, on a host without other jobs.
    Throughput,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Distil, Self::Search, Self::Throughput];

    /// Returns the part to which the cells of a stage belong.
    fn of(stage: &StageName) -> Self {
        let first_parallel = STAGES.iter().position(|entry| can_run_in_parallel(&entry.name));
        let position = STAGES.iter().position(|entry| entry.name == *stage);
        match position < first_parallel {
            _ if stage.as_str() == "throughput" => Self::Throughput,
            true => Self::Distil,
            false => Self::Search,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Distil => "distil",
            Self::Search => "search",
            Self::Throughput => "throughput",
        }
    }
}

/// The work of one part of one base.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartOfBase {
    pub(super) model: String,
    pub(super) part: Part,
    /// The stages of the part that the plan has cells of, as `STAGE:MODEL`.
    pub(super) filters: Vec<String>,
    /// The number of cells that are not done.
    pub(super) num_pending: usize,
    /// The other bases whose cells are inputs of this part: those from which fine-tuning makes this base.
    pub(super) other_bases: BTreeSet<String>,
}

/// Lists the parts of all bases, in the order in which they depend on one another. Parts without pending
/// cells are left out. A failed cell counts as pending only if `retry_failed` is set.
pub(super) fn list_parts(cells: &[(&Cell, CellStatus)], retry_failed: bool) -> Vec<PartOfBase> {
    let mut models: Vec<&String> = Vec::new();
    for (cell, _) in cells {
        if !models.contains(&&cell.labels.model) {
            models.push(&cell.labels.model);
        }
    }
    let model_of: BTreeMap<CellKey, &String> =
        cells.iter().map(|(cell, _)| (cell.key(), &cell.labels.model)).collect();
    let mut parts = Vec::new();
    for model in models {
        for part in Part::ALL {
            let of_part = || {
                let is_of_part = |cell: &Cell| cell.labels.model == *model && Part::of(cell.stage()) == part;
                cells.iter().filter(move |(cell, _)| is_of_part(cell))
            };
            let is_pending = |status: CellStatus| match status {
                CellStatus::Done => false,
                CellStatus::Failed => retry_failed,
                CellStatus::Running | CellStatus::Missing => true,
            };
            let num_pending = of_part().filter(|(_, status)| is_pending(*status)).count();
            let stages: BTreeSet<&StageName> = of_part().map(|(cell, _)| cell.stage()).collect();
            let filters = STAGES.iter().filter(|entry| stages.contains(&entry.name));
            let filters = filters.map(|entry| format!("{}:{model}", entry.name)).collect();
            if num_pending > 0 {
                let inputs = of_part().flat_map(|(cell, _)| cell.inputs().values());
                let bases = inputs.filter_map(|input| model_of.get(&input.key).copied());
                let other_bases = bases.filter(|base| *base != model).cloned().collect();
                parts.push(PartOfBase { model: model.clone(), part, filters, num_pending, other_bases });
            }
        }
    }
    parts
}

/// Removes the cells that cannot run, because an input of theirs has failed or cannot run. The inputs of a
/// cell are listed before the cell.
pub(super) fn remove_blocked(cells: &mut Vec<(&Cell, CellStatus)>) {
    let mut unavailable = BTreeSet::new();
    cells.retain(|(cell, status)| {
        let is_blocked = cell.inputs().values().any(|input| unavailable.contains(&input.key));
        if *status == CellStatus::Failed || (is_blocked && *status != CellStatus::Done) {
            unavailable.insert(cell.key());
        }
        !is_blocked || *status == CellStatus::Done
    });
}

/// Returns the number of workers to add for a part, and the ids of the jobs that work on it already. `name` is
/// the name of the part's jobs.
pub(super) fn count_new_workers(
    part: &PartOfBase,
    max_workers: usize,
    name: &str,
    queue: &[QueuedJob],
) -> (usize, Vec<String>) {
    let present: Vec<String> =
        queue.iter().filter(|job| job.name == name).map(|job| job.id.to_string()).collect();
    let wanted = match part.part {
        Part::Search => part.num_pending.min(max_workers),
        Part::Distil | Part::Throughput => 1,
    };
    (wanted.saturating_sub(present.len()), present)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(name: &str, id: u64) -> QueuedJob {
        QueuedJob {
            id,
            label: id.to_string(),
            state: "RUNNING".to_owned(),
            restarts: 0,
            nodes: "n1".to_owned(),
            reason: String::new(),
            name: name.to_owned(),
        }
    }

    fn part(part: Part, num_pending: usize) -> PartOfBase {
        PartOfBase {
            model: "mini".to_owned(),
            part,
            filters: Vec::new(),
            num_pending,
            other_bases: BTreeSet::new(),
        }
    }

    #[test]
    fn workers_are_as_many_as_cells_less_those_that_the_queue_lists() {
        let queue = [queued("dtr-a", 1), queued("dtr-a", 2), queued("dtr-b", 3)];
        let count = |part: &PartOfBase, name| count_new_workers(part, 16, name, &queue);
        assert_eq!(count(&part(Part::Search, 3), "dtr-a"), (1, vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(count(&part(Part::Search, 40), "dtr-c"), (16, Vec::new()));
        assert_eq!(count(&part(Part::Search, 1), "dtr-a").0, 0);
        assert_eq!(count(&part(Part::Distil, 3), "dtr-c"), (1, Vec::new()));
        assert_eq!(count(&part(Part::Distil, 3), "dtr-b"), (0, vec!["3".to_owned()]));
    }

    #[test]
    fn every_stage_belongs_to_one_part() {
        let parts: Vec<(&str, &str)> =
            STAGES.iter().map(|entry| (entry.name.as_str(), Part::of(&entry.name).name())).collect();
        assert_eq!(
            parts,
            [
                ("pretrain", "distil"),
                ("finetune-base", "distil"),
                ("distil", "distil"),
                ("score", "search"),
                ("search", "search"),
                ("logit-distil", "search"),
                ("tuned-score", "search"),
                ("finetune", "search"),
                ("checkpoint-distil", "search"),
                ("finetune-score", "search"),
                ("throughput", "throughput"),
            ]
        );
    }
}

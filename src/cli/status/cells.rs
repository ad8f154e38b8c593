//! The cells of an experiment: their records, leases and logs.

use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::plan::Plan;
use crate::slurm::QueuedJob;
use crate::stages::{Cell, STAGES};
use crate::store::{
    CellEvent, CellState, CheckDepth, EventKind, Heartbeat, Lease, LeaseState, ProgressReport, StageName,
    Store, read_events,
};
use dtr_core::error::Result;

/// The age of a heartbeat from which on its holder may have ended. Holders touch their leases every 30
/// seconds.
const DOUBTFUL_AGE: Duration = Duration::from_secs(120);

/// What a cell does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CellActivity {
    /// The cell has a result.
    Done,
    /// A process works on the cell.
    Running(Work),
    /// The process that worked on the cell has ended without a result, and no other process has continued.
    Stale(Work),
    /// The cell failed with this error.
    Failed(String),
    /// The cell has no result, or its result is damaged.
    Missing,
}

/// The work of a process on a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Work {
    /// The lease. `None` if its file cannot be parsed.
    pub(super) lease: Option<Lease>,
    pub(super) heartbeat: Heartbeat,
    /// The last event of the process apart from scores and progress.
    pub(super) event: Option<CellEvent>,
    /// The last progress of the process, and its time as RFC 3339.
    pub(super) progress: Option<(String, ProgressReport)>,
}

impl Work {
    /// Returns whether neither the kernel of this host nor a job tells if the process runs, and nobody was
    /// seen to touch its lease for long.
    pub(super) fn is_doubtful(&self) -> bool {
        let is_here = self.lease.as_ref().is_some_and(|lease| lease.holder.is_on_this_kernel());
        !is_here && self.heartbeat.age > DOUBTFUL_AGE
    }
}

/// A cell of the plan, and what it does.
pub(super) struct CellReport<'a> {
    pub(super) cell: &'a Cell,
    pub(super) activity: CellActivity,
}

impl CellReport<'_> {
    /// Returns the work of the process that holds the lease.
    pub(super) fn work(&self) -> Option<&Work> {
        match &self.activity {
            CellActivity::Running(work) | CellActivity::Stale(work) => Some(work),
            CellActivity::Done | CellActivity::Failed(_) | CellActivity::Missing => None,
        }
    }

    /// Returns the report after a look at the jobs of Slurm. A lease is stale if its job has ended.
    pub(super) fn with_queue(self, queue: Option<&[QueuedJob]>) -> Self {
        let has_ended = |work: &Work| {
            let lease = work.lease.as_ref().filter(|lease| !lease.holder.is_on_this_kernel());
            let run = lease.and_then(|lease| lease.slurm.as_ref());
            run.zip(queue).is_some_and(|(run, queue)| run.has_ended(queue))
        };
        match self.activity {
            CellActivity::Running(work) if has_ended(&work) => {
                Self { activity: CellActivity::Stale(work), ..self }
            }
            _ => self,
        }
    }

    fn status(&self) -> &'static str {
        match self.activity {
            CellActivity::Done => "done",
            CellActivity::Running(_) => "running",
            CellActivity::Stale(_) => "stale",
            CellActivity::Failed(_) => "failed",
            CellActivity::Missing => "missing",
        }
    }
}

impl Serialize for CellReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("CellReport", 12)?;
        fields.serialize_field("stage", self.cell.stage())?;
        fields.serialize_field("key", &self.cell.key())?;
        fields.serialize_field("labels", &self.cell.labels)?;
        fields.serialize_field("status", self.status())?;
        if let Some(work) = self.work() {
            let lease = work.lease.as_ref();
            fields.serialize_field("host", &lease.map(|lease| &lease.holder.host))?;
            fields.serialize_field("process", &lease.map(|lease| lease.holder.process))?;
            fields.serialize_field("job", &lease.and_then(|lease| Some(lease.slurm.as_ref()?.job)))?;
            fields.serialize_field("heartbeat-seconds", &work.heartbeat.age.as_secs())?;
            fields.serialize_field("event", &work.event)?;
            let progress = work.progress.as_ref();
            fields.serialize_field("progress", &progress.map(|(_, report)| report))?;
            fields.serialize_field("progress-at", &progress.map(|(at, _)| at))?;
            fields.serialize_field("per-second", &progress.map(|(_, report)| report.per_second()))?;
        }
        if let CellActivity::Failed(error) = &self.activity {
            fields.serialize_field("error", error)?;
        }
        fields.end()
    }
}

/// The numbers of cells of a stage.
#[derive(Serialize)]
pub(super) struct StageCounts {
    pub(super) stage: StageName,
    pub(super) done: usize,
    pub(super) running: usize,
    pub(super) failed: usize,
    /// Cells without a result, with stale cells.
    pub(super) missing: usize,
}

/// Counts the cells of each stage, in the order in which stages run.
pub(super) fn count_by_stage(cells: &[CellReport<'_>]) -> Vec<StageCounts> {
    let count = |name: &StageName| {
        let (stage, done, running, failed, missing) = (name.clone(), 0, 0, 0, 0);
        let mut counts = StageCounts { stage, done, running, failed, missing };
        for report in cells.iter().filter(|report| report.cell.stage() == name) {
            *match report.activity {
                CellActivity::Done => &mut counts.done,
                CellActivity::Running(_) => &mut counts.running,
                CellActivity::Failed(_) => &mut counts.failed,
                CellActivity::Stale(_) | CellActivity::Missing => &mut counts.missing,
            } += 1;
        }
        counts
    };
    let is_planned = |name: &StageName| cells.iter().any(|report| report.cell.stage() == name);
    STAGES.iter().map(|stage| &stage.name).filter(|name| is_planned(name)).map(count).collect()
}

/// Reads the states of a plan's cells. Cells that are done are read once.
pub(super) struct CellStates<'a> {
    store: &'a Store,
    /// The cells of the plan, and whether each is known to be done.
    cells: Vec<(&'a Cell, bool)>,
}

impl<'a> CellStates<'a> {
    pub(super) fn new(plan: &'a Plan, store: &'a Store) -> Self {
        Self { store, cells: plan.cells.iter().map(|cell| (cell, false)).collect() }
    }

    /// Reads the cells. Asks neither the kernels of other hosts nor Slurm whether processes run.
    ///
    /// # Errors
    /// Fails if a record or a lease cannot be read.
    pub(super) fn read(&mut self) -> Result<Vec<CellReport<'a>>> {
        let mut reports = Vec::with_capacity(self.cells.len());
        for (cell, is_done) in &mut self.cells {
            let activity = match *is_done {
                true => CellActivity::Done,
                false => read_activity(self.store, cell)?,
            };
            *is_done = activity == CellActivity::Done;
            reports.push(CellReport { cell, activity });
        }
        Ok(reports)
    }
}

fn read_activity(store: &Store, cell: &Cell) -> Result<CellActivity> {
    let state = store.cell_state(cell.id(), CheckDepth::Quick)?;
    if state == CellState::Done {
        return Ok(CellActivity::Done);
    }
    let work = |lease: Option<Lease>, heartbeat| {
        let (event, progress) = read_last_events(store, cell, lease.as_ref());
        Work { lease, heartbeat, event, progress }
    };
    let observed = store.observe_lease(cell.id())?;
    Ok(match (observed.map(|it| (it.state, it.heartbeat)), state) {
        (Some((LeaseState::Held(lease), heartbeat)), _) => CellActivity::Running(work(lease, heartbeat)),
        (_, CellState::Failed(error)) => CellActivity::Failed(error),
        (Some((LeaseState::Stale(lease), heartbeat)), _) => CellActivity::Stale(work(lease, heartbeat)),
        _ => CellActivity::Missing,
    })
}

/// Returns the last event (apart from scores) and the last progress in the log of the process that holds a
/// lease. Ignores a log that cannot be read.
fn read_last_events(
    store: &Store,
    cell: &Cell,
    lease: Option<&Lease>,
) -> (Option<CellEvent>, Option<(String, ProgressReport)>) {
    let path = lease.map(|lease| store.cell_folder(cell.id()).event_log_path(Some(&lease.attempt)));
    let mut events = path.and_then(|path| read_events(&path).ok()).unwrap_or_default();
    // A process may have tried the cell before, and failed or stopped.
    let start = events.iter().rposition(|event| event.kind == EventKind::Started).unwrap_or_default();
    let (mut last, mut progress) = (None, None);
    for event in events.drain(start..) {
        match event.kind {
            EventKind::Progress(report) => progress = Some((event.at, report)),
            EventKind::Scored(_) => {}
            _ => last = Some(event),
        }
    }
    (last, progress)
}

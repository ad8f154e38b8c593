//! The queue through which the owner of a search and its helpers share the parts of a group.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::shared_group::{GroupFiles, HelpedPart, PartChoice, SharedGroup};
use crate::algorithms::score::{GroupScores, OpenParts, PartQueue, PartScore, ScoredCandidate};
use crate::device::{TimeAndEnergy, UsageMeter, UsageTimer};
use crate::observer::Observer;
use crate::runner::RunContext;
use dtr_core::error::Result;

/// The pause between two looks for parts that helpers score, as a share of the time of a part, and its limits.
const SHARE_OF_PAUSE: f64 = 0.05;
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(250)];

/// The shortest time after which the owner scores a part itself that a helper has claimed.
const MIN_PATIENCE: Duration = Duration::from_secs(2);

/// The usage of the parts that this process scores.
struct PartTimers<'a> {
    meter: &'a UsageMeter,
    num_devices: usize,
    started: BTreeMap<usize, (Instant, UsageTimer<'a>)>,
    ended: ScoredParts,
}

/// The parts that this process has scored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScoredParts {
    pub(super) num_parts: usize,
    /// The longest time of a part.
    pub(super) longest: Duration,
}

impl<'a> PartTimers<'a> {
    fn new(context: &'a RunContext<'a>) -> Self {
        let num_devices = context.devices.len();
        Self { meter: context.meter, num_devices, started: BTreeMap::new(), ended: ScoredParts::default() }
    }

    fn start(&mut self, parts: &Range<usize>) {
        self.started.insert(parts.start, (Instant::now(), self.meter.start()));
    }

    /// Ends the time of parts. Returns the usage of one device.
    fn end(&mut self, parts: &Range<usize>) -> TimeAndEnergy {
        let (start, timer) = self.started.remove(&parts.start).expect("the part was started");
        self.ended.num_parts += parts.len();
        self.ended.longest = self.ended.longest.max(start.elapsed() / parts.len().max(1) as u32);
        timer.usage().scale(1.0 / self.num_devices as f64)
    }
}

/// The queue of the process that runs the search.
pub(super) struct OwnerQueue<'a> {
    files: &'a GroupFiles,
    task: &'a dyn Observer,
    state: Mutex<OwnerState<'a>>,
}

struct OwnerState<'a> {
    group: SharedGroup,
    scores: GroupScores<'a>,
    timers: PartTimers<'a>,
    spent: TimeAndEnergy,
}

impl<'a> OwnerQueue<'a> {
    /// Opens `group` to helpers.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub(super) fn open(
        context: &'a RunContext<'a>,
        files: &'a GroupFiles,
        task: &'a dyn Observer,
        group: SharedGroup,
        scores: GroupScores<'a>,
    ) -> Result<Self> {
        files.remove_parts()?;
        files.write_group(&group)?;
        let timers = PartTimers::new(context);
        let state = OwnerState { group, scores, timers, spent: TimeAndEnergy::ZERO };
        Ok(Self { files, task, state: Mutex::new(state) })
    }

    /// Returns the scores, and the usage of all processes for them.
    pub(super) fn finish(self) -> (Vec<ScoredCandidate>, TimeAndEnergy) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.scores.finish(), state.spent)
    }

    fn lock(&self) -> MutexGuard<'_, OwnerState<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartQueue for OwnerQueue<'_> {
    fn next(&self, cost: &dyn Fn(usize) -> usize) -> Result<Option<OpenParts>> {
        let start = Instant::now();
        loop {
            self.task.check_interrupted()?;
            let pause = {
                let mut state = self.lock();
                state.add_helped_parts(self.files)?;
                if state.scores.is_done() {
                    return Ok(None);
                }
                let longest = state.timers.ended.longest;
                let mut parts = state.claim_parts(self.files, start.elapsed() < longest, cost)?;
                if parts.is_none() && start.elapsed() >= MIN_PATIENCE.max(2 * longest) {
                    parts = state.late_part();
                }
                if let Some(parts) = parts {
                    state.timers.start(&parts);
                    return Ok(Some(OpenParts { parts, candidates: state.scores.open_candidates() }));
                }
                longest.mul_f64(SHARE_OF_PAUSE).clamp(PAUSES[0], PAUSES[1])
            };
            thread::sleep(pause);
        }
    }

    fn add(&self, parts: OpenParts, scores: Vec<PartScore>) -> Result<()> {
        let mut state = self.lock();
        state.spent = state.spent + state.timers.end(&parts.parts);
        state.scores.add(parts, scores);
        state.publish_open_candidates(self.files)
    }
}

impl OwnerState<'_> {
    /// Adds the scores of the parts that helpers have scored since.
    fn add_helped_parts(&mut self, files: &GroupFiles) -> Result<()> {
        let listed = files.list_parts(&self.group.name)?;
        for part in listed.scored.into_iter() {
            if part >= self.scores.num_parts() || self.scores.has(part) {
                continue;
            }
            let Some(helped) = files.read_part(&self.group.name, part)? else { continue };
            let HelpedPart { candidates, scores, spent } = helped;
            let parts = OpenParts { parts: part..part + 1, candidates };
            if parts.cover(&self.scores.open_candidates()) {
                self.scores.add(parts, scores);
                self.spent = self.spent + spent;
            }
        }
        self.publish_open_candidates(files)
    }

    /// Claims the next parts for a scorer. Claims all parts if no candidate can be pruned and nobody else scores.
    fn claim_parts(
        &self,
        files: &GroupFiles,
        leaves_last: bool,
        cost: &dyn Fn(usize) -> usize,
    ) -> Result<Option<Range<usize>>> {
        let (name, end) = (&self.group.name, self.scores.num_parts());
        let in_order = self.scores.can_prune();
        let choice = |parts| PartChoice { parts, in_order, leaves_last, cost };
        let Some(first) = files.claim_part(name, &choice(self.scores.num_added()..end))? else {
            return Ok(None);
        };
        let is_alone = self.timers.num_devices == 1 && files.list_parts(name)?.num_helpers == 0;
        let mut next = first + 1;
        while is_alone && !in_order && files.claim_part(name, &choice(next..end.min(next + 1)))?.is_some() {
            next += 1;
        }
        Ok(Some(first..next))
    }

    /// Returns the first part that a helper has claimed but not scored.
    fn late_part(&self) -> Option<Range<usize>> {
        let is_late = |part: &usize| !self.scores.has(*part) && !self.timers.started.contains_key(part);
        (self.scores.num_added()..self.scores.num_parts()).find(is_late).map(|part| part..part + 1)
    }

    /// Tells helpers which candidates are pruned.
    fn publish_open_candidates(&mut self, files: &GroupFiles) -> Result<()> {
        let open = self.scores.open_candidates();
        if open == self.group.open || self.scores.is_done() {
            return Ok(());
        }
        self.group.open = open;
        files.write_group(&self.group)
    }
}

/// The queue of a process that helps.
pub(super) struct HelperQueue<'a> {
    context: &'a RunContext<'a>,
    files: &'a GroupFiles,
    group: &'a SharedGroup,
    timers: Mutex<PartTimers<'a>>,
}

impl<'a> HelperQueue<'a> {
    /// Creates a queue of the parts of `group`.
    pub(super) fn new(context: &'a RunContext<'a>, files: &'a GroupFiles, group: &'a SharedGroup) -> Self {
        Self { context, files, group, timers: Mutex::new(PartTimers::new(context)) }
    }

    /// Returns the parts of the group that this process has scored.
    pub(super) fn scored_parts(&self) -> ScoredParts {
        self.timers().ended
    }

    fn timers(&self) -> MutexGuard<'_, PartTimers<'a>> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartQueue for HelperQueue<'_> {
    fn next(&self, cost: &dyn Fn(usize) -> usize) -> Result<Option<OpenParts>> {
        self.context.check_interrupted()?;
        let Some(group) = self.files.read_group()?.filter(|group| group.name == self.group.name) else {
            return Ok(None);
        };
        let in_order = group.can_prune;
        let choice = PartChoice { parts: 0..group.num_parts, in_order, leaves_last: true, cost };
        let Some(part) = self.files.claim_part(&group.name, &choice)? else { return Ok(None) };
        let parts = OpenParts { parts: part..part + 1, candidates: group.open.clone() };
        self.timers().start(&parts.parts);
        Ok(Some(parts))
    }

    fn add(&self, parts: OpenParts, scores: Vec<PartScore>) -> Result<()> {
        let spent = self.timers().end(&parts.parts);
        let helped = HelpedPart { candidates: parts.candidates, scores, spent };
        self.files.write_part(&self.group.name, parts.parts.start, &helped)
    }
}

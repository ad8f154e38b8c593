//! A discrete-event simulation of the jobs of `dtr submit`.
//!
//! Each base has one job for its distillation, and then an array of equal workers. A worker claims one search
//! after the other. A worker without a search of its own helps with a search of another worker, and keeps its
//! GPU until all searches of its base have ended. Helpers and the worker that runs a search take parts of the
//! task's items, and score a group of candidates on each part.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::work::{BaseWork, SearchWork};

/// The cluster.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    pub num_gpus: usize,
    /// The most workers in the array of a base.
    pub max_workers: usize,
    /// Whether workers help with searches of other workers.
    pub helps: bool,
}

/// The result of a simulation. All times are in seconds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The time until the last cell is done.
    pub makespan: f64,
    /// The time that GPUs computed, over all GPUs.
    pub busy: f64,
    /// The time that workers held a GPU without computing, over all GPUs.
    pub idle: f64,
    /// The number of parts that helpers scored.
    pub num_helped: usize,
    /// The largest number of workers that ran, and that waited, at the same time.
    pub max_running: usize,
    pub max_waiting: usize,
    /// The largest number of candidates, and of parts, that were scored in one minute.
    pub max_scores_per_minute: usize,
    pub max_parts_per_minute: usize,
}

/// Returns the lower bound of the makespan: `max(work / G, longest chain)`.
pub fn lower_bound(bases: &[BaseWork], cluster: Cluster) -> f64 {
    let work = bases
        .iter()
        .map(|base| base.distil_seconds + base.searches.iter().map(SearchWork::seconds_alone).sum::<f64>());
    let chain = bases.iter().map(|base| {
        let of_search = |search: &SearchWork| match cluster.helps {
            true => search.longest_chain(),
            false => search.seconds_alone(),
        };
        base.distil_seconds + base.searches.iter().map(of_search).fold(0.0, f64::max)
    });
    (work.sum::<f64>() / cluster.num_gpus as f64).max(chain.fold(0.0, f64::max))
}

/// A search that has begun.
struct RunningSearch<'a> {
    work: &'a SearchWork,
    /// The groups of candidates, as [`SearchWork::groups`] returns them, and the index of the current one.
    groups: Vec<(usize, f64)>,
    group: usize,
    /// The number of parts of the group that nobody has claimed.
    num_free: usize,
    /// The number of parts of the group that are claimed and not scored yet.
    num_claimed: usize,
}

/// What a process does until its next event.
#[derive(Clone, Debug, PartialEq)]
enum Activity {
    Distil,
    /// Loads the base, or scores it, or scores hybrids on the test split.
    Load,
    Before(usize),
    After(usize),
    /// Scores a group of candidates of a search on one part.
    Score(usize),
    /// Waits for other processes.
    Wait,
}

/// A job on a GPU.
struct Worker {
    base: usize,
    /// The search that the worker runs.
    own: Option<usize>,
    /// The search that the worker helps.
    helped: Option<usize>,
    activity: Activity,
    since: f64,
}

/// The state of a base's work.
struct RunningBase<'a> {
    work: &'a BaseWork,
    /// The searches that have begun, by index. `None` if a search has ended.
    running: Vec<Option<RunningSearch<'a>>>,
    num_done: usize,
    num_started_workers: usize,
    is_distilled: bool,
    is_distilling: bool,
}

/// Simulates the jobs of all bases.
pub fn simulate(bases: &[BaseWork], cluster: Cluster) -> Outcome {
    let mut simulation = Simulation::new(bases, cluster);
    simulation.start_jobs();
    while let Some(Reverse((Time(now), id))) = simulation.events.pop() {
        simulation.now = now;
        simulation.end_activity(id);
        simulation.start_jobs();
        simulation.assign_work(id);
        simulation.wake_waiting();
        simulation.start_jobs();
    }
    simulation.outcome()
}

/// A time that can be ordered.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Time(f64);

impl Eq for Time {}

#[expect(clippy::derive_ord_xor_partial_ord, reason = "times are never NaN")]
impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

struct Simulation<'a> {
    cluster: Cluster,
    bases: Vec<RunningBase<'a>>,
    workers: Vec<Worker>,
    /// The ends of activities, with the worker.
    events: BinaryHeap<Reverse<(Time, usize)>>,
    now: f64,
    num_free_gpus: usize,
    /// The workers that wait for others.
    waiting: Vec<usize>,
    scores_by_minute: Vec<usize>,
    parts_by_minute: Vec<usize>,
    outcome: Outcome,
}

impl<'a> Simulation<'a> {
    fn new(bases: &'a [BaseWork], cluster: Cluster) -> Self {
        let base = |work: &'a BaseWork| RunningBase {
            work,
            running: Vec::new(),
            num_done: 0,
            num_started_workers: 0,
            is_distilled: false,
            is_distilling: false,
        };
        Self {
            cluster,
            bases: bases.iter().map(base).collect(),
            workers: Vec::new(),
            events: BinaryHeap::new(),
            now: 0.0,
            num_free_gpus: cluster.num_gpus,
            waiting: Vec::new(),
            scores_by_minute: Vec::new(),
            parts_by_minute: Vec::new(),
            outcome: Outcome {
                makespan: 0.0,
                busy: 0.0,
                idle: 0.0,
                num_helped: 0,
                max_running: 0,
                max_waiting: 0,
                max_scores_per_minute: 0,
                max_parts_per_minute: 0,
            },
        }
    }

    /// Starts jobs on free GPUs: distillations first, then workers of bases that are distilled.
    fn start_jobs(&mut self) {
        for base in 0..self.bases.len() {
            if self.num_free_gpus > 0 && !self.bases[base].is_distilling && !self.bases[base].is_distilled {
                self.bases[base].is_distilling = true;
                let seconds = self.bases[base].work.distil_seconds;
                self.start_worker(base, Activity::Distil, seconds);
            }
        }
        for base in 0..self.bases.len() {
            let max_workers = self.bases[base].work.searches.len().min(self.cluster.max_workers);
            let is_open = |base: &RunningBase<'_>| {
                base.is_distilled
                    && base.num_started_workers < max_workers
                    && base.num_done < base.work.searches.len()
            };
            while self.num_free_gpus > 0 && is_open(&self.bases[base]) {
                self.bases[base].num_started_workers += 1;
                let seconds = self.bases[base].work.load_seconds;
                self.start_worker(base, Activity::Load, seconds);
            }
        }
    }

    fn start_worker(&mut self, base: usize, activity: Activity, seconds: f64) {
        self.num_free_gpus -= 1;
        self.workers.push(Worker {
            base,
            own: None,
            helped: None,
            activity: Activity::Wait,
            since: self.now,
        });
        self.begin(self.workers.len() - 1, activity, seconds);
        let running = self.cluster.num_gpus - self.num_free_gpus;
        self.outcome.max_running = self.outcome.max_running.max(running);
    }

    /// Lets a worker do something for some seconds.
    fn begin(&mut self, id: usize, activity: Activity, seconds: f64) {
        let worker = &mut self.workers[id];
        if worker.activity == Activity::Wait {
            self.outcome.idle += self.now - worker.since;
        }
        (worker.activity, worker.since) = (activity, self.now);
        self.outcome.busy += seconds;
        self.events.push(Reverse((Time(self.now + seconds), id)));
    }

    /// Applies the end of a worker's activity.
    fn end_activity(&mut self, id: usize) {
        let worker = &mut self.workers[id];
        let base = &mut self.bases[worker.base];
        let activity = std::mem::replace(&mut worker.activity, Activity::Wait);
        worker.since = self.now;
        match activity {
            Activity::Distil => base.is_distilled = true,
            Activity::Load | Activity::Wait => {}
            Activity::Before(search) => open_group(&mut base.running[search], 0),
            Activity::After(search) => {
                base.running[search] = None;
                base.num_done += 1;
                worker.own = None;
                self.outcome.makespan = self.now;
            }
            Activity::Score(search) => {
                let running = base.running[search].as_mut().expect("a search waits for its parts");
                running.num_claimed -= 1;
                count(&mut self.parts_by_minute, self.now, 1);
                if (running.num_free, running.num_claimed) == (0, 0) {
                    count(&mut self.scores_by_minute, self.now, running.groups[running.group].0);
                    let next = running.group + 1;
                    open_group(&mut base.running[search], next);
                }
            }
        }
    }

    /// Gives a worker its next work. Ends the worker if its base has none left.
    fn assign_work(&mut self, id: usize) {
        let base = self.workers[id].base;
        let (is_distilled, work) = (self.bases[base].is_distilled, self.bases[base].work);
        let was_distilling = self.bases[base].is_distilling;
        if was_distilling && is_distilled {
            // The job of the distillation has ended.
            self.bases[base].is_distilling = false;
            self.num_free_gpus += 1;
            self.outcome.makespan = self.outcome.makespan.max(self.now);
            return;
        }
        if let Some(own) = self.workers[id].own {
            return self.continue_search(id, own);
        }
        if self.bases[base].running.len() < work.searches.len() {
            let own = self.bases[base].running.len();
            let search = RunningSearch {
                work: &work.searches[own],
                groups: work.searches[own].groups(),
                group: 0,
                num_free: 0,
                num_claimed: 0,
            };
            self.bases[base].running.push(Some(search));
            self.workers[id].own = Some(own);
            return self.begin(id, Activity::Before(own), work.searches[own].seconds_before);
        }
        if self.bases[base].num_done == work.searches.len() {
            self.num_free_gpus += 1;
            self.outcome.idle += self.now - self.workers[id].since;
            return;
        }
        if !self.try_help(id) {
            self.waiting.push(id);
            self.outcome.max_waiting = self.outcome.max_waiting.max(self.waiting.len());
        }
    }

    /// Continues the search that a worker runs: takes a part, or waits for helpers.
    fn continue_search(&mut self, id: usize, own: usize) {
        let running = self.bases[self.workers[id].base].running[own].as_ref().expect("the search runs");
        if running.group == running.groups.len() {
            let seconds = running.work.seconds_after;
            return self.begin(id, Activity::After(own), seconds);
        }
        match running.num_free {
            0 => self.waiting.push(id),
            _ => self.score_part(id, own),
        }
    }

    /// Lets a worker help a search. Returns false if no search has a free part.
    fn try_help(&mut self, id: usize) -> bool {
        let searches = &self.bases[self.workers[id].base].running;
        if !self.cluster.helps {
            return false;
        }
        // A worker stays with a search until the search ends.
        if self.workers[id].helped.is_none_or(|helped| searches[helped].is_none()) {
            let helped: Vec<usize> = (0..searches.len())
                .filter(|index| searches[*index].as_ref().is_some_and(|search| search.work.is_helped()))
                .collect();
            let Some(helped) = helped.get(id % helped.len().max(1)) else { return false };
            self.workers[id].helped = Some(*helped);
        }
        let helped = self.workers[id].helped.expect("a search was chosen");
        if searches[helped].as_ref().expect("the search runs").num_free == 0 {
            return false;
        }
        self.outcome.num_helped += 1;
        self.score_part(id, helped);
        true
    }

    /// Lets a worker score a free part.
    fn score_part(&mut self, id: usize, search: usize) {
        let base = self.workers[id].base;
        let running = self.bases[base].running[search].as_mut().expect("the search runs");
        running.num_free -= 1;
        running.num_claimed += 1;
        let (_, seconds) = running.groups[running.group];
        self.begin(id, Activity::Score(search), seconds);
    }

    /// Lets the waiting workers look for work.
    fn wake_waiting(&mut self) {
        for id in std::mem::take(&mut self.waiting) {
            self.assign_work(id);
        }
    }

    fn outcome(mut self) -> Outcome {
        let most = |by_minute: Vec<usize>| by_minute.into_iter().max().unwrap_or_default();
        self.outcome.max_scores_per_minute = most(self.scores_by_minute);
        self.outcome.max_parts_per_minute = most(self.parts_by_minute);
        self.outcome
    }
}

/// Adds `number` to the minute of the time `now`.
fn count(by_minute: &mut Vec<usize>, now: f64, number: usize) {
    let minute = (now / 60.0) as usize;
    by_minute.resize(by_minute.len().max(minute + 1), 0);
    by_minute[minute] += number;
}

/// Opens a group of a search. After the last group, no part is left.
fn open_group(search: &mut Option<RunningSearch<'_>>, group: usize) {
    let search = search.as_mut().expect("a search without an end runs");
    let is_open = group < search.groups.len();
    (search.group, search.num_free) = (group, if is_open { search.work.num_parts() } else { 0 });
}

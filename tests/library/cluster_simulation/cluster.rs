//! A discrete-event model of the jobs that `dtr submit` starts.

/// A base: one distillation job, and then searches that the workers of an array claim.
#[derive(Clone, Debug)]
pub struct Base {
    /// The GPU hours of the job that distils all variants.
    pub distillation_hours: f64,
    /// The GPU hours of each search.
    pub search_hours: Vec<f64>,
}

/// The cluster, and what workers do when no search is left to claim.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    pub num_gpus: usize,
    /// How much faster one search is on 1, 2, 3 … GPUs. The last entry holds for more GPUs too.
    pub speedups: &'static [f64],
}

/// What the model computes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The time until everything is done, in hours.
    pub makespan: f64,
    /// The largest number of workers that ran at once.
    pub max_workers: usize,
    /// The largest number of workers at once that neither claimed a search nor helped with one usefully.
    pub max_idle: usize,
    /// The hours in which GPUs worked or waited in a job.
    pub reserved_hours: f64,
}

/// A search that runs.
#[derive(Clone, Debug)]
struct RunningSearch {
    base: usize,
    /// The GPU hours that are left.
    left: f64,
    num_workers: usize,
}

/// The state of the cluster.
struct Simulation<'a> {
    cluster: Cluster,
    bases: &'a [Base],
    now: f64,
    /// The hours that each distillation still takes. `None` if it waits for a GPU.
    distilling: Vec<Option<f64>>,
    is_distilled: Vec<bool>,
    /// The searches of each base that nobody has claimed, in the order in which workers claim them.
    open: Vec<Vec<f64>>,
    /// The workers of each base that wait in the queue.
    queued: Vec<usize>,
    running: Vec<RunningSearch>,
}

impl<'a> Simulation<'a> {
    fn new(cluster: Cluster, bases: &'a [Base]) -> Self {
        Self {
            cluster,
            bases,
            now: 0.0,
            distilling: vec![None; bases.len()],
            is_distilled: vec![false; bases.len()],
            open: bases.iter().map(|base| base.search_hours.iter().rev().copied().collect()).collect(),
            queued: vec![0; bases.len()],
            running: Vec::new(),
        }
    }

    fn num_workers(&self) -> usize {
        self.running.iter().map(|search| search.num_workers).sum()
    }

    fn num_free(&self) -> usize {
        self.cluster.num_gpus - self.num_workers() - self.distilling.iter().flatten().count()
    }

    /// Starts queued jobs while GPUs are free: distillations first, because they were submitted first.
    fn start_jobs(&mut self) {
        for base in 0..self.bases.len() {
            if !self.is_distilled[base] && self.distilling[base].is_none() && self.num_free() > 0 {
                self.distilling[base] = Some(self.bases[base].distillation_hours);
            }
        }
        for base in 0..self.bases.len() {
            while self.queued[base] > 0 && self.num_free() > 0 {
                self.queued[base] -= 1;
                self.place_worker(base);
            }
        }
    }

    /// Gives a worker a search, or lets it help with the search of its base that has the fewest workers. A
    /// worker without any search ends, and its GPU is free.
    fn place_worker(&mut self, base: usize) {
        if let Some(left) = self.open[base].pop() {
            self.running.push(RunningSearch { base, left, num_workers: 1 });
            return;
        }
        let of_base = self.running.iter_mut().filter(|search| search.base == base);
        if let Some(search) = of_base.min_by_key(|search| search.num_workers) {
            search.num_workers += 1;
        }
    }

    fn speedup(&self, num_workers: usize) -> f64 {
        let speedups = self.cluster.speedups;
        speedups[num_workers.min(speedups.len()) - 1]
    }

    /// Returns the hours until the next job or search ends.
    fn next_end(&self) -> Option<f64> {
        let searches = self.running.iter().map(|search| search.left / self.speedup(search.num_workers));
        self.distilling.iter().flatten().copied().chain(searches).reduce(f64::min)
    }

    /// Lets `hours` pass.
    fn advance(&mut self, hours: f64) {
        const ROUNDING: f64 = 1e-9;
        self.now += hours;
        for base in 0..self.bases.len() {
            if let Some(left) = &mut self.distilling[base] {
                *left -= hours;
                if *left <= ROUNDING {
                    self.distilling[base] = None;
                    self.is_distilled[base] = true;
                    self.queued[base] = self.cluster.num_gpus.min(self.bases[base].search_hours.len());
                }
            }
        }
        for at in 0..self.running.len() {
            let speedup = self.speedup(self.running[at].num_workers);
            self.running[at].left -= hours * speedup;
        }
        let (ended, running) = self.running.drain(..).partition(|search| search.left <= ROUNDING);
        self.running = running;
        let ended: Vec<RunningSearch> = ended;
        for search in ended {
            (0..search.num_workers).for_each(|_| self.place_worker(search.base));
        }
    }
}

/// Runs the jobs of all bases to their end.
pub fn simulate(cluster: Cluster, bases: &[Base]) -> Outcome {
    let mut simulation = Simulation::new(cluster, bases);
    let mut outcome = Outcome::default();
    simulation.start_jobs();
    while let Some(hours) = simulation.next_end() {
        let num_workers = simulation.num_workers();
        let useless = |search: &RunningSearch| search.num_workers.saturating_sub(cluster.speedups.len());
        outcome.max_workers = outcome.max_workers.max(num_workers);
        outcome.max_idle = outcome.max_idle.max(simulation.running.iter().map(useless).sum());
        outcome.reserved_hours += hours * (cluster.num_gpus - simulation.num_free()) as f64;
        simulation.advance(hours);
        simulation.start_jobs();
    }
    outcome.makespan = simulation.now;
    outcome
}

/// Returns the hours below which no schedule without help can stay: those of all work on all GPUs, or those of
/// the longest chain of a distillation and a search.
pub fn lower_bound(num_gpus: usize, bases: &[Base]) -> f64 {
    let work: f64 =
        bases.iter().map(|base| base.distillation_hours + base.search_hours.iter().sum::<f64>()).sum();
    let chain = |base: &Base| base.distillation_hours + base.search_hours.iter().copied().fold(0.0, f64::max);
    bases.iter().map(chain).fold(work / num_gpus as f64, f64::max)
}

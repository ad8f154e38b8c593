//! The work of a base: its distillation and its searches.

/// The number of candidates that a search scores together on one GPU.
const CANDIDATES_PER_GROUP: usize = 8;

/// The number of parts into which the items of a task are divided.
const NUM_PARTS: usize = 12;

/// A search lets others help if a candidate takes longer than this, in seconds.
const MIN_SECONDS_FOR_HELP: f64 = 2.0;

/// The cost of a pruned candidate, as a fraction of the cost of a complete one.
pub const PRUNED_COST: f64 = 0.5;

/// The work of one base.
#[derive(Clone, Debug)]
pub struct BaseWork {
    /// The seconds of the distillation of all variants on one GPU.
    pub distil_seconds: f64,
    /// The seconds that a worker takes to load the base.
    pub load_seconds: f64,
    pub searches: Vec<SearchWork>,
}

/// The work of one search.
#[derive(Clone, Debug)]
pub struct SearchWork {
    /// The seconds of a complete candidate on one GPU.
    pub candidate_seconds: f64,
    /// For each candidate of each round, whether the search scores it completely. The first candidate of a
    /// round sets the threshold, below which the search prunes the others.
    pub rounds: Vec<Vec<bool>>,
    /// The seconds before the first round, for the score of the base.
    pub seconds_before: f64,
    /// The seconds after the last round, for scores on the test split.
    pub seconds_after: f64,
}

impl SearchWork {
    /// Returns the seconds of the search in one process without help.
    pub fn seconds_alone(&self) -> f64 {
        let units: f64 = self.rounds.iter().flatten().map(|complete| cost(*complete)).sum();
        self.seconds_before + self.candidate_seconds * units + self.seconds_after
    }

    /// Returns the seconds that the search takes however many processes help it: one part of each group.
    pub fn longest_chain(&self) -> f64 {
        let of_groups = self.seconds_alone() - self.seconds_before - self.seconds_after;
        self.seconds_before + of_groups / self.num_parts() as f64 + self.seconds_after
    }

    /// Returns the groups of candidates that are scored together, each with its number of candidates and the
    /// seconds of each part. The first candidate of a round is a group, because it sets the threshold.
    pub fn groups(&self) -> Vec<(usize, f64)> {
        let of_round = |round: &Vec<bool>| -> Vec<(usize, f64)> {
            let (first, rest) = round.split_at(1.min(round.len()));
            let groups = first.chunks(1).chain(rest.chunks(CANDIDATES_PER_GROUP));
            groups
                .map(|group| {
                    let units: f64 = group.iter().map(|complete| cost(*complete)).sum();
                    (group.len(), self.candidate_seconds * units / self.num_parts() as f64)
                })
                .collect()
        };
        self.rounds.iter().flat_map(of_round).collect()
    }

    /// Returns the number of parts that processes take one by one. A search that nobody helps has one part.
    pub fn num_parts(&self) -> usize {
        if self.is_helped() { NUM_PARTS } else { 1 }
    }

    pub fn is_helped(&self) -> bool {
        self.candidate_seconds > MIN_SECONDS_FOR_HELP
    }
}

fn cost(is_complete: bool) -> f64 {
    if is_complete { 1.0 } else { PRUNED_COST }
}

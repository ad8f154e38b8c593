//! Scores of hybrids on a task's multiple-choice items, by log-likelihood as in lm-evaluation-harness: an
//! item is answered correctly if its right choice is the likeliest continuation of the prompt.

mod accumulator;
mod batch;
mod batch_layout;
mod candidate_score;
mod evaluation;
mod impact;
mod multi_device;
mod probe;
mod result;
mod scorer;
#[cfg(test)]
mod tests;

pub use candidate_score::{CandidateScore, ScoredCandidate};
pub use impact::compute_impacts;
pub use multi_device::MultiDeviceScorer;
pub use result::{ItemScore, ScoreBounds, ScoreResult};
pub use scorer::{MAX_CACHE_BYTES, Scorer};

/// Tokens of one forward pass, which bound its memory.
const TOKENS_PER_PASS: usize = 2048;

/// The number of candidates that a search asks for at once, so that a thread that has finished one candidate
/// can go on with the next.
pub const CANDIDATES_PER_BATCH: usize = 4;

//! Scores of hybrids on the multiple-choice items of a task. Scores are based on log-likelihoods, as in
//! lm-evaluation-harness: an item is answered correctly if the right choice is the most likely continuation
//! of the prompt.

mod accumulator;
mod batch;
mod batch_layout;
mod candidate_score;
mod evaluation;
mod multi_device;
mod pass_limits;
mod probe;
mod probe_impact;
mod result;
mod scorer;
#[cfg(test)]
mod tests;

pub use candidate_score::{CandidateScore, ScoredCandidate};
pub use multi_device::MultiDeviceScorer;
pub use pass_limits::{candidates_per_batch, max_cache_bytes};
pub use probe_impact::compute_probe_impacts;
pub use result::{ItemAnswer, ScoreBounds, ScoreResult};
pub use scorer::Scorer;

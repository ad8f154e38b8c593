//! Scores hybrids on the items of a task, as lm-evaluation-harness does. A multiple-choice item is answered
//! correctly if the right choice has the highest log-likelihood after the prompt. With the metric `acc-norm`,
//! log-likelihoods are divided by the lengths of the choices. Other items are scored by the text that the
//! model generates.
//!
//! A split is scored part by part. After each part, a candidate is pruned if its score can no longer reach
//! the threshold that the search requires. The remaining parts of a pruned candidate are not scored.

mod accumulator;
mod batch;
mod batch_layout;
mod candidate_score;
mod evaluation;
mod generation;
mod group_scores;
mod multi_device;
mod part_queue;
mod part_score;
mod pass_limits;
mod probe;
mod probe_impact;
mod result;
mod scorer;
mod split_scorer;
#[cfg(test)]
mod tests;

pub use candidate_score::{CandidateScore, ScoredCandidate};
pub use generation::GenerationScorer;
pub use group_scores::GroupScores;
pub use multi_device::MultiDeviceScorer;
pub use part_queue::{OpenParts, PartQueue};
pub use part_score::PartScore;
pub use pass_limits::{candidates_per_batch, max_cache_bytes};
pub use probe_impact::compute_probe_impacts;
pub use result::{ChoiceAnswer, ItemAnswer, ScoreBounds, ScoreResult, TextAnswer};
pub use scorer::Scorer;
pub use split_scorer::{SplitScorer, task_scorer};

//! The steps of a training run.

use dtr_core::count::Count;

use crate::data::token_sequences::SequenceShape;

/// The number of optimizer steps of a training run, and the batch shape of each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingSchedule {
    /// Number of optimizer steps.
    pub num_steps: u64,
    /// Number of sequences in a step.
    pub batch_size: usize,
    /// Number of tokens in a sequence.
    pub sequence_length: usize,
}

impl TrainingSchedule {
    /// Returns the schedule with as many whole batches as `token_budget` allows, but at least one.
    pub fn new(token_budget: Count, batch_size: usize, sequence_length: usize) -> Self {
        let num_steps = (token_budget.0 / (batch_size * sequence_length) as u64).max(1);
        Self { num_steps, batch_size, sequence_length }
    }

    /// Returns the number of tokens in one step.
    pub fn tokens_per_step(&self) -> u64 {
        (self.batch_size * self.sequence_length) as u64
    }

    /// Returns the number of tokens in all steps.
    pub fn num_tokens(&self) -> u64 {
        self.num_steps * self.tokens_per_step()
    }

    /// Returns the number and the length of the sequences that the run reads.
    pub fn sequence_shape(&self) -> SequenceShape {
        SequenceShape { length: self.sequence_length, count: self.num_steps * self.batch_size as u64 }
    }

    /// Returns whether a loss curve of about `num_points` points has a point after `num_steps_done` steps.
    /// The last step always has a point.
    pub fn is_curve_point(&self, num_steps_done: u64, num_points: u64) -> bool {
        let interval = self.num_steps.div_ceil(num_points).max(1);
        num_steps_done.is_multiple_of(interval) || num_steps_done == self.num_steps
    }
}

//! The parts of scheduled checkpoint distillation that are used.

/// The parts of scheduled checkpoint distillation that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistilMethod {
    /// None: the student learns from the best teacher, and each item has the weight 1.
    Plain,
    /// The schedule of teachers.
    Scheduled,
    /// The adaptive weights of items, with the best teacher.
    Weighted,
    /// Both parts.
    ScheduledWeighted,
}

impl DistilMethod {
    /// Returns whether the schedule chooses the teacher of each stage.
    pub fn is_scheduled(self) -> bool {
        matches!(self, Self::Scheduled | Self::ScheduledWeighted)
    }

    /// Returns whether items have adaptive weights.
    pub fn is_weighted(self) -> bool {
        matches!(self, Self::Weighted | Self::ScheduledWeighted)
    }
}

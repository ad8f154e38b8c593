//! The parts of scheduled checkpoint distillation that are used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The parts of scheduled checkpoint distillation that a student is trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DistilMethod {
    /// No part: the student learns from the best teacher, and each item has the weight 1.
    Plain,
    /// The schedule of teachers.
    Scheduled,
    /// The adaptive weights of items, with the best teacher.
    Weighted,
    /// Both parts.
    ScheduledWeighted,
}

impl DistilMethod {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Scheduled, Self::Weighted, Self::ScheduledWeighted];

    /// Returns whether the schedule chooses the teacher of each stage.
    pub fn is_scheduled(self) -> bool {
        matches!(self, Self::Scheduled | Self::ScheduledWeighted)
    }

    /// Returns whether items have adaptive weights.
    pub fn is_weighted(self) -> bool {
        matches!(self, Self::Weighted | Self::ScheduledWeighted)
    }

    /// Returns the name of a student of this method in tables.
    pub fn student_name(self) -> &'static str {
        match self {
            Self::Plain => "student-plain",
            Self::Scheduled => "student-scheduled",
            Self::Weighted => "student-weighted",
            Self::ScheduledWeighted => "student-scheduled-weighted",
        }
    }
}

//! How the answers to a task are generated and scored.

use dtr_text::filter::TextFilter;

use super::opendrive::{END_OF_ROAD, OpendriveTask, RoadTolerance};
use super::{GenerativeTask, Task, TaskSource};

/// How the answers to a task are generated and scored.
pub struct GenerationSettings<'a> {
    /// Strings at which the text ends.
    pub stop: Vec<String>,
    /// The maximum number of tokens of the text.
    pub max_tokens: usize,
    /// The filters that extract the answer from the text.
    pub filters: &'a [TextFilter],
    /// The text between a prompt and its answer, if the prompt does not end with whitespace.
    pub target_delimiter: &'a str,
    /// How answers are scored.
    pub scoring: AnswerScoring<'a>,
}

/// How answers are scored.
#[derive(Clone, Copy)]
pub enum AnswerScoring<'a> {
    /// As the keys `metric`, `code` and `script` of the task say.
    Keys(&'a GenerativeTask),
    /// As roads, against the hidden road.
    Roads(&'a RoadTolerance),
}

impl Task {
    /// Returns how answers are generated and scored. `None` for multiple-choice tasks.
    pub fn generation_settings(&self) -> Option<GenerationSettings<'_>> {
        match &self.source {
            TaskSource::Synthetic(_) | TaskSource::File(_) => None,
            TaskSource::Generative(task) => Some(task.generation_settings()),
            TaskSource::Opendrive(task) => Some(task.generation_settings()),
        }
    }
}

impl GenerativeTask {
    /// Returns how answers are generated and scored.
    pub fn generation_settings(&self) -> GenerationSettings<'_> {
        GenerationSettings {
            stop: self.stop.clone(),
            max_tokens: self.max_tokens,
            filters: &self.filters,
            target_delimiter: self.shots.as_ref().map_or(" ", |shots| &shots.target_delimiter),
            scoring: AnswerScoring::Keys(self),
        }
    }
}

impl OpendriveTask {
    /// Returns how answers are generated and scored.
    pub fn generation_settings(&self) -> GenerationSettings<'_> {
        GenerationSettings {
            stop: vec![END_OF_ROAD.to_owned()],
            max_tokens: self.max_tokens,
            filters: &[],
            target_delimiter: "",
            scoring: AnswerScoring::Roads(&self.format.tolerance),
        }
    }
}

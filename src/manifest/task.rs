//! `[tasks.NAME]`: multiple-choice tasks with train, validation and test splits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// A task that guides a search and judges its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// Where its items come from.
    pub source: TaskSource,
}

/// Where a task's items come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskSource {
    /// Items of the small closed language that this crate generates.
    World(WorldTask),
}

/// A task of the closed language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WorldTask {
    /// What the task asks.
    pub kind: WorldTaskKind,
    /// The world whose names and facts the items speak of; must be the base's own.
    #[serde(default = "default_world")]
    pub world: Seed,
    /// Items in the validation split, which guides the search.
    #[serde(default = "default_validation_items")]
    pub validation_items: usize,
    /// Items in the test split, which is reported.
    #[serde(default = "default_test_items")]
    pub test_items: usize,
}

fn default_world() -> Seed {
    Seed(1)
}

fn default_validation_items() -> usize {
    128
}

fn default_test_items() -> usize {
    256
}

/// The kinds of tasks of the closed language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorldTaskKind {
    /// Recall of a pair stated earlier among distractors.
    Recall,
    /// Facts learnt in training and asked without context.
    Facts,
    /// Topic of a passage.
    Topic,
    /// Where an object is after several moves.
    Moves,
}

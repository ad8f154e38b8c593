//! Tasks of HumanEval+ and MBPP+, and the outputs of their reference solutions.

use dtr_core::error::{Error, Result};
use dtr_core::jinja::replace_special_numbers;
use serde::{Deserialize, Serialize};

use crate::limits::ProgramLimits;

/// A set of inputs of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputSet {
    /// The inputs of the original HumanEval or MBPP.
    Base,
    /// The inputs that EvalPlus added.
    Plus,
}

/// A row of HumanEval+ or MBPP+.
///
/// The row is kept as text, because its inputs hold integers of any size, `NaN` and `Infinity`. Only Python's
/// own JSON reader keeps such numbers as they are.
#[derive(Clone, Debug)]
pub struct EvalPlusTask {
    /// The task's name, such as `HumanEval/0` or `Mbpp/2`.
    pub task_id: String,
    /// The text before the code that a model writes.
    pub prompt: String,
    /// The name of the function that the tests call.
    pub entry_point: String,
    /// The reference solution. It follows the prompt.
    pub canonical_solution: String,
    pub(crate) row: String,
}

#[derive(Deserialize)]
struct Fields {
    task_id: String,
    prompt: String,
    entry_point: String,
    canonical_solution: String,
}

impl EvalPlusTask {
    /// Reads a line of the published JSON Lines file.
    ///
    /// # Errors
    /// Fails when the line lacks a field or is not JSON as Python writes it.
    pub fn from_json_line(line: &str) -> Result<Self> {
        let fields: Fields = serde_json::from_str(&replace_special_numbers(line, |_| "null".to_owned()))
            .map_err(|cause| Error::environment("cannot read a row of EvalPlus").with_source(cause))?;
        let Fields { task_id, prompt, entry_point, canonical_solution } = fields;
        Ok(Self { task_id, prompt, entry_point, canonical_solution, row: line.to_owned() })
    }

    /// Returns a program that is the reference solution.
    pub fn reference_program(&self) -> String {
        format!("{}{}", self.prompt, self.canonical_solution)
    }
}

/// The outputs of a reference solution on one set of inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSetOutputs {
    /// The list of outputs, as a compressed pickle in base 64. Only the sandboxed interpreter loads it.
    pub outputs: String,
    /// The seconds that the reference solution took for each input.
    pub seconds: Vec<f64>,
}

impl InputSetOutputs {
    /// Returns the seconds that a solution may take for each input.
    pub(crate) fn input_seconds(&self, limits: &ProgramLimits) -> Vec<f64> {
        let limit = |seconds: &f64| limits.min_input_seconds.max(limits.reference_time_factor * seconds);
        self.seconds.iter().map(limit).collect()
    }
}

/// The outputs of a reference solution on both sets of inputs. All solutions of a task need the same outputs,
/// so callers compute them once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceOutputs {
    /// The outputs on the base inputs.
    pub base: InputSetOutputs,
    /// The outputs on the plus inputs.
    pub plus: InputSetOutputs,
}

impl ReferenceOutputs {
    pub(crate) fn of(&self, input_set: InputSet) -> &InputSetOutputs {
        match input_set {
            InputSet::Base => &self.base,
            InputSet::Plus => &self.plus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_may_hold_special_numbers_and_integers_of_any_size() {
        let line = r#"{"task_id": "Mbpp/404", "prompt": "NaN \"Infinity\" \\", "entry_point": "f",
            "canonical_solution": "x", "base_input": [[NaN, -Infinity, Infinity, 123456789012345678901234567890]]}"#;
        let task = EvalPlusTask::from_json_line(line).unwrap();
        assert_eq!(task.prompt, "NaN \"Infinity\" \\");
        assert_eq!(task.row, line);
        let error = EvalPlusTask::from_json_line("{}").unwrap_err();
        assert!(error.to_line().starts_with("cannot read a row of EvalPlus: missing field"));
    }

    #[test]
    fn the_limit_of_an_input_is_a_multiple_of_the_reference_time() {
        let outputs = InputSetOutputs { outputs: String::new(), seconds: vec![0.0, 1.5] };
        assert_eq!(outputs.input_seconds(&ProgramLimits::default()), [4.0, 6.0]);
    }
}

//! Tests of the Python programs that a model writes: the configuration of the tests, and the test of each
//! item.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use dtr_sandbox::{EvalPlusTask, InputSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::documents::compressed::MaybeCompressedFile;
use super::jinja::Templates;
use super::rows::Row;
use crate::hub::local_or_cached_path;
use dtr_core::error::{Error, Result};

/// Names of the templates.
const PROGRAM: &str = "program";
const TASK_ID: &str = "task-id";

/// The template variable that holds the model's answer.
const ANSWER_VARIABLE: &str = "answer";

/// The maximum size of a file of EvalPlus, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The marker for the answer in a rendered program. Programs are rendered before the model answers, and the
/// answer later replaces the marker. No row of a file contains this text.
const ANSWER: &str = "\u{0}answer\u{0}";

/// How a Python program that a model writes is tested. The answer scores 1 if it passes, and 0 otherwise
/// (pass@1). Programs run in a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CodeTest {
    /// The template of a program that contains the variable `answer`, such as
    /// `"{{prompt}}{{answer}}\n{{test}}\ncheck({{entry_point}})"`. The answer passes if the program ends
    /// without an exception within 3 seconds, as in the metric `code_eval` of Hugging Face.
    Program(String),
    /// The tests of EvalPlus, on the inputs of HumanEval+ or MBPP+.
    Evalplus(EvalPlusTest),
}

impl CodeTest {
    /// Returns the settings without paths.
    pub(super) fn without_files(&self) -> Self {
        match self {
            Self::Program(program) => Self::Program(program.clone()),
            Self::Evalplus(test) => Self::Evalplus(EvalPlusTest { tasks: String::new(), ..test.clone() }),
        }
    }
}

/// The tests of EvalPlus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EvalPlusTest {
    /// The file of HumanEval+ or MBPP+ with one task on each line, as a path relative to the manifest.
    #[schemars(extend("format" = "path"))]
    pub tasks: String,
    /// The template of the name of the row's task, such as `"{{task_id}}"`.
    pub task_id: String,
    /// The template of the solution, a complete module. It contains the variable `answer`.
    pub solution: String,
    /// Whether the code is first extracted from the solution, as by EvalPlus' `sanitize`.
    #[serde(default)]
    pub sanitize: bool,
    /// The inputs on which the solution must agree with the reference solution.
    #[serde(default)]
    pub inputs: EvalPlusInputs,
}

/// The inputs of EvalPlus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvalPlusInputs {
    /// The inputs of the original HumanEval or MBPP.
    #[default]
    Base,
    /// The original inputs and those that EvalPlus added.
    BaseAndPlus,
}

impl EvalPlusInputs {
    /// Returns the sets of inputs.
    pub fn sets(self) -> &'static [InputSet] {
        match self {
            Self::Base => &[InputSet::Base],
            Self::BaseAndPlus => &[InputSet::Base, InputSet::Plus],
        }
    }
}

/// The test of one item's answer.
#[derive(Clone, Debug)]
pub struct ItemTest {
    /// The program or the solution, in which the marker `ANSWER` stands for the answer.
    program: String,
    /// The item's task of EvalPlus. `None` if the program tests itself.
    pub evalplus: Option<Arc<EvalPlusTask>>,
}

impl ItemTest {
    /// Returns the program or the solution, with `answer` in place of the marker.
    pub fn program(&self, answer: &str) -> String {
        self.program.replace(ANSWER, answer)
    }
}

/// Builds the tests of items from their rows.
pub(super) struct ItemTestBuilder {
    /// The tasks of EvalPlus by name. `None` if programs test themselves.
    evalplus: Option<BTreeMap<String, Arc<EvalPlusTask>>>,
}

impl ItemTestBuilder {
    /// Adds the templates of `test` to `templates`, and reads the file of EvalPlus.
    ///
    /// # Errors
    /// Fails if a template is invalid or lacks the variable `answer`, or if the file cannot be read.
    pub fn new(test: &CodeTest, templates: &mut Templates) -> Result<Self> {
        let (program, evalplus) = match test {
            CodeTest::Program(program) => (program, None),
            CodeTest::Evalplus(test) => {
                templates.add(TASK_ID, &test.task_id)?;
                (&test.solution, Some(read_evalplus_tasks(&test.tasks)?))
            }
        };
        templates.add(PROGRAM, program)?;
        match templates.uses_variable(PROGRAM, ANSWER_VARIABLE) {
            true => Ok(Self { evalplus }),
            false => Err(Error::manifest(format!("the program `{program}` does not contain the answer"))
                .hint("write `{{answer}}` where the answer belongs")),
        }
    }

    /// Builds the test of a row's item.
    ///
    /// # Errors
    /// Fails if a template fails, or if the file of EvalPlus lacks the row's task.
    pub fn build(&self, templates: &Templates, row: &Row) -> Result<ItemTest> {
        let program = templates.render_with(PROGRAM, row, ANSWER_VARIABLE, ANSWER)?;
        let Some(tasks) = &self.evalplus else { return Ok(ItemTest { program, evalplus: None }) };
        let task_id = templates.render(TASK_ID, row, None)?;
        let task = tasks.get(&task_id).ok_or_else(|| {
            Error::manifest(format!("the file of EvalPlus has no task `{task_id}`"))
                .hint("make `task-id` the name of a task in this file")
        })?;
        Ok(ItemTest { program, evalplus: Some(Arc::clone(task)) })
    }
}

/// Reads a file of HumanEval+ or MBPP+.
fn read_evalplus_tasks(path: &str) -> Result<BTreeMap<String, Arc<EvalPlusTask>>> {
    let file = MaybeCompressedFile::new(Path::new(path), local_or_cached_path(path)?);
    let mut tasks = BTreeMap::new();
    for line in file.open()?.take(MAX_FILE_BYTES).lines() {
        let line = line.map_err(|cause| file.read_error(cause))?;
        if !line.trim().is_empty() {
            let task = EvalPlusTask::from_json_line(&line)?;
            tasks.insert(task.task_id.clone(), Arc::new(task));
        }
    }
    Ok(tasks)
}

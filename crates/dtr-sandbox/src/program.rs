//! Programs that the sandbox runs, and the jobs that they become for the Python runner.

use std::time::Duration;

use serde_json::{Value, json};

use crate::evalplus::{EvalPlusTask, InputSet, InputSetOutputs, ReferenceOutputs};
use crate::limits::ProgramLimits;

/// The depth of the stack in which the runner executes a plain program.
///
/// The recursion limit counts the frames of functions, and in Python 3.11 some calls in C. At this depth, a
/// program can recurse as deeply as in `code_eval`.
const PLAIN_STACK_DEPTH: usize = 14;
/// The depth at which a program can recurse as deeply as in EvalPlus' `evaluate`.
const EVALPLUS_STACK_DEPTH: usize = 25;

/// A Python program with its tests.
#[derive(Clone, Debug)]
pub enum Program<'a> {
    /// A program that passes if it ends without an exception, as in `code_eval`.
    Plain(String),
    /// A solution of a task of HumanEval+ or MBPP+.
    EvalPlus {
        /// The task.
        task: &'a EvalPlusTask,
        /// The outputs of the task's reference solution.
        outputs: &'a ReferenceOutputs,
        /// The inputs to try.
        input_set: InputSet,
        /// The solution, as a complete module.
        solution: String,
    },
}

impl<'a> Program<'a> {
    /// Creates a program of HumanEval+ or MBPP+.
    pub fn evalplus(
        task: &'a EvalPlusTask,
        outputs: &'a ReferenceOutputs,
        input_set: InputSet,
        solution: &str,
    ) -> Self {
        Self::EvalPlus { task, outputs, input_set, solution: solution.to_owned() }
    }

    /// Returns everything that decides the verdict, apart from the interpreter and the limits.
    pub(crate) fn identity(&self) -> Value {
        match self {
            Self::Plain(program) => json!({"plain": program}),
            Self::EvalPlus { task, outputs, input_set, solution } => {
                let InputSetOutputs { outputs, seconds } = outputs.of(*input_set);
                json!({"row": task.row, "outputs": outputs, "seconds": seconds, "input_set": input_set,
                    "solution": solution})
            }
        }
    }

    pub(crate) fn to_job(&self, limits: &ProgramLimits) -> Job {
        match self {
            Self::Plain(program) => Job {
                wall_limit: Duration::from_secs_f64(limits.plain_seconds + 1.0),
                fields: json!({"kind": "plain", "program": program, "seconds": limits.plain_seconds,
                    "loads_numpy": program.contains("numpy"), "stack_depth": PLAIN_STACK_DEPTH,
                    "memory_bytes": limits.memory_bytes}),
            },
            Self::EvalPlus { task, outputs, input_set, solution } => {
                let outputs = outputs.of(*input_set);
                let input_seconds = outputs.input_seconds(limits);
                // EvalPlus adds one second for the process, and one more second before it ends the process.
                let seconds = limits.input_set_seconds.min(input_seconds.iter().sum()) + 2.0;
                Job {
                    wall_limit: Duration::from_secs_f64(seconds),
                    fields: json!({"kind": "evalplus", "task": task.row, "input_set": input_set,
                        "solution": solution, "outputs": outputs.outputs, "input_seconds": input_seconds,
                        "stack_depth": EVALPLUS_STACK_DEPTH, "memory_bytes": limits.memory_bytes}),
                }
            }
        }
    }
}

/// A Python script of the user that scores answers.
///
/// The script reads an object in JSON from standard input. The last line that it prints is the score: a number
/// from 0 to 1, `true` or `false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringScript {
    /// The name of the script, for error messages and as `sys.argv[0]`.
    pub name: String,
    /// The text of the script.
    pub source: String,
    /// The arguments of the script.
    pub arguments: Vec<String>,
}

/// A job for the Python runner.
pub(crate) struct Job {
    /// The time from the start of the program to the end of its process.
    pub wall_limit: Duration,
    /// The fields of the job, apart from the nonce.
    pub fields: Value,
}

impl Job {
    pub fn reference_outputs(task: &EvalPlusTask, limits: &ProgramLimits) -> Self {
        let wall_limit = Duration::from_secs_f64(limits.trusted_seconds);
        Self { wall_limit, fields: json!({"kind": "reference", "task": task.row}) }
    }

    pub fn sanitize(texts: &[(String, String)], limits: &ProgramLimits) -> Self {
        let wall_limit = Duration::from_secs_f64(limits.trusted_seconds);
        Self { wall_limit, fields: json!({"kind": "sanitize", "texts": texts}) }
    }

    pub fn script(script: &ScoringScript, input: &str, limits: &ProgramLimits) -> Self {
        let ScoringScript { name, source, arguments } = script;
        Self {
            wall_limit: Duration::from_secs_f64(limits.script_seconds),
            fields: json!({"kind": "script", "name": name, "source": source, "arguments": arguments,
                "input": input, "memory_bytes": limits.memory_bytes}),
        }
    }
}

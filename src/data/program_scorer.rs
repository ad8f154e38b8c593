//! Scores the Python programs that a model writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dtr_sandbox::{EvalPlusTask, Program, ReferenceOutputs, Sandbox, SandboxLayers, Verdict, VerdictStatus};
use dtr_text::metric::AnswerScore;
use serde::{Deserialize, Serialize};

use super::verdict_cache::VerdictCache;
use super::{CodeTest, GenerativeItem, ItemTest};
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;

/// A description of the sandbox in which programs ran, for the record of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// The layers of protection.
    pub layers: SandboxLayers,
    /// Whether the layers confine programs. If false, the user allowed programs to run unconfined.
    pub is_confined: bool,
    /// The version of Python.
    pub python: String,
    /// The version of numpy, if the interpreter has numpy.
    pub numpy: Option<String>,
}

impl SandboxRecord {
    /// Describes `sandbox`.
    pub(super) fn new(sandbox: &Sandbox) -> Self {
        Self {
            layers: sandbox.layers().clone(),
            is_confined: sandbox.layers().is_confined(),
            python: sandbox.python().version.clone(),
            numpy: sandbox.python().numpy_version.clone(),
        }
    }
}

/// Runs the programs in a task's answers, and caches the results. Equal programs run only once.
pub(super) struct ProgramScorer {
    test: CodeTest,
    sandbox: Option<Arc<Sandbox>>,
    known: Mutex<KnownResults>,
}

/// A cache of results.
#[derive(Default)]
struct KnownResults {
    /// The score of each program, by the program's [`Sandbox::verdict_key`].
    verdicts: VerdictCache,
    /// A map from the name of an EvalPlus task to the outputs of the task's reference solution.
    references: BTreeMap<String, Arc<ReferenceOutputs>>,
}

impl ProgramScorer {
    /// Creates a scorer without a sandbox.
    pub fn new(test: CodeTest) -> Self {
        Self { test, sandbox: None, known: Mutex::default() }
    }

    /// Returns the same scorer with the sandbox in which programs run, and with the verdicts that earlier
    /// processes stored.
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        let known = KnownResults { verdicts: VerdictCache::of_user(), ..KnownResults::default() };
        Self { sandbox: Some(sandbox), known: Mutex::new(known), ..self }
    }

    /// Returns the sandbox, or `None` if there is no sandbox.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_deref()
    }

    /// Runs the program of each answer. `answers` are in the order of `items`. The score of an answer is 1 if
    /// its program passes, and 0 otherwise.
    ///
    /// # Errors
    /// Fails if there is no sandbox, if no process can be started, if an item has no test, or if a reference
    /// solution fails.
    pub fn score(&self, items: &[&GenerativeItem], answers: &[String]) -> Result<Vec<AnswerScore>> {
        let Some(sandbox) = &self.sandbox else {
            return Err(Error::failed("cannot run programs: there is no sandbox"));
        };
        let tests = items.iter().map(|item| item.test.as_ref().ok_or_else(|| lacks_test(item)));
        let tests: Vec<&ItemTest> = tests.collect::<Result<_>>()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let programs: Vec<String> =
            tests.iter().zip(answers).map(|(test, answer)| test.program(answer)).collect();
        let passes = match &self.test {
            CodeTest::Program(_) => {
                let programs: Vec<Program<'_>> = programs.into_iter().map(Program::Plain).collect();
                run_new_programs(sandbox, &programs, &mut known.verdicts)?
            }
            CodeTest::Evalplus(test) => {
                let tasks: Vec<&EvalPlusTask> =
                    tests.iter().filter_map(|test| test.evalplus.as_deref()).collect();
                let solutions = match test.sanitize {
                    true => sanitize(sandbox, &tasks, programs)?,
                    false => programs,
                };
                let mut passes = vec![true; solutions.len()];
                for &set in test.inputs.sets() {
                    let references = known.reference_outputs(sandbox, &tasks)?;
                    let programs: Vec<Program<'_>> = tasks
                        .iter()
                        .zip(&references)
                        .zip(&solutions)
                        .map(|((task, outputs), solution)| Program::evalplus(task, outputs, set, solution))
                        .collect();
                    let of_set = run_new_programs(sandbox, &programs, &mut known.verdicts)?;
                    passes.iter_mut().zip(of_set).for_each(|(all, one)| *all &= one);
                }
                passes
            }
        };
        let score = |passes: bool| AnswerScore {
            value: f64::from(u8::from(passes)),
            classes: None,
            parts: BTreeMap::new(),
        };
        Ok(passes.into_iter().map(score).collect())
    }
}

impl KnownResults {
    /// Returns the outputs of the reference solutions of `tasks`. Computes the outputs that are not cached.
    ///
    /// The running time of a reference solution sets the time limits of solutions. All processes therefore
    /// use the time that one process measured.
    fn reference_outputs(
        &mut self,
        sandbox: &Sandbox,
        tasks: &[&EvalPlusTask],
    ) -> Result<Vec<Arc<ReferenceOutputs>>> {
        let mut outputs = Vec::with_capacity(tasks.len());
        for task in tasks {
            if !self.references.contains_key(&task.task_id) {
                let key = sandbox.reference_key(task);
                let computed = match self.verdicts.reference_outputs(&key) {
                    Some(outputs) => outputs,
                    None => {
                        let outputs = sandbox.compute_reference_outputs(task)?;
                        self.verdicts.store_reference_outputs(&key, &outputs);
                        outputs
                    }
                };
                self.references.insert(task.task_id.clone(), Arc::new(computed));
            }
            outputs.push(Arc::clone(&self.references[&task.task_id]));
        }
        Ok(outputs)
    }
}

/// Runs the programs whose results are not in `known`, and adds their results to `known`. Returns whether
/// each of `programs` passes.
fn run_new_programs(
    sandbox: &Sandbox,
    programs: &[Program<'_>],
    known: &mut VerdictCache,
) -> Result<Vec<bool>> {
    let keys: Vec<Digest> = programs.iter().map(|program| sandbox.verdict_key(program)).collect();
    let new: BTreeMap<Digest, Program<'_>> = keys
        .iter()
        .zip(programs)
        .filter(|(key, _)| known.score(key).is_none())
        .map(|(key, program)| (*key, program.clone()))
        .collect();
    let (new_keys, new): (Vec<Digest>, Vec<Program<'_>>) = new.into_iter().unzip();
    let verdicts: Vec<Verdict> = sandbox.run_programs(&new)?;
    let scores = new_keys.into_iter().zip(&verdicts);
    let score = |(key, verdict): (Digest, &Verdict)| (key, f64::from(u8::from(verdict.is_pass())));
    // Other verdicts depend on the load of the machine.
    let is_lasting = |verdict: &Verdict| matches!(verdict.status, VerdictStatus::Pass | VerdictStatus::Fail);
    let (lasting, other): (Vec<_>, Vec<_>) = scores.partition(|(_, verdict)| is_lasting(verdict));
    known.store(&lasting.into_iter().map(score).collect::<Vec<_>>());
    known.remember(other.into_iter().map(score));
    Ok(keys.iter().map(|key| known.score(key) == Some(1.0)).collect())
}

/// Extracts the code from each solution, as EvalPlus does.
fn sanitize(sandbox: &Sandbox, tasks: &[&EvalPlusTask], solutions: Vec<String>) -> Result<Vec<String>> {
    let names = tasks.iter().map(|task| task.entry_point.clone());
    sandbox.sanitize_code(&solutions.into_iter().zip(names).collect::<Vec<_>>())
}

fn lacks_test(item: &GenerativeItem) -> Error {
    Error::failed(format!("the item `{}` has no test", item.id))
}

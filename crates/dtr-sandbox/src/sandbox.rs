//! The sandbox: one Python interpreter, limits, and the layers of protection on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;

use crate::evalplus::{EvalPlusTask, ReferenceOutputs};
use crate::jobs;
use crate::layers::SandboxLayers;
use crate::limits::ProgramLimits;
use crate::program::{Job, Program, ScoringScript};
use crate::python::PythonInterpreter;
use crate::verdict::{Verdict, VerdictStatus};

/// The files of the Python runner.
const RUNNER_FILES: [(&str, &str); 5] = [
    ("runner.py", include_str!("../python/runner.py")),
    ("guarded_execution.py", include_str!("../python/guarded_execution.py")),
    ("evalplus_oracle.py", include_str!("../python/evalplus_oracle.py")),
    ("code_sanitizer.py", include_str!("../python/code_sanitizer.py")),
    ("scoring_script.py", include_str!("../python/scoring_script.py")),
];

/// The policy for a machine that cannot confine programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfinementPolicy {
    /// Refuse to run programs.
    Require,
    /// Run programs with the available layers of protection. The user accepts the danger.
    AcceptUnsafe,
}

/// The result of one attack on the sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackResult {
    /// The attack, such as `open a network socket`.
    pub name: String,
    /// Whether the sandbox held.
    pub is_held: bool,
    /// The reason why the attack failed, or its effect if it succeeded.
    pub detail: String,
}

/// Runs Python programs in confined processes.
pub struct Sandbox {
    /// The program that calls [`child_main`](crate::child_main).
    pub(crate) child_program: PathBuf,
    pub(crate) python: PythonInterpreter,
    pub(crate) limits: ProgramLimits,
    pub(crate) layers: SandboxLayers,
    /// Holds the folder `runner` and the programs' folders.
    pub(crate) folder: TempDir,
    /// The control group below which each program gets its own control group.
    pub(crate) cgroup_parent: Option<PathBuf>,
    pub(crate) max_tasks: u64,
    /// Counts the processes, for the names of their folders.
    pub(crate) num_started: AtomicUsize,
}

impl Sandbox {
    /// Prepares a sandbox for the interpreter `python`. Finds the layers of protection by starting a process.
    ///
    /// `child_program` is the program that calls [`child_main`](crate::child_main) for the subcommand
    /// [`CHILD_SUBCOMMAND`](crate::CHILD_SUBCOMMAND), usually this program itself.
    ///
    /// # Errors
    /// Fails when the interpreter cannot be run. Fails when `policy` requires confinement and the machine
    /// cannot confine programs. Fails on systems other than Linux.
    pub fn new(
        child_program: &Path,
        python: &Path,
        limits: ProgramLimits,
        policy: ConfinementPolicy,
    ) -> Result<Self> {
        let python = PythonInterpreter::inspect(python)?;
        let memory_limit = dtr_core::system_info::memory_limit_bytes().unwrap_or(u64::MAX);
        let limits = ProgramLimits { memory_bytes: limits.memory_bytes.min(memory_limit), ..limits };
        let mut sandbox = Self {
            child_program: child_program.to_owned(),
            python,
            limits,
            layers: SandboxLayers::default(),
            folder: create_folder_with_runner()?,
            cgroup_parent: jobs::find_cgroup_parent(),
            max_tasks: jobs::count_tasks() + EXTRA_TASKS,
            num_started: AtomicUsize::new(0),
        };
        sandbox.layers = sandbox.find_layers()?;
        if policy == ConfinementPolicy::Require && !sandbox.layers.is_confined() {
            return Err(sandbox.layers.to_error());
        }
        Ok(sandbox)
    }

    /// Returns the layers of protection around each program.
    pub fn layers(&self) -> &SandboxLayers {
        &self.layers
    }

    /// Returns the interpreter that runs the programs.
    pub fn python(&self) -> &PythonInterpreter {
        &self.python
    }

    /// Returns a digest of everything that decides the verdict on `program`: the program, the runner, the
    /// versions of Python and numpy, the limits, and the layers of protection.
    pub fn verdict_key(&self, program: &Program) -> Digest {
        self.result_key(program.identity())
    }

    /// Returns a digest of everything that decides the score that `script` gives to `input`.
    pub fn score_key(&self, script: &ScoringScript, input: &str) -> Digest {
        let ScoringScript { name, source, arguments } = script;
        self.result_key(json!({"script": source, "name": name, "arguments": arguments, "input": input}))
    }

    /// Returns a digest of everything that decides the outputs of the reference solution of `task`.
    pub fn reference_key(&self, task: &EvalPlusTask) -> Digest {
        self.result_key(json!({"reference": task.row}))
    }

    fn result_key(&self, job: serde_json::Value) -> Digest {
        let runner: Vec<&str> = RUNNER_FILES.iter().map(|(_, source)| *source).collect();
        let PythonInterpreter { version, numpy_version, .. } = &self.python;
        let identity = json!([job, runner, version, numpy_version, self.limits, self.layers]);
        Digest::hash(identity.to_string().as_bytes())
    }

    /// Runs one program.
    ///
    /// # Errors
    /// Fails when no process can be started, or its folder cannot be created.
    pub fn run_program(&self, program: &Program) -> Result<Verdict> {
        self.judge(program.to_job(&self.limits))
    }

    /// Runs programs in parallel, on all processors but one. Afterwards, the sandbox repeats each program
    /// that exceeded a time limit, one at a time.
    ///
    /// # Errors
    /// Fails when [`run_program`](Self::run_program) fails for any program.
    pub fn run_programs(&self, programs: &[Program]) -> Result<Vec<Verdict>> {
        let mut verdicts = run_in_parallel(programs.len(), |index| self.run_program(&programs[index]))?;
        let again =
            verdicts.iter_mut().enumerate().filter(|(_, verdict)| verdict.status == VerdictStatus::Timeout);
        for (index, verdict) in again {
            *verdict = self.run_program(&programs[index])?;
        }
        Ok(verdicts)
    }

    /// Runs a user's script once for each of `inputs`, in parallel, on all processors but one. Returns the
    /// scores, from 0 to 1. The inner error says why a run gave no score.
    ///
    /// # Errors
    /// Fails when no process can be started, or its folder cannot be created.
    pub fn run_script(
        &self,
        script: &ScoringScript,
        inputs: &[&str],
    ) -> Result<Vec<std::result::Result<f64, String>>> {
        #[derive(Deserialize)]
        struct Scored {
            score: f64,
        }
        run_in_parallel(inputs.len(), |index| {
            let scored = self.answer::<Scored>(Job::script(script, inputs[index], &self.limits))?;
            Ok(scored.map(|scored| scored.score))
        })
    }

    /// Computes the outputs of a task's reference solution, in a process of its own.
    ///
    /// # Errors
    /// Fails when the reference solution fails or exceeds `trusted_seconds`.
    pub fn compute_reference_outputs(&self, task: &EvalPlusTask) -> Result<ReferenceOutputs> {
        let fail = |cause: String| {
            Error::failed(format!("cannot compute the reference outputs of `{}`: {cause}", task.task_id))
        };
        self.answer(Job::reference_outputs(task, &self.limits))?.map_err(fail)
    }

    /// Extracts code from texts, as EvalPlus' `sanitize` does. Each element of `texts` is a text and the name
    /// of the function that the task asks for.
    ///
    /// # Errors
    /// Fails when the texts take longer than `trusted_seconds`.
    pub fn sanitize_code(&self, texts: &[(String, String)]) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Sanitized {
            texts: Vec<String>,
        }
        let fail = |cause: String| Error::failed(format!("cannot sanitise code: {cause}"));
        let answer: Sanitized = self.answer(Job::sanitize(texts, &self.limits))?.map_err(fail)?;
        Ok(answer.texts)
    }
}

/// Calls `run` with each index below `count`, on all processors but one. Returns the results in the order of
/// the indices.
fn run_in_parallel<T: Send>(count: usize, run: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let num_processors = std::thread::available_parallelism().map_or(1, usize::from);
    let num_threads = (num_processors - 1).clamp(1, count.max(1));
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, T)>> {
        let indices = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        indices.take_while(|index| *index < count).map(|index| Ok((index, run(index)?))).collect()
    };
    let finished: Result<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..num_threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect()
    });
    let mut results: Vec<(usize, T)> = finished?.into_iter().flatten().collect();
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// The number of threads and processes that the user may start after the start of the sandbox. Other programs
/// of the same user count too, so the limit is generous.
const EXTRA_TASKS: u64 = 1024;

/// Creates a folder that every user can enter, with the runner in it.
fn create_folder_with_runner() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("dtr-sandbox-").tempdir();
    let folder = folder.map_err(|cause| Error::io("create a folder in", &std::env::temp_dir(), cause))?;
    let runner = folder.path().join("runner");
    let write = || {
        fs::create_dir(&runner)?;
        RUNNER_FILES.iter().try_for_each(|(name, source)| fs::write(runner.join(name), source))?;
        jobs::make_readable(folder.path())
    };
    write().map_err(|cause| Error::io("write in", folder.path(), cause))?;
    Ok(folder)
}

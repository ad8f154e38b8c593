//! Runs jobs of the sandbox in confined processes, and reads their answers.
//!
//! Each job contains a random text, its *nonce*, which the runner repeats in each line of its answer. Lines
//! without the nonce, such as lines that the program prints, do not count as an answer.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dtr_core::error::{Error, Result};
use procfs::Current;
use rustix::process::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cgroup::ProgramCgroup;
use crate::child::{ChildConfig, NOBODY};
use crate::layers::SandboxLayers;
use crate::process::{self, ProcessOutcome};
use crate::program::Job;
use crate::sandbox::Sandbox;
use crate::verdict::{ReferenceStatus, Verdict, VerdictStatus};

pub(crate) use crate::cgroup::find_parent as find_cgroup_parent;

/// The time limit of a process that only reports its layers and then ends.
const SETUP_LIMIT: Duration = Duration::from_secs(60);

/// Returns the number of threads and processes of all users.
pub(crate) fn count_tasks() -> u64 {
    procfs::LoadAverage::current().map_or(0, |load| load.max.into())
}

/// Lets every user read the runner in `folder` and enter `folder`.
pub(crate) fn make_readable(folder: &Path) -> io::Result<()> {
    for path in [folder.to_owned(), folder.join("runner")] {
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
    }
    for entry in fs::read_dir(folder.join("runner"))? {
        fs::set_permissions(entry?.path(), Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Tells whether a user without rights can read `path`. Looks at permission bits only.
fn is_public(path: &Path) -> bool {
    let has_bits = |path: &Path, bits: u32| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & bits == bits)
    };
    let bits = if path.is_dir() { 0o005 } else { 0o004 };
    has_bits(path, bits) && path.ancestors().skip(1).all(|folder| has_bits(folder, 0o001))
}

/// The line in which the runner reports the verdict on a program.
#[derive(Deserialize)]
struct ProgramAnswer {
    status: VerdictStatus,
    reference_status: ReferenceStatus,
    cause: Option<String>,
    failed_input: Option<usize>,
}

/// The fields that a line of the runner can have for every kind of job.
#[derive(Deserialize)]
struct AnswerLine<'a> {
    nonce: &'a str,
    #[serde(default)]
    ready: bool,
    error: Option<String>,
}

/// The folder of one process, which is removed at the end.
struct WorkFolder(PathBuf);

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The answer of a process, read from its output. Lines without the job's nonce are ignored.
struct Answer<'a> {
    has_started: bool,
    error: Option<String>,
    /// The last line that is neither a start nor an error.
    line: Option<&'a [u8]>,
}

impl<'a> Answer<'a> {
    fn read(bytes: &'a [u8], nonce: &str) -> Self {
        let mut answer = Self { has_started: false, error: None, line: None };
        for line in bytes.split(|byte| *byte == b'\n') {
            match serde_json::from_slice::<AnswerLine>(line) {
                Ok(read) if read.nonce != nonce => {}
                Ok(AnswerLine { ready: true, .. }) => answer.has_started = true,
                Ok(AnswerLine { error: Some(error), .. }) => answer.error = Some(error),
                Ok(_) => answer.line = Some(line),
                Err(_) => {}
            }
        }
        answer
    }
}

impl Sandbox {
    pub(crate) fn find_layers(&self) -> Result<SandboxLayers> {
        let cannot_start = |cause: String| {
            Error::environment(format!("cannot start a sandboxed process: {cause}"))
                .hint("run `dtr doctor` to see the layers of the sandbox")
        };
        let (outcome, _) = self.start(&[], SETUP_LIMIT, None)?;
        if !outcome.status.success() {
            return Err(cannot_start(format!("{}: {}", outcome.status, outcome.stderr)));
        }
        serde_json::from_slice(&outcome.answer).map_err(|cause| cannot_start(cause.to_string()))
    }

    /// Runs a program's job.
    pub(crate) fn judge(&self, job: Job) -> Result<Verdict> {
        let wall_limit = job.wall_limit;
        let num_oom_kills = dtr_core::system_info::oom_kill_count();
        let (outcome, nonce, is_cgroup_full) = self.run_job(job)?;
        let answer = Answer::read(&outcome.answer, &nonce);
        let verdict = |status, reference_status, cause, failed_input| Verdict {
            status,
            reference_status,
            cause,
            failed_input,
            wall_seconds: outcome.wall_seconds,
            cpu_seconds: outcome.cpu_seconds,
        };
        if let Some(answer) = answer.line.and_then(|line| serde_json::from_slice(line).ok()) {
            let ProgramAnswer { status, reference_status, cause, failed_input } = answer;
            return Ok(verdict(status, Some(reference_status), cause, failed_input));
        }
        if !answer.has_started {
            let cause = answer.error.unwrap_or_else(|| format!("{}: {}", outcome.status, outcome.stderr));
            return Ok(verdict(VerdictStatus::Refused, None, Some(cause), None));
        }
        let is_killed = outcome.status.signal() == Some(Signal::KILL.as_raw());
        let is_memory_full =
            is_cgroup_full || is_killed && dtr_core::system_info::oom_kill_count() > num_oom_kills;
        let (status, cause) = classify_end(&outcome, wall_limit, is_memory_full, answer.error);
        Ok(verdict(status, Some(ReferenceStatus::Timeout), Some(cause), None))
    }

    /// Runs a job other than a program, such as sanitising code, and reads the answer. The outer error is a
    /// failure of the sandbox, and the inner error is a failure of the job.
    pub(crate) fn answer<T: DeserializeOwned>(&self, job: Job) -> Result<std::result::Result<T, String>> {
        let seconds = job.wall_limit.as_secs_f64();
        let (outcome, nonce, _) = self.run_job(job)?;
        let answer = Answer::read(&outcome.answer, &nonce);
        if let Some(line) = answer.line {
            return Ok(serde_json::from_slice(line).map_err(|cause| cause.to_string()));
        }
        Ok(Err(match (answer.error, outcome.is_timeout) {
            (Some(error), _) => error,
            (None, true) => format!("it exceeded {seconds} seconds"),
            (None, false) => format!("{}: {}", outcome.status, outcome.stderr),
        }))
    }

    /// Runs a job. Returns how its process ended, the nonce of its answers, and whether its control group ran
    /// out of memory.
    fn run_job(&self, job: Job) -> Result<(ProcessOutcome, String, bool)> {
        let Job { wall_limit, mut fields } = job;
        let nonce = random_nonce()?;
        fields["nonce"] = nonce.as_str().into();
        fields["site_packages"] = serde_json::to_value(&self.python.site_packages).expect("a path is JSON");
        let input = fields.to_string();
        let (outcome, is_cgroup_full) =
            self.start(input.as_bytes(), wall_limit, Some(self.layers.clone()))?;
        Ok((outcome, nonce, is_cgroup_full))
    }

    /// Starts a sandboxed process in a folder of its own, and waits for its end.
    fn start(
        &self,
        job: &[u8],
        wall_limit: Duration,
        required: Option<SandboxLayers>,
    ) -> Result<(ProcessOutcome, bool)> {
        let name = format!("work-{}", self.num_started.fetch_add(1, Ordering::Relaxed));
        let work_folder = self.create_work_folder(&name)?;
        let cgroup = self.cgroup_parent.as_deref().and_then(|parent| {
            let name = format!("dtr-{}-{name}", std::process::id());
            ProgramCgroup::create(parent, &name, self.limits.memory_bytes).ok()
        });
        let runner = self.folder.path().join("runner");
        let mut readable = self.python.readable_paths();
        readable.push(runner.clone());
        let config = ChildConfig {
            parent: std::process::id(),
            python: self.python.executable.clone(),
            runner: runner.join("runner.py"),
            work_folder: work_folder.0.clone(),
            is_python_public: readable.iter().all(|path| is_public(path)),
            readable,
            cgroup: cgroup.as_ref().map(|cgroup| cgroup.path().to_owned()),
            cpu_seconds: cpu_limit(wall_limit),
            max_tasks: self.max_tasks,
            required,
        };
        let outcome = process::run(&self.child_program, &config, job, wall_limit)
            .map_err(|cause| Error::io("run", &self.child_program, cause))?;
        Ok((outcome, cgroup.is_some_and(|cgroup| cgroup.is_out_of_memory())))
    }

    fn create_work_folder(&self, name: &str) -> Result<WorkFolder> {
        let folder = WorkFolder(self.folder.path().join(name));
        let create = || {
            fs::create_dir(&folder.0)?;
            fs::set_permissions(&folder.0, Permissions::from_mode(0o700))?;
            match self.layers.uid {
                NOBODY if rustix::process::geteuid().is_root() => {
                    chown(&folder.0, Some(NOBODY), Some(NOBODY))
                }
                _ => Ok(()),
            }
        };
        create().map_err(|cause| Error::io("create", &folder.0, cause))?;
        Ok(folder)
    }
}

/// Returns the limit of processor seconds. It is a fallback for the limit of wall time. It is larger than
/// that limit, because the processor times of all threads add up.
fn cpu_limit(wall_limit: Duration) -> u64 {
    2 * wall_limit.as_secs() + 60
}

fn random_nonce() -> Result<String> {
    let mut bytes = [0; 16];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut bytes[..], flags)
        .map_err(|cause| Error::environment("cannot draw a random number").with_source(cause))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns the status and the cause for a program that ended without a verdict.
fn classify_end(
    outcome: &ProcessOutcome,
    wall_limit: Duration,
    is_memory_full: bool,
    error: Option<String>,
) -> (VerdictStatus, String) {
    let is_cpu_limit = |status: ExitStatus| status.signal() == Some(Signal::XCPU.as_raw());
    if is_memory_full {
        (VerdictStatus::Memory, "the kernel ended the program for lack of memory".to_owned())
    } else if outcome.is_timeout {
        let seconds = wall_limit.as_secs_f64();
        (VerdictStatus::Timeout, format!("the program exceeded {seconds} seconds"))
    } else if is_cpu_limit(outcome.status) {
        (VerdictStatus::Timeout, "the program exceeded its processor time".to_owned())
    } else {
        let end = error.unwrap_or_else(|| outcome.status.to_string());
        (VerdictStatus::Fail, format!("the program ended without a verdict: {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_the_nonce_does_not_count() {
        let lines = b"{\"nonce\": \"a\", \"ready\": true}\n{\"nonce\": \"b\", \"status\": \"pass\"}\nnoise\n";
        let answer = Answer::read(lines, "a");
        assert!(answer.has_started && answer.line.is_none() && answer.error.is_none());
        assert!(Answer::read(lines, "b").line.is_some());
    }

    #[test]
    fn a_file_in_a_private_folder_is_not_public() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!is_public(&file));
        assert!(is_public(Path::new("/")));
    }
}

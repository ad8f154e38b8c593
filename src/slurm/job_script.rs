//! The script that every job of a submission runs.

use std::path::PathBuf;

/// The number of restarts in a row without any new file of results after which a job gives up.
const MAX_IDLE_RESTARTS: u32 = 3;

/// The script of the jobs of a submission. Its arguments are those of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobScript {
    /// The program.
    pub program: PathBuf,
    /// The folder in which the user submitted.
    pub working_directory: PathBuf,
    /// The results folder.
    pub results: PathBuf,
    /// The folder of the logs.
    pub logs: PathBuf,
    /// How often a job that was stopped may be started again.
    pub max_restarts: u32,
}

impl JobScript {
    /// Returns the text of the script.
    ///
    /// The program runs as a step (`srun`), because Slurm sends the signals of a time limit and of a
    /// preemption to steps. A program that a signal stopped exits with code 130, and its job is requeued. In
    /// the last task of an array, the plain job id would mean the whole array.
    pub fn text(&self) -> String {
        let quote = |path: &PathBuf| quote(&path.display().to_string());
        format!(
            r#"#!/bin/bash
# Written by `dtr submit`. The arguments are those of `dtr`.
cd {working_directory} || exit 1
job=$SLURM_JOB_ID
if [ -n "${{SLURM_ARRAY_TASK_ID:-}}" ]; then job=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID; fi
# `dtr submit` has downloaded what the jobs need.
export HF_HUB_OFFLINE=1
began={logs}/$job.began
idle={logs}/$job.idle
touch "$began"
srun --kill-on-bad-exit=0 {program} "$@"
code=$?
if [ "$code" = 130 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {max_restarts} ]; then
    # A job that is stopped again and again before it saves anything would run for ever.
    if [ -n "$(find {results}/cells-v2 -type f -newer "$began" ! -name '*.lease' -print -quit 2> /dev/null)" ]; then
        rm -f "$idle"
    else
        echo restart >> "$idle"
    fi
    if [ ! -e "$idle" ] || [ "$(wc -l < "$idle")" -lt {MAX_IDLE_RESTARTS} ]; then
        scontrol requeue "$job" && exit 0
    fi
    echo "this job was stopped {MAX_IDLE_RESTARTS} times before it saved anything; give it more time" >&2
fi
rm -f "$began"
exit "$code"
"#,
            working_directory = quote(&self.working_directory),
            logs = quote(&self.logs),
            program = quote(&self.program),
            results = quote(&self.results),
            max_restarts = self.max_restarts,
        )
    }
}

/// Returns a word as a shell reads it. Words without special characters stay as they are.
pub fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,%+@".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_and_the_task_of_an_array_requeues_itself() {
        let script = JobScript {
            program: PathBuf::from("/opt/it's dtr"),
            working_directory: PathBuf::from("/home/me"),
            results: PathBuf::from("/scratch/results"),
            logs: PathBuf::from("/scratch/results/jobs-v1/1/log"),
            max_restarts: 50,
        };
        let text = script.text();
        assert!(text.contains(r#"srun --kill-on-bad-exit=0 '/opt/it'\''s dtr' "$@""#), "{text}");
        assert!(text.contains("job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"), "{text}");
        assert!(text.contains("\"${SLURM_RESTART_COUNT:-0}\" -lt 50"), "{text}");
    }
}

//! A builder for commands that run `dtr`, and the outputs of these commands.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A `dtr` command that has not been started yet.
pub struct DtrCommand {
    command: Command,
    stdin: Option<Vec<u8>>,
}

impl DtrCommand {
    /// Creates the command `dtr NAME`.
    pub fn new(name: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dtr"));
        command.arg(name);
        Self { command, stdin: None }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds `--set KEY=VALUE`.
    pub fn set(self, assignment: &str) -> Self {
        self.args(["--set", assignment])
    }

    /// Adds `--set KEY=VALUE` for each of `assignments`.
    pub fn sets(self, assignments: &[&str]) -> Self {
        assignments.iter().fold(self, |command, assignment| command.set(assignment))
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.as_bytes().to_vec());
        self
    }

    /// Limits the address space of the program to `kib` KiB.
    pub fn with_address_space(self, kib: u32) -> Self {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!(r#"ulimit -v {kib}; exec "$0" "$@""#)]);
        limited.arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            limited.current_dir(folder);
        }
        Self { command: limited, ..self }
    }

    /// Starts the command and returns at once.
    pub fn start(mut self) -> RunningDtr {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let description = format!("{:?}", self.command);
        let mut child = self.command.spawn().unwrap();
        if let Some(text) = self.stdin {
            child.stdin.take().unwrap().write_all(&text).unwrap();
        }
        RunningDtr { child, description }
    }

    /// Runs the command to its end. Any exit code is allowed.
    pub fn finish(self) -> DtrOutput {
        self.start().finish()
    }

    /// Runs the command to its end. Asserts that its exit code is 0.
    pub fn success(self) -> DtrOutput {
        self.exit(0)
    }

    /// Runs the command to its end. Asserts that its exit code is `code`.
    pub fn exit(self, code: i32) -> DtrOutput {
        let output = self.finish();
        output.assert_code(code);
        output
    }

    /// Runs the command with `--json`, asserts exit code 0, and returns the JSON output.
    pub fn json(self) -> Value {
        self.arg("--json").success().json()
    }
}

/// A `dtr` command that is running.
pub struct RunningDtr {
    child: Child,
    description: String,
}

impl RunningDtr {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills the program and waits for its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Reads standard error up to the first line that contains `text`. Returns this line.
    #[track_caller]
    pub fn stderr_line(&mut self, text: &str) -> String {
        let stderr = self.child.stderr.as_mut().unwrap();
        let (mut all, mut line, mut byte) = (String::new(), Vec::new(), [0]);
        while stderr.read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
            if byte[0] == b'\n' {
                let found = String::from_utf8_lossy(&line).trim_end().to_owned();
                if found.contains(text) {
                    return found;
                }
                all += &(found + "\n");
                line.clear();
            }
        }
        panic!("{}\nlacks `{text}`: {all}", self.description)
    }

    /// Sends the program the signal that Ctrl-C would send.
    pub fn interrupt(&self) {
        self.send(Signal::INT);
    }

    pub fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal to the program and to the processes that it has started, as Slurm does.
    pub fn send_to_all(&self, signal: Signal) {
        let id = self.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        self.send(signal);
        for child in children.split_whitespace() {
            // A child may have ended meanwhile.
            let _ = kill_process(Pid::from_raw(child.parse().unwrap()).unwrap(), signal);
        }
    }

    pub fn finish(self) -> DtrOutput {
        DtrOutput { output: self.child.wait_with_output().unwrap(), description: self.description }
    }
}

/// The output of a command that has ended.
#[derive(Debug)]
pub struct DtrOutput {
    output: Output,
    description: String,
}

impl DtrOutput {
    pub fn status(&self) -> ExitStatus {
        self.output.status
    }

    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Returns standard error on one line, without the boxes that `miette` draws around errors.
    pub fn message(&self) -> String {
        let text = self.stderr().replace(['│', '×', '\n'], " ").replace("help:", "hint:");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Parses standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.description, self.stderr()))
    }

    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.code(), Some(code), "{}\n{}\n{}", self.description, self.stdout(), self.stderr());
    }

    #[track_caller]
    pub fn stdout_contains(self, text: &str) -> Self {
        let stdout = self.stdout();
        assert!(stdout.contains(text), "{}\nlacks `{text}`: {stdout}", self.description);
        self
    }

    #[track_caller]
    pub fn stderr_contains(self, text: &str) -> Self {
        let stderr = self.stderr();
        assert!(stderr.contains(text), "{}\nlacks `{text}`: {stderr}", self.description);
        self
    }
}

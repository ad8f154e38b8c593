//! Attacks on the sandbox, which show whether its layers hold on this machine.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use dtr_core::error::{Error, Result};
use tempfile::NamedTempFile;

use crate::limits::ProgramLimits;
use crate::program::Program;
use crate::sandbox::{AttackResult, Sandbox};
use crate::verdict::{Verdict, VerdictStatus};

/// An attack: a program, and the verdict that the program gets if the sandbox holds.
struct Attack {
    name: &'static str,
    program: String,
    held: VerdictStatus,
}

/// The content of the file that no program may read or change.
const SECRET: &[u8] = b"secret";

/// Defines the Python function `denied`, which fails unless a call raises `OSError`.
const DENIED: &str = "
import ctypes, io, posix
def denied(call, *arguments):
    try:
        result = call(*arguments)
    except OSError as error:
        return error
    raise AssertionError(f'{call.__name__}{arguments} returned {result!r}')
";

impl Sandbox {
    /// Attacks the sandbox through the network, files, processes, memory, time and forged verdicts. Returns
    /// one result for each attack.
    ///
    /// # Errors
    /// Fails when a process cannot be started, or the secret file for the attacks cannot be written.
    pub fn probe_attacks(&self) -> Result<Vec<AttackResult>> {
        let secret = create_secret_file()?;
        let limits = ProgramLimits { plain_seconds: 1.0, ..self.limits.clone() };
        let attempt = |attack: Attack| {
            let verdict = self.judge(Program::Plain(attack.program).to_job(&limits))?;
            Ok(result_of(attack.name, attack.held, &verdict))
        };
        let attacks =
            self.attacks_on_machine(secret.path()).into_iter().chain(attacks_on_limits_and_verdict());
        let mut results: Vec<AttackResult> = attacks.map(attempt).collect::<Result<_>>()?;
        let is_changed = !fs::read(secret.path()).is_ok_and(|content| content == SECRET);
        if is_changed && let Some(write) = results.iter_mut().find(|result| result.name == WRITE) {
            (write.is_held, write.detail) = (false, format!("`{}` was changed", secret.path().display()));
        }
        Ok(results)
    }

    /// Returns attacks on the network, on files and on other processes. All attempts must be denied.
    fn attacks_on_machine(&self, secret: &Path) -> Vec<Attack> {
        let secret = python_string(secret);
        let parent = std::process::id();
        let runner = python_string(&self.folder.path().join("runner/runner.py"));
        let attack = |name, code: String| Attack {
            name,
            program: format!("{DENIED}{code}"),
            held: VerdictStatus::Pass,
        };
        let write = format!(
            "for path in ({secret}, {runner}, '/tmp/dtr-attack', '/var/tmp/dtr-attack', '/dev/shm/dtr-attack', \
             '/dtr-attack'):\n    denied(io.open, path, 'a')\n    denied(posix.truncate, path, 0)\n    \
             denied(posix.chmod, path, 0o777)\nio.open('own', 'w').write('x')\n"
        );
        let read = format!(
            "for path in ({secret}, '/etc/shadow', '/proc/{parent}/environ'):\n    denied(io.open, path)\n"
        );
        let signal = format!(
            "import fcntl, signal\nfor target in ({parent}, -1, 1):\n    \
             denied(posix.kill, target, signal.SIGCONT)\n    \
             denied(fcntl.fcntl, 0, fcntl.F_SETOWN, target)\ndenied(fcntl.fcntl, 0, fcntl.F_SETSIG, 9)\n"
        );
        let trace = format!(
            "ptrace = ctypes.CDLL(None).ptrace\nattach = 0x4206\n\
             assert ptrace(attach, {parent}, None, None) == -1\n"
        );
        vec![
            attack("open a network socket", OPEN_SOCKETS.to_owned()),
            attack(WRITE, write),
            attack("read secrets", read),
            attack("start 200 processes", START_PROCESSES.to_owned()),
            attack("signal the parent process", signal),
            attack("trace the parent process", trace),
        ]
    }
}

/// Opens sockets of the families IPv4, IPv6, netlink, packet and vsock, and a Unix socket.
const OPEN_SOCKETS: &str = "
import socket
for family in (2, 10, 16, 17, 40):
    for kind in (1, 2, 3):
        denied(socket.socket, family, kind)
denied(socket.socket, 1, 1)
";

const START_PROCESSES: &str = "
for attempt in range(200):
    denied(posix.fork)
denied(posix.posix_spawn, '/bin/sh', ['sh'], {})
assert ctypes.CDLL(None).vfork() == -1
";

const SLEEP: &str = "
import time
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass
";

/// Writes a verdict with a guessed nonce to all open files.
const FORGE_VERDICT: &str = r#"
import os
line = b'{"nonce": "00000000000000000000000000000000", "status": "pass", "reference_status": "pass"}\n'
for file in range(64):
    try:
        os.write(file, line)
    except OSError:
        pass
os._exit(0)
"#;

const WRITE: &str = "write outside the program's folder";

/// Returns attacks on memory, on time and on the verdict. The sandbox must not let any of these programs
/// pass, and the verdict must name the reason.
fn attacks_on_limits_and_verdict() -> [Attack; 4] {
    let attack = |name, program: &str, held| Attack { name, program: program.to_owned(), held };
    [
        attack("allocate 8 GiB", "block = bytearray(8 << 30)\n", VerdictStatus::Memory),
        attack("sleep forever", SLEEP, VerdictStatus::Timeout),
        attack("exit with success and no verdict", "import os\nos._exit(0)\n", VerdictStatus::Fail),
        attack("print a forged verdict", FORGE_VERDICT, VerdictStatus::Fail),
    ]
}

fn result_of(name: &str, held: VerdictStatus, verdict: &Verdict) -> AttackResult {
    let status = format!("{:?}", verdict.status).to_lowercase();
    let detail = match &verdict.cause {
        Some(cause) => format!("{status}: {cause}"),
        None => "all attempts were denied".to_owned(),
    };
    AttackResult { name: name.to_owned(), is_held: verdict.status == held, detail }
}

/// Returns a path as a string literal of Python.
fn python_string(path: &Path) -> String {
    serde_json::to_string(&path.to_string_lossy()).expect("text is JSON")
}

/// Creates a file that only its owner can read, in the home of the user, or else in the folder of temporary
/// files.
fn create_secret_file() -> Result<NamedTempFile> {
    let create = |folder: &Path| -> io::Result<NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix(".dtr-secret-").tempfile_in(folder)?;
        file.write_all(SECRET)?;
        Ok(file)
    };
    if let Some(Ok(file)) = std::env::home_dir().as_deref().map(create) {
        return Ok(file);
    }
    let folder = std::env::temp_dir();
    create(&folder).map_err(|cause| Error::io("write in", &folder, cause))
}

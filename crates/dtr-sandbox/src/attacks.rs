//! Attacks on the sandbox, which show whether its layers hold on this machine.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dtr_core::error::{Error, Result};

use crate::limits::ProgramLimits;
use crate::program::Program;
use crate::sandbox::{AttackResult, Sandbox};
use crate::verdict::{Verdict, VerdictStatus};

/// An attack: a program, and the verdict that shows that the sandbox held.
struct Attack {
    name: &'static str,
    program: String,
    held: VerdictStatus,
}

/// Defines `denied`, which fails unless a call raises an error of the system.
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
    /// Attacks the sandbox in the ways that matter: network, files, processes, memory, time and forged
    /// verdicts. Returns one result for each attack.
    ///
    /// # Errors
    /// Fails when a process cannot be started, or the secret file for the attacks cannot be written.
    pub fn probe_attacks(&self) -> Result<Vec<AttackResult>> {
        let secret = SecretFile::create()?;
        let limits = ProgramLimits { plain_seconds: 1.0, ..self.limits.clone() };
        let attempt = |attack: Attack| {
            let verdict = self.judge(Program::Plain(attack.program).to_job(&limits))?;
            Ok(result_of(attack.name, attack.held, &verdict))
        };
        let attacks = self.attacks_on_machine(&secret.0).into_iter().chain(attacks_on_verdict());
        let mut results: Vec<AttackResult> = attacks.map(attempt).collect::<Result<_>>()?;
        let is_changed = !fs::read(&secret.0).is_ok_and(|content| content == SecretFile::CONTENT);
        if is_changed && let Some(write) = results.iter_mut().find(|result| result.name == WRITE) {
            (write.is_held, write.detail) = (false, format!("`{}` was changed", secret.0.display()));
        }
        Ok(results)
    }

    fn attacks_on_machine(&self, secret: &Path) -> Vec<Attack> {
        let secret = python_string(secret);
        let parent = std::process::id();
        let runner = python_string(&self.folder.path().join("runner/runner.py"));
        let attack = |name, code: String| Attack {
            name,
            program: format!("{DENIED}{code}"),
            held: VerdictStatus::Pass,
        };
        vec![
            attack(
                "open a network socket",
                "import socket\nfor family in (2, 10, 16, 17, 40):\n    for kind in (1, 2, 3):\n        \
                 denied(socket.socket, family, kind)\ndenied(socket.socket, 1, 1)\n"
                    .to_owned(),
            ),
            attack(
                WRITE,
                format!(
                    "for path in ({secret}, {runner}, '/tmp/dtr-attack', '/var/tmp/dtr-attack', \
                     '/dev/shm/dtr-attack', '/dtr-attack'):\n    denied(io.open, path, 'a')\n    \
                     denied(posix.truncate, path, 0)\n    denied(posix.chmod, path, 0o777)\n\
                     io.open('own', 'w').write('x')\n"
                ),
            ),
            attack(
                "read secrets",
                format!(
                    "for path in ({secret}, '/etc/shadow', '/proc/{parent}/environ'):\n    denied(io.open, path)\n"
                ),
            ),
            attack(
                "start 200 processes",
                "for attempt in range(200):\n    denied(posix.fork)\n\
                 denied(posix.posix_spawn, '/bin/sh', ['sh'], {})\n\
                 assert ctypes.CDLL(None).vfork() == -1\n"
                    .to_owned(),
            ),
            Attack {
                name: "allocate 8 GiB",
                program: "block = bytearray(8 << 30)\n".to_owned(),
                held: VerdictStatus::Memory,
            },
            Attack {
                name: "sleep forever",
                program: "import time\nwhile True:\n    try:\n        time.sleep(1000)\n    \
                          except BaseException:\n        pass\n"
                    .to_owned(),
                held: VerdictStatus::Timeout,
            },
            attack(
                "signal the parent process",
                format!(
                    "import signal\nfor target in ({parent}, -1, 1):\n    \
                         denied(posix.kill, target, signal.SIGCONT)\n"
                ),
            ),
            attack(
                "trace the parent process",
                format!(
                    "ptrace = ctypes.CDLL(None).ptrace\nattach = 0x4206\n\
                     assert ptrace(attach, {parent}, None, None) == -1\n"
                ),
            ),
        ]
    }
}

const WRITE: &str = "write outside the program's folder";

fn attacks_on_verdict() -> [Attack; 2] {
    let attack =
        |name, program: &str| Attack { name, program: program.to_owned(), held: VerdictStatus::Fail };
    [
        attack("exit with success and no verdict", "import os\nos._exit(0)\n"),
        attack(
            "print a forged verdict",
            "import os\nline = b'{\"nonce\": \"00000000000000000000000000000000\", \"status\": \"pass\", \
             \"reference_status\": \"pass\"}\\n'\nfor file in range(64):\n    try:\n        \
             os.write(file, line)\n    except OSError:\n        pass\nos._exit(0)\n",
        ),
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

/// Returns a literal of Python for a path.
fn python_string(path: &Path) -> String {
    serde_json::to_string(&path.to_string_lossy()).expect("text is JSON")
}

/// A file that only its owner can read, in the home of the user, or else in the folder of temporary files.
struct SecretFile(PathBuf);

impl SecretFile {
    const CONTENT: &[u8] = b"secret";

    fn create() -> Result<Self> {
        let name = format!(".dtr-secret-{}", std::process::id());
        let folders = [std::env::home_dir(), Some(std::env::temp_dir())];
        let mut cause = None;
        for path in folders.into_iter().flatten().map(|folder| folder.join(&name)) {
            let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
            match file.and_then(|mut file| file.write_all(Self::CONTENT)) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => cause = Some(Error::io("write", &path, error)),
            }
        }
        Err(cause.expect("the folder of temporary files was tried"))
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

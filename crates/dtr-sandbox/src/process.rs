//! Starts one sandboxed process, watches its time and its answers, and ends it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use procfs::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::CHILD_SUBCOMMAND;
use crate::child::ChildConfig;

/// The longest time from the start of the process to the start of the program in the process.
const STARTUP_LIMIT: Duration = Duration::from_secs(60);
/// The most bytes of an answer. Reference outputs are the longest.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// The most bytes of standard error that are kept.
const MAX_STDERR_BYTES: usize = 16 << 10;

/// How a process ended, and what it wrote.
pub(crate) struct ProcessOutcome {
    pub answer: Vec<u8>,
    pub stderr: String,
    pub status: ExitStatus,
    /// Whether the process exceeded its time and was killed.
    pub is_timeout: bool,
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
}

/// Runs `program`, which calls [`child_main`](crate::child_main), with `job` as standard input. Waits until
/// the process ends. If the process is still running `wall_limit` after its first line, kills it.
pub(crate) fn run(
    program: &Path,
    config: &ChildConfig,
    job: &[u8],
    wall_limit: Duration,
) -> io::Result<ProcessOutcome> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .arg(CHILD_SUBCOMMAND)
        .arg(serde_json::to_string(config)?)
        .stdin(input_file(job)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let watched = watch(&mut child, start, wall_limit);
    if !matches!(watched, Ok(Watched { is_timeout: false, .. })) {
        kill_group(&child);
    }
    // Until the ended process is reaped, its processor time can still be read.
    let _ = wait_without_reaping(&child);
    let cpu_seconds = cpu_seconds(child.id()).unwrap_or(0.0);
    let status = child.wait()?;
    let Watched { answer, stderr, is_timeout } = watched?;
    let stderr = String::from_utf8_lossy(&stderr).trim_end().to_owned();
    let wall_seconds = start.elapsed().as_secs_f64();
    Ok(ProcessOutcome { answer, stderr, status, is_timeout, wall_seconds, cpu_seconds })
}

/// Returns an unnamed file that holds the job. Unlike a pipe, a file never blocks its writer.
fn input_file(job: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(job)?;
    file.rewind()?;
    Ok(file)
}

fn pid(child: &Child) -> io::Result<Pid> {
    Ok(Pid::from_child(child))
}

/// Kills the process and its process group. The group exists only after the process has started its session,
/// so the process is also killed by its own id.
fn kill_group(child: &Child) {
    let pid = Pid::from_child(child);
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

fn wait_without_reaping(child: &Child) -> io::Result<()> {
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    rustix::process::waitid(rustix::process::WaitId::Pid(pid(child)?), options)?;
    Ok(())
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = Process::new(pid.try_into().ok()?).ok()?.stat().ok()?;
    Some((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

struct Watched {
    answer: Vec<u8>,
    stderr: Vec<u8>,
    is_timeout: bool,
}

/// Reads the output of the process until the process ends or exceeds its time.
fn watch(child: &mut Child, start: Instant, wall_limit: Duration) -> io::Result<Watched> {
    let ended = rustix::process::pidfd_open(pid(child)?, PidfdFlags::empty())?;
    let mut stdout = CappedPipe::new(child.stdout.take().map(OwnedFd::from), MAX_ANSWER_BYTES)?;
    let mut stderr = CappedPipe::new(child.stderr.take().map(OwnedFd::from), MAX_STDERR_BYTES)?;
    let (mut deadline, mut has_started) = (start + STARTUP_LIMIT, false);
    let is_timeout = loop {
        let now = Instant::now();
        if now >= deadline {
            break true;
        }
        let timeout = Timespec::try_from(deadline - now).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut polled = vec![PollFd::new(&ended, PollFlags::IN)];
        polled.extend([&stdout, &stderr].into_iter().filter_map(CappedPipe::poll_fd));
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
        let has_ended = !polled[0].revents().is_empty();
        stdout.read_available()?;
        stderr.read_available()?;
        if has_ended {
            break false;
        }
        if !has_started && stdout.bytes.contains(&b'\n') {
            (deadline, has_started) = (Instant::now() + wall_limit, true);
        }
    };
    Ok(Watched { answer: stdout.bytes, stderr: stderr.bytes, is_timeout })
}

/// The reading end of a pipe. Keeps the first `max_bytes` bytes, and drops all later bytes.
struct CappedPipe {
    /// `None` once the pipe is closed.
    file: Option<File>,
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl CappedPipe {
    fn new(pipe: Option<OwnedFd>, max_bytes: usize) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
        }
        Ok(Self { file: pipe.map(File::from), bytes: Vec::new(), max_bytes })
    }

    fn poll_fd(&self) -> Option<PollFd<'_>> {
        Some(PollFd::from_borrowed_fd(self.file.as_ref()?.as_fd(), PollFlags::IN))
    }

    /// Reads until the pipe is empty, but at most 16 MiB. Without this maximum, a program that never stops
    /// writing would keep [`watch`] from checking the deadline.
    fn read_available(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1 << 16];
        for _ in 0..256 {
            let Some(file) = &mut self.file else { return Ok(()) };
            match file.read(&mut buffer) {
                Ok(0) => self.file = None,
                Ok(read) => {
                    let kept = read.min(self.max_bytes - self.bytes.len());
                    self.bytes.extend_from_slice(&buffer[..kept]);
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }
}

//! The process that the user started: it has others do the work, one after the other until one comes to the end.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::death::{Death, is_wish, peak_memory_bytes};
use super::past::{AtWork, Past};
use super::tee::Tee;
use super::{STOP, WATCHER};
use crate::runner::stop::on_interrupt;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::process::oom_kill_count;

/// The worker that is told when the user wants to stop.
#[derive(Clone, Default)]
struct Wishes(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    has_asked: bool,
    line: Option<UnixStream>,
}

/// Has this very command done by a worker, and by another one when that dies, and gives the exit code of the last.
///
/// # Errors
/// When no worker can be started, or one dies that was at no cell: the next would fare no better.
pub fn watch() -> Result<u8> {
    let wishes = Wishes::listen()?;
    let mut past = Past::default();
    loop {
        let mut at_work = AtWork::new();
        let times_before = oom_kill_count();
        let (status, last_words) = work(&mut past, &mut at_work, &wishes)?;
        if let Some(code) = status.code() {
            return Ok(u8::try_from(code).unwrap_or(ErrorKind::Failed.exit_code()));
        }
        let signal = status.signal().unwrap_or_default();
        if is_wish(signal) {
            return Err(Error::interrupted());
        }
        let was_out_of_memory = times_before.zip(oom_kill_count()).is_some_and(|(before, now)| now > before);
        let why =
            Death { signal, last_words, peak_memory_bytes: peak_memory_bytes(), was_out_of_memory }.told();
        if !past.judge(&at_work, &why) {
            return Err(Error::environment(format!("the sweep was at no cell when it ended: {why}"))
                .hint("see that there is memory, and run the same command again"));
        }
    }
}

/// Has one worker work to its end, of whatever kind; what it said last goes with it.
fn work(past: &mut Past, at_work: &mut AtWork, wishes: &Wishes) -> Result<(ExitStatus, Option<String>)> {
    let start = |cause| Error::environment("cannot start the process that works").with_source(cause);
    let (ours, theirs) = UnixStream::pair().map_err(start)?;
    let mut command = command(theirs.into());
    let tee = Tee::of(&mut command).map_err(start)?;
    let mut worker = command.spawn().map_err(start)?;
    // It holds the worker's ends of pipes and sockets, which are to end with the worker.
    drop(command);
    wishes.tell(&ours, past).map_err(start)?;
    for line in BufReader::new(&ours).lines() {
        // What is torn or broken off ends with the worker.
        let Ok(word) = line.map(|line| serde_json::from_str(&line)) else { break };
        if let Ok(word) = word {
            past.hear(word, at_work);
        }
    }
    wishes.lock().line = None;
    let status = worker.wait().map_err(start)?;
    Ok((status, tee.and_then(Tee::last_words)))
}

/// This command once more, as the worker that speaks over `line`.
fn command(line: OwnedFd) -> Command {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| env!("CARGO_PKG_NAME").into());
    let mut command = Command::new(program());
    command.arg0(name).args(words).env(WATCHER, std::process::id().to_string()).stdin(line);
    command
}

/// This very program, also where the file has been replaced since.
fn program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    match running.exists() {
        true => running,
        false => std::env::current_exe().unwrap_or(running),
    }
}

impl Wishes {
    /// Listens to Ctrl-C from now on.
    fn listen() -> Result<Self> {
        let wishes = Self::default();
        let heard = wishes.clone();
        on_interrupt(move || heard.hear())?;
        Ok(wishes)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a wish on; who has died need not hear it.
    fn hear(&self) {
        let mut told = self.lock();
        told.has_asked = true;
        let _ = told.line.as_mut().map(|line| writeln!(line, "{STOP}"));
    }

    /// Tells a worker what was before it, and has it hear all wishes from now on. One of before counts as the first.
    fn tell(&self, mut line: &UnixStream, past: &Past) -> std::io::Result<()> {
        let mut told = self.lock();
        told.line = Some(line.try_clone()?);
        let wish = if told.has_asked { STOP } else { "" };
        let past = serde_json::to_string(past).expect("keys and words are plain JSON");
        // A worker that dies before it has read this is told of by its end.
        let _ = writeln!(line, "{past}\n{wish}");
        Ok(())
    }
}

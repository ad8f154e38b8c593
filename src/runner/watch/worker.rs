//! A worker's end of the line to the process that watches it.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::sync::{Mutex, PoisonError};

use super::past::{Ending, Past, Word};
use super::{STOP, WATCHER};
use crate::plan::Plan;
use crate::runner::stop::{Stopper, on_interrupt};
use crate::store::Key;
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::files::Digest;

/// A process that does the work of a sweep; by default one that nobody watches.
#[derive(Default)]
pub struct Worker {
    line: Option<Mutex<UnixStream>>,
    past: Past,
    stopper: Stopper,
}

impl Worker {
    /// This process as a worker; none where it was not started as one.
    ///
    /// # Errors
    /// When the process that started it is gone by now, or cannot be heard.
    pub fn of_watcher() -> Result<Option<Self>> {
        let Some(watcher) = std::env::var_os(WATCHER) else { return Ok(None) };
        let gone = || {
            let message = format!("the process that `{WATCHER}` names did not start this one, or is gone");
            Error::new(ErrorKind::Interrupted, message).hint(format!("run it without `{WATCHER}`"))
        };
        die_with_the_watcher();
        if watcher.to_str() != Some(&parent_id().to_string()) {
            return Err(gone());
        }
        let line = std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| gone())?;
        let line = UnixStream::from(line);
        let mut lines = BufReader::new(line.try_clone().map_err(|_| gone())?);
        let mut told = String::new();
        lines.read_line(&mut told).map_err(|_| gone())?;
        let past = serde_json::from_str(&told).map_err(|_| gone())?;
        // A terminal sends Ctrl-C to both, and the watcher passes it on.
        on_interrupt(|| {})?;
        let stopper = Stopper::default();
        let hearing = stopper.clone();
        std::thread::spawn(move || hear(lines, &hearing));
        Ok(Some(Self { line: Some(Mutex::new(line)), past, stopper }))
    }

    /// What hears that the user wants to stop.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What became of the sweep's cells in the workers before this one.
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// Tells what is planned.
    ///
    /// # Errors
    /// When it is not what the worker before this one planned.
    pub fn planned(&self, plan: &Plan) -> Result<()> {
        let keys: Vec<String> = plan.cells.iter().map(|cell| cell.key.to_string()).collect();
        let digest = Digest::hash(keys.concat().as_bytes());
        self.say(&Word::Planned(digest));
        match self.past.plan {
            Some(before) if before != digest => {
                let deaths = self.past.blamed.values().chain(self.past.suspected.values());
                let why = deaths.map(|fate| format!("; before that, {}", fate.why)).next();
                Err(Error::manifest(format!(
                    "the manifest, or what it names, has changed since the sweep began{}",
                    why.unwrap_or_default()
                ))
                .hint("run the same command again"))
            }
            _ => Ok(()),
        }
    }

    /// Tells that a cell is taken up.
    pub fn begun(&self, key: &Key) {
        self.say(&Word::Begun(*key));
    }

    /// Tells that a cell is done with.
    pub fn ended(&self, key: &Key, ending: Ending) {
        self.say(&Word::Ended(*key, ending));
    }

    fn say(&self, word: &Word) {
        let Some(line) = &self.line else { return };
        let text = serde_json::to_string(word).expect("keys are plain JSON");
        // Who does not hear it any more is gone, and takes this process along.
        let _ = line.lock().unwrap_or_else(PoisonError::into_inner).write_all(format!("{text}\n").as_bytes());
    }
}

/// Passes on what the watcher says; when that is gone, nobody wants this process any more.
fn hear(lines: impl BufRead, stopper: &Stopper) {
    lines.lines().map_while(std::io::Result::ok).filter(|line| line == STOP).for_each(|_| stopper.ask());
    std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
}

/// Where the system offers it, the end of the watcher ends this process at once. It also gets its program's name,
/// which it is not started by.
#[cfg(target_os = "linux")]
fn die_with_the_watcher() {
    use nix::sys::{prctl, signal::Signal};
    // Without it the end of the line does the same a little later.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    let _ = prctl::set_name(c"dtr");
}

#[cfg(not(target_os = "linux"))]
fn die_with_the_watcher() {}

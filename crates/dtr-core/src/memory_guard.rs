//! Ends the process when work on untrusted input, such as a template, would exhaust the memory.
//!
//! A template engine may allocate much memory before it counts a step, and nothing can interrupt the engine.
//! Therefore, a thread reads the process's memory use every 10 ms while the work runs. The thread ends the
//! process if the memory use has grown by more than 1 GiB since the first reading.

use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::files::format_bytes;
use crate::system_info;

/// The most memory that the process may gain while guarded work runs, in bytes.
const MAX_GROWTH_BYTES: u64 = 1 << 30;

/// The pause between two readings of the memory use.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A piece of guarded work that is running.
struct GuardedWork {
    id: u64,
    name: String,
    /// Memory use of the process at the first reading, in bytes.
    bytes_at_start: Option<u64>,
}

/// The running pieces of work, and the number of pieces that were ever started.
#[derive(Default)]
struct RunningWork {
    pieces: Vec<GuardedWork>,
    num_started: u64,
}

static RUNNING: Mutex<RunningWork> = Mutex::new(RunningWork { pieces: Vec::new(), num_started: 0 });

/// Wakes the thread that watches the memory.
static WORK_STARTED: Condvar = Condvar::new();

/// Runs `work` and returns its result. If the process's memory use grows by more than 1 GiB meanwhile, the
/// process ends with an error. The error names `name` as the work that takes too much memory.
pub fn with_memory_limit<T>(name: impl Into<String>, work: impl FnOnce() -> T) -> T {
    static SPAWN_WATCHER: Once = Once::new();
    SPAWN_WATCHER
        .call_once(|| drop(thread::Builder::new().name("memory guard".to_owned()).spawn(watch_memory)));
    let id = {
        let mut running = lock_running();
        running.num_started += 1;
        let id = running.num_started;
        running.pieces.push(GuardedWork { id, name: name.into(), bytes_at_start: None });
        id
    };
    WORK_STARTED.notify_one();
    let guard = UnregisterOnDrop(id);
    let result = work();
    drop(guard);
    result
}

/// Removes a piece of work from [`RUNNING`] when dropped, even if the work panics.
struct UnregisterOnDrop(u64);

impl Drop for UnregisterOnDrop {
    fn drop(&mut self) {
        lock_running().pieces.retain(|work| work.id != self.0);
    }
}

fn lock_running() -> MutexGuard<'static, RunningWork> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch_memory() {
    loop {
        let mut running = WORK_STARTED
            .wait_while(lock_running(), |running| running.pieces.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        // Without `/proc`, the memory use is unknown, so no limit applies.
        let Some(bytes) = system_info::resident_bytes() else { return };
        for work in &mut running.pieces {
            if bytes > *work.bytes_at_start.get_or_insert(bytes) + MAX_GROWTH_BYTES {
                exit_over_limit(&work.name);
            }
        }
        drop(running);
        thread::sleep(POLL_INTERVAL);
    }
}

fn exit_over_limit(name: &str) -> ! {
    let error =
        Error::manifest(format!("{name} takes more than {} of memory", format_bytes(MAX_GROWTH_BYTES)))
            .hint("check whether it repeats a text, or a list of texts");
    let code = error.kind().exit_code();
    eprintln!("{:?}", miette::Report::new(error));
    std::process::exit(i32::from(code))
}

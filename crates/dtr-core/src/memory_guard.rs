//! Work whose memory a stranger's file decides, such as a template's: where it fills the memory, the process ends with
//! a word.
//!
//! Such work cannot be interrupted: an engine counts most of what it makes, and not all. So a thread looks now and then,
//! while such work is under way, how much the process has grown meanwhile.

use std::fs;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::files::size;

/// How much a process may grow by one piece of work, in bytes.
const MOST_GROWN: u64 = 1 << 30;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A piece of work under way.
struct Work {
    number: u64,
    what: String,
    /// The bytes that the process held when the work was first looked at.
    before: Option<u64>,
}

/// The work under way, and the number of the next.
static UNDER_WAY: Mutex<(Vec<Work>, u64)> = Mutex::new((Vec::new(), 0));

/// Some work is under way.
static BEGUN: Condvar = Condvar::new();

/// Does `work`. When the process grows too large meanwhile, it says that `what` fills the memory, and ends with the
/// exit code of bad input.
pub fn bounded<T>(what: impl Into<String>, work: impl FnOnce() -> T) -> T {
    static LOOKING: Once = Once::new();
    LOOKING.call_once(|| drop(thread::Builder::new().name("bounded".to_owned()).spawn(look)));
    let number = {
        let mut under_way = lock();
        under_way.1 += 1;
        let number = under_way.1;
        under_way.0.push(Work { number, what: what.into(), before: None });
        number
    };
    BEGUN.notify_one();
    let done = Done(number);
    let result = work();
    drop(done);
    result
}

/// Ends a piece of work, also where it panics.
struct Done(u64);

impl Drop for Done {
    fn drop(&mut self) {
        lock().0.retain(|work| work.number != self.0);
    }
}

fn lock() -> MutexGuard<'static, (Vec<Work>, u64)> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look() {
    loop {
        let mut under_way = BEGUN
            .wait_while(lock(), |under_way| under_way.0.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        // A system that does not tell is not looked at.
        let Some(held) = held_bytes() else { return };
        for work in &mut under_way.0 {
            if held > *work.before.get_or_insert(held) + MOST_GROWN {
                end(&work.what);
            }
        }
        drop(under_way);
        thread::sleep(PAUSE);
    }
}

fn end(what: &str) -> ! {
    let error = Error::manifest(format!("{what} fills the memory: it took more than {}", size(MOST_GROWN)))
        .hint("does it repeat a text, or a list of texts?");
    let code = error.kind().exit_code();
    eprintln!("{:?}", miette::Report::new(error));
    std::process::exit(i32::from(code))
}

/// Bytes that this process holds in memory, where Linux tells.
fn held_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

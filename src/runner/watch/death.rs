//! What a worker died of, in words, as far as the process that watched it can know.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;

use dtr_core::files::format_bytes;

/// What `getrusage` counts memory in.
const UNIT: u64 = if cfg!(target_vendor = "apple") { 1 } else { 1024 };

/// How Rust says that memory cannot be had, before it aborts.
pub const NO_MEMORY: &str = "memory allocation of ";

/// Signals by which somebody ends a process, where others tell of what became of it.
const WISHES: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE];

/// Whether `signal` is a user's wish and no failure.
pub fn is_wish(signal: i32) -> bool {
    Signal::try_from(signal).is_ok_and(|signal| WISHES.contains(&signal))
}

/// The most memory that a worker of this process has held, in bytes.
pub fn peak_memory_bytes() -> Option<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    u64::try_from(usage.max_rss()).ok().filter(|amount| *amount > 0).map(|amount| amount * UNIT)
}

/// What is known of a death.
#[derive(Debug, Default)]
pub struct Death {
    /// The signal that ended the process.
    pub signal: i32,
    /// What it said last, where that was heard.
    pub last_words: Option<String>,
    /// The most memory that a worker has held, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Whether the system ended a process for want of memory meanwhile.
    pub was_out_of_memory: bool,
}

impl Death {
    /// The death in words.
    pub fn told(&self) -> String {
        let signal = match Signal::try_from(self.signal) {
            Ok(signal) => signal.as_str().to_owned(),
            Err(_) => format!("signal {}", self.signal),
        };
        let last = self.last_words.as_deref();
        let cause = match (signal.as_str(), last) {
            ("SIGKILL", _) if self.was_out_of_memory => "out of memory: the system had none left".to_owned(),
            ("SIGKILL", _) => "killed by somebody, or by the system for want of memory".to_owned(),
            (_, Some(said)) if said.starts_with(NO_MEMORY) => format!("out of memory: {said}"),
            ("SIGABRT", None) => "aborted, for want of memory or by another fault".to_owned(),
            (_, Some(said)) => format!("a fault ended it: {said}"),
            (_, None) => "a fault ended it".to_owned(),
        };
        let peak =
            self.peak_memory_bytes.map(|bytes| format!(", having held {} at most", format_bytes(bytes)));
        format!("{cause}; its process ended by {signal}{}", peak.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(signal: Signal, last: Option<&str>, was_out_of_memory: bool) -> String {
        let last_words = last.map(str::to_owned);
        Death { signal: signal as i32, last_words, peak_memory_bytes: Some(3 << 30), was_out_of_memory }
            .told()
    }

    #[test]
    fn a_death_says_its_signal_its_cause_where_known_and_the_memory() {
        assert_eq!(
            told(Signal::SIGABRT, Some("memory allocation of 512 bytes failed"), false),
            "out of memory: memory allocation of 512 bytes failed; its process ended by SIGABRT, having held 3.0 GiB at most"
        );
        assert!(
            told(Signal::SIGKILL, Some("step 3"), true)
                .starts_with("out of memory: the system had none left;")
        );
        assert!(
            told(Signal::SIGKILL, None, false)
                .starts_with("killed by somebody, or by the system for want of memory;")
        );
        assert!(
            told(Signal::SIGSEGV, Some("step 3"), false)
                .starts_with("a fault ended it: step 3; its process ended by SIGSEGV,")
        );
        assert!(Death { signal: 99, ..Death::default() }.told().ends_with("its process ended by signal 99"));
    }

    #[test]
    fn a_wish_is_no_failure() {
        assert!(is_wish(Signal::SIGTERM as i32) && !is_wish(Signal::SIGKILL as i32) && !is_wish(99));
    }
}

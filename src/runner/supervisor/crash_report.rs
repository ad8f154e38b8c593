//! Describes the probable cause of a worker's crash, from the facts that the supervisor has about the worker.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;

use dtr_core::files::format_bytes;

/// Number of bytes in the unit of `ru_maxrss`, a field of `getrusage`'s result.
const MAX_RSS_UNIT: u64 = if cfg!(target_vendor = "apple") { 1 } else { 1024 };

/// The first words of the message that Rust prints before it aborts because of a failed allocation.
pub const ALLOCATION_FAILURE_PREFIX: &str = "memory allocation of ";

/// The signals by which a user ends a process.
const USER_SIGNALS: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE];

/// Returns whether `signal` is a user's request to end a process. Any other signal is a crash.
pub fn is_user_signal(signal: i32) -> bool {
    Signal::try_from(signal).is_ok_and(|signal| USER_SIGNALS.contains(&signal))
}

/// Returns the highest peak memory of all workers that have ended so far, in bytes.
pub fn max_worker_peak_bytes() -> Option<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    u64::try_from(usage.max_rss()).ok().filter(|amount| *amount > 0).map(|amount| amount * MAX_RSS_UNIT)
}

/// The facts about a worker's crash.
#[derive(Debug, Default)]
pub struct CrashReport {
    /// The signal that ended the process.
    pub signal: i32,
    /// The last line that the process wrote to standard error, or the line about a failed allocation if there
    /// is one. `None` if the process wrote no line, or wrote directly to a terminal.
    pub crash_line: Option<String>,
    /// The highest peak memory of all workers that have ended so far, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Whether the kernel's out-of-memory killer ended any process while the worker ran.
    pub was_out_of_memory: bool,
}

impl CrashReport {
    /// Returns the cause, the signal and the peak memory in one line.
    pub fn describe(&self) -> String {
        let signal = match Signal::try_from(self.signal) {
            Ok(signal) => signal.as_str().to_owned(),
            Err(_) => self.signal.to_string(),
        };
        let cause = match (signal.as_str(), self.crash_line.as_deref()) {
            ("SIGKILL", _) if self.was_out_of_memory => {
                "out of memory: the system killed the worker's process".to_owned()
            }
            ("SIGKILL", _) => "killed by a user, or by the system because memory ran out".to_owned(),
            (_, Some(line)) if line.starts_with(ALLOCATION_FAILURE_PREFIX) => {
                format!("out of memory: {line}")
            }
            ("SIGABRT", None) => "aborted because memory ran out, or by a bug".to_owned(),
            (_, Some(line)) => format!("crashed: {line}"),
            (_, None) => "crashed".to_owned(),
        };
        let peak =
            self.peak_memory_bytes.map(|bytes| format!("; its peak memory was {}", format_bytes(bytes)));
        format!("{cause}; signal {signal}{}", peak.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(signal: Signal, line: Option<&str>, was_out_of_memory: bool) -> String {
        let crash_line = line.map(str::to_owned);
        let peak_memory_bytes = Some(3 << 30);
        CrashReport { signal: signal as i32, crash_line, peak_memory_bytes, was_out_of_memory }.describe()
    }

    #[test]
    fn a_report_names_the_cause_the_signal_and_the_peak_memory() {
        assert_eq!(
            describe(Signal::SIGABRT, Some("memory allocation of 512 bytes failed"), false),
            "out of memory: memory allocation of 512 bytes failed; signal SIGABRT; its peak memory was 3.0 GiB"
        );
        assert!(
            describe(Signal::SIGKILL, Some("step 3"), true)
                .starts_with("out of memory: the system killed the worker's process;")
        );
        assert!(
            describe(Signal::SIGKILL, None, false)
                .starts_with("killed by a user, or by the system because memory ran out;")
        );
        assert!(
            describe(Signal::SIGSEGV, Some("step 3"), false).starts_with("crashed: step 3; signal SIGSEGV;")
        );
        assert!(CrashReport { signal: 99, ..CrashReport::default() }.describe().ends_with("signal 99"));
    }

    #[test]
    fn only_signals_of_a_user_are_user_signals() {
        assert!(
            is_user_signal(Signal::SIGTERM as i32)
                && !is_user_signal(Signal::SIGKILL as i32)
                && !is_user_signal(99)
        );
    }
}

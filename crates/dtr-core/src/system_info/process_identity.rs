//! The identity of a process among all processes of all hosts that share a folder.

use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
use super::linux as system;
#[cfg(not(target_os = "linux"))]
use super::unsupported as system;

/// The identity of a process. No two processes have the same identity, on whatever hosts they run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The name of the host.
    pub host: String,
    /// The running kernel and the namespace of process ids. Processes with equal texts see each other. On
    /// systems other than Linux, this text is the name of the host.
    pub kernel: String,
    /// The process id.
    pub process: u32,
    /// The time at which the process started, in clock ticks since the kernel started. `None` if the system
    /// does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ticks: Option<u64>,
}

impl ProcessIdentity {
    /// Returns the identity of this process.
    pub fn current() -> &'static Self {
        static CURRENT: OnceLock<ProcessIdentity> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let process = std::process::id();
            Self {
                kernel: system::kernel_id().unwrap_or_else(|| host.clone()),
                host,
                process,
                start_ticks: system::process_start_ticks(process),
            }
        })
    }

    /// Returns whether this process can see the process, so that [`is_alive`](Self::is_alive) knows the
    /// answer.
    pub fn is_on_this_kernel(&self) -> bool {
        self.kernel == Self::current().kernel
    }

    /// Returns whether the process runs. Returns `None` if the process belongs to another kernel.
    pub fn is_alive(&self) -> Option<bool> {
        self.is_on_this_kernel().then(|| is_running(self.process, self.start_ticks))
    }
}

/// Returns whether the process with the id `process` runs and started at `start_ticks`.
pub(crate) fn is_running(process: u32, start_ticks: Option<u64>) -> bool {
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return false };
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return false;
    }
    match (start_ticks, system::process_start_ticks(process)) {
        (Some(expected), Some(found)) => expected == found,
        // The process exists, and it has ended without its parent's notice. Or it belongs to another user,
        // and `/proc` hides it.
        (Some(_), None) => !std::path::Path::new(&format!("/proc/{process}/stat")).exists(),
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn identity_of(process: u32) -> ProcessIdentity {
        let start_ticks = system::process_start_ticks(process);
        ProcessIdentity { process, start_ticks, ..ProcessIdentity::current().clone() }
    }

    #[test]
    fn a_process_is_alive_until_it_ends_even_if_nobody_has_waited_for_it() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let identity = identity_of(child.id());
        assert_eq!(identity.is_alive(), Some(true));
        drop(child.stdin.take());
        while identity.is_alive() == Some(true) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(identity.is_alive(), Some(false));
    }

    #[test]
    fn another_process_with_the_same_id_is_another_process() {
        let current = ProcessIdentity::current().clone();
        assert_eq!(current.is_alive(), Some(true));
        if let Some(ticks) = current.start_ticks {
            assert_eq!(
                ProcessIdentity { start_ticks: Some(ticks + 1), ..current.clone() }.is_alive(),
                Some(false)
            );
        }
        assert_eq!(ProcessIdentity { kernel: "other".to_owned(), ..current }.is_alive(), None);
    }
}

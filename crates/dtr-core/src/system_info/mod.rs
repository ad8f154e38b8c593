//! Facts about this process and its machine: memory, memory limits, CPU time, the CPU's name, the path of the
//! running program, and the identity of a process among the hosts that share a folder.
//!
//! Linux provides these facts in `/proc` and `/sys/fs/cgroup`. A function returns `None` where the system
//! does not provide the fact.

#[cfg(target_os = "linux")]
mod cgroup;
mod cpu_times;
#[cfg(target_os = "linux")]
mod linux;
mod process_identity;
#[cfg(not(target_os = "linux"))]
mod unsupported;

use std::path::PathBuf;

pub use cpu_times::CpuTimes;
#[cfg(target_os = "linux")]
pub use linux::{cpu_model_name, memory_limit_bytes, oom_kill_count, peak_resident_bytes, resident_bytes};
pub use process_identity::ProcessIdentity;
#[cfg(not(target_os = "linux"))]
pub use unsupported::{
    cpu_model_name, memory_limit_bytes, oom_kill_count, peak_resident_bytes, resident_bytes,
};

/// Returns the path of the running program's file. On Linux, the path stays valid if the file is replaced.
pub fn running_program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    match running.exists() {
        true => running,
        false => std::env::current_exe().unwrap_or(running),
    }
}

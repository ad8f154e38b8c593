//! Measurements from `/proc` and `/sys/fs/cgroup` on Linux.

use std::path::Path;

use procfs::process::{Process, Status};
use procfs::{CpuInfo, CpuTime, Current, CurrentSI, KernelStats, Meminfo};

use super::{CpuTimes, cgroup};

/// The folder in which control group file systems are mounted.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Returns the bytes of memory that this process holds (its resident set).
pub fn resident_bytes() -> Option<u64> {
    Some(status()?.vmrss? * 1024)
}

/// Returns the most bytes of memory that this process has held at once so far.
pub fn peak_resident_bytes() -> Option<u64> {
    Some(status()?.vmhwm? * 1024)
}

fn status() -> Option<Status> {
    Process::myself().ok()?.status().ok()
}

/// Returns the bytes of memory and swap that this process may use if nothing else runs.
///
/// The memory is the machine's memory, or the limit of the process's control groups if the limit is lower.
/// The swap is the machine's swap.
pub fn memory_limit_bytes() -> Option<u64> {
    let machine = Meminfo::current().ok()?;
    let groups = Process::myself().and_then(|process| process.cgroups()).ok();
    let limit = groups.and_then(|groups| cgroup::memory_limit(groups, Path::new(CGROUP_ROOT)));
    Some(limit.map_or(machine.mem_total, |limit| limit.min(machine.mem_total)) + machine.swap_total)
}

/// Returns how many processes the kernel has killed for lack of memory since the machine started.
pub fn oom_kill_count() -> Option<u64> {
    procfs::vmstat().ok()?.get("oom_kill").and_then(|count| u64::try_from(*count).ok())
}

/// Returns the model name of the first CPU, such as `AMD EPYC 7763 64-Core Processor`.
pub fn cpu_model_name() -> Option<String> {
    CpuInfo::current().ok()?.model_name(0).map(str::to_owned)
}

/// Returns a text that identifies the running kernel and this process's namespace of process ids. Process ids
/// are comparable only if these texts are equal.
pub(super) fn kernel_id() -> Option<String> {
    let boot = procfs::sys::kernel::random::boot_id().ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{boot} {}", namespace.display()))
}

/// Returns the time at which a process started, in clock ticks since the kernel started. Returns `None` if no
/// such process is visible, or if the process has ended and its parent has not noticed it yet.
pub(super) fn process_start_ticks(process: u32) -> Option<u64> {
    let stat = Process::new(i32::try_from(process).ok()?).and_then(|process| process.stat()).ok()?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
}

pub(super) fn cpu_times() -> Option<CpuTimes> {
    let machine = KernelStats::current().ok()?;
    let process = Process::myself().ok()?.stat().ok()?;
    let (busy, idle) = (busy_ticks(&machine.total), idle_ticks(&machine.total));
    Some(CpuTimes {
        num_cpus: machine.cpu_time.len() as u64,
        total: busy + idle,
        busy,
        own: process.utime + process.stime,
    })
}

/// Returns the busy time. Guest time is not added, since the kernel includes it in the user time.
fn busy_ticks(time: &CpuTime) -> u64 {
    let interrupts = time.irq.unwrap_or(0) + time.softirq.unwrap_or(0);
    time.user + time.nice + time.system + interrupts + time.steal.unwrap_or(0)
}

fn idle_ticks(time: &CpuTime) -> u64 {
    time.idle + time.iowait.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_memory_below_its_peak_and_its_limit() {
        let resident = resident_bytes().unwrap();
        assert!(resident > 1 << 16, "{resident}");
        assert!(peak_resident_bytes().unwrap() >= resident);
        assert!(memory_limit_bytes().unwrap() > resident);
    }
}

//! Stand-ins for the measurements on systems other than Linux, where none is available.

use super::CpuTimes;

/// Returns `None`.
pub fn resident_bytes() -> Option<u64> {
    None
}

/// Returns `None`.
pub fn peak_resident_bytes() -> Option<u64> {
    None
}

/// Returns `None`.
pub fn memory_limit_bytes() -> Option<u64> {
    None
}

/// Returns `None`.
pub fn oom_kill_count() -> Option<u64> {
    None
}

/// Returns `None`.
pub fn cpu_model_name() -> Option<String> {
    None
}

pub(super) fn kernel_id() -> Option<String> {
    None
}

pub(super) fn process_start_ticks(_process: u32) -> Option<u64> {
    None
}

pub(super) fn cpu_times() -> Option<CpuTimes> {
    None
}

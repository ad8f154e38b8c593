//! Measures CPU time, to detect the load of other processes during a benchmark.

/// Cumulative CPU time of the machine and of this process, in kernel clock ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuTimes {
    /// The number of CPUs.
    pub(super) num_cpus: u64,
    /// Busy and idle time of all CPUs.
    pub(super) total: u64,
    /// Busy time of all CPUs.
    pub(super) busy: u64,
    /// Busy time of this process.
    pub(super) own: u64,
}

impl CpuTimes {
    /// Reads the CPU time up to now. Returns `None` where the system does not provide it.
    pub fn now() -> Option<Self> {
        #[cfg(target_os = "linux")]
        return super::linux::cpu_times();
        #[cfg(not(target_os = "linux"))]
        return super::unsupported::cpu_times();
    }

    /// Returns how many CPUs other processes kept busy, on average, between this measurement and `later`.
    pub fn other_cpus_until(&self, later: &Self) -> f64 {
        let elapsed = |ticks: fn(&Self) -> u64| ticks(later) as f64 - ticks(self) as f64;
        let other = elapsed(|times| times.busy) - elapsed(|times| times.own);
        // The difference can be negative, because the kernel sometimes corrects its counters. Also, the busy
        // times of the machine and of this process are read one after the other.
        (other / elapsed(|times| times.total).max(1.0) * self.num_cpus as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_outside_this_process_is_other_load() {
        let before = CpuTimes { num_cpus: 2, total: 1631, busy: 1111, own: 37 };
        // Of 400 ticks of two CPUs, 100 were idle and 150 were this process's.
        let after = CpuTimes { num_cpus: 2, total: 2031, busy: 1411, own: 187 };
        assert_eq!(before.other_cpus_until(&after), 150.0 / 400.0 * 2.0);
    }

    #[test]
    fn busy_time_is_part_of_the_total_time() {
        let Some(times) = CpuTimes::now() else { return };
        assert!(times.num_cpus > 0 && times.busy <= times.total);
    }
}

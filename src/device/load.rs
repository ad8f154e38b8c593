//! What else a machine does meanwhile, as Linux counts it: work that is timed should be alone.

use std::fs;

/// The processors' time up to a moment, in ticks of Linux's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Processors.
    cores: u64,
    /// Time of all processors, idle or not.
    all: u64,
    /// Time in which they were at work.
    busy: u64,
    /// Time in which they were at work for this process.
    own: u64,
}

impl Load {
    /// Up to now; none where the system does not tell.
    pub fn now() -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        Self::parse(&read("/proc/stat")?, &read("/proc/self/stat")?)
    }

    /// Reads the machine's and the process's status.
    fn parse(machine: &str, process: &str) -> Option<Self> {
        let processors = || machine.lines().filter(|line| line.starts_with("cpu"));
        let total = processors().next()?.split_whitespace().skip(1);
        // User, nice, system, idle, waiting for disks, two kinds of interrupts, and what other systems took of a virtual
        // processor; what follows is counted in the first two already.
        let ticks: Vec<u64> = total.take(8).map(|ticks| ticks.parse().ok()).collect::<Option<_>>()?;
        let all = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        // The name, in brackets, may hold anything; user and system time are the 12th and 13th after it.
        let mut after = process.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (u64, u64) = (after.next()?.parse().ok()?, after.next()?.parse().ok()?);
        Some(Self { cores: processors().skip(1).count() as u64, all, busy: all - idle, own: user + system })
    }

    /// Processors that other processes kept at work from this moment to the `later` one, on average.
    pub fn others_until(&self, later: &Self) -> f64 {
        // Linux corrects its counts now and then, and the two files are read one after the other: a little work may look
        // like less than none.
        let grown = |of: fn(&Self) -> u64| of(later) as f64 - of(self) as f64;
        let others = grown(|load| load.busy) - grown(|load| load.own);
        (others / grown(|load| load.all).max(1.0) * self.cores as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_this_process_is_others() {
        let machine = |user: u64, idle: u64| {
            format!("cpu  {user} 5 100 {idle} 20 1 2 3 999 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n")
        };
        let process = |user: u64| format!("42 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 {user} 7 0 0\n");
        let before = Load::parse(&machine(1000, 500), &process(30)).unwrap();
        assert_eq!(before, Load { cores: 2, all: 1631, busy: 1111, own: 37 });
        // Of 400 ticks of two processors 100 were idle, and 150 this process's.
        let after = Load::parse(&machine(1300, 600), &process(180)).unwrap();
        assert_eq!(before.others_until(&after), 150.0 / 400.0 * 2.0);
        assert_eq!(Load::parse("intr 5\n", &process(1)), None);
    }
}

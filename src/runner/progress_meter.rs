//! Decides when the progress of a task is written to the logs of its cells.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::ProgressReport;

/// The time until the first report. Most cells of small experiments end before and log no progress.
const FIRST_INTERVAL: Duration = Duration::from_secs(10);

/// The time between two reports.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts the units of work of a task.
pub(super) struct ProgressMeter {
    total: u64,
    unit: &'static str,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    done: u64,
    /// The time of the latest report, or of the first call of [`ProgressMeter::advance`].
    since: Option<Instant>,
    /// The number of units done since then.
    recent: u64,
    has_reported: bool,
}

impl ProgressMeter {
    pub(super) fn new(total: u64, unit: &'static str) -> Self {
        Self { total, unit, counts: Mutex::default() }
    }

    /// Adds `amount` units of work that are done at the time `now`. Returns a report if it is due.
    ///
    /// The rate does not include the first call, with which a resumed training reports the steps of earlier
    /// processes.
    pub(super) fn advance(&self, amount: u64, now: Instant) -> Option<ProgressReport> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.done += amount;
        let since = *counts.since.get_or_insert(now);
        if since < now {
            counts.recent += amount;
        }
        let interval = if counts.has_reported { INTERVAL } else { FIRST_INTERVAL };
        let elapsed = now.saturating_duration_since(since);
        if elapsed < interval {
            return None;
        }
        let recent = std::mem::take(&mut counts.recent);
        (counts.since, counts.has_reported) = (Some(now), true);
        Some(ProgressReport {
            done: counts.done,
            total: self.total,
            unit: self.unit.to_owned(),
            recent,
            recent_milliseconds: elapsed.as_millis() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_at_most_once_a_minute_and_leave_out_work_of_earlier_processes() {
        let (meter, start) = (ProgressMeter::new(1000, "tokens"), Instant::now());
        let mut reports = Vec::new();
        // A resumed training reports 400 tokens at once, and then two tokens each second.
        assert_eq!(meter.advance(400, start), None);
        for second in 1..=150 {
            let report = meter.advance(2, start + Duration::from_secs(second));
            reports.extend(report.map(|report| (second, report)));
        }
        let seconds: Vec<u64> = reports.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [10, 70, 130]);
        for (second, report) in reports {
            assert_eq!((report.done, report.total), (400 + 2 * second, 1000));
            assert_eq!(report.per_second(), 2.0);
        }
    }
}

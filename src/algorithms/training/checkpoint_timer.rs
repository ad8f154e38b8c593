//! Decides when a training run writes its next checkpoint. Frequent checkpoints limit the work that a killed
//! process loses. Rare checkpoints limit the time that the run spends on writing.

use std::time::{Duration, Instant};

/// The interval between two checkpoints, as a multiple of the time for which a checkpoint holds up training.
const INTERVAL_PER_COST: u32 = 20;

/// The shortest interval between two checkpoints.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The longest interval between two checkpoints. It limits the work that a killed process loses.
const MAX_INTERVAL: Duration = Duration::from_secs(120);

/// A timer that decides when a checkpoint is due.
pub struct CheckpointTimer {
    last: Instant,
    interval: Duration,
}

impl CheckpointTimer {
    /// Starts the timer. The first checkpoint is due after the shortest interval.
    pub fn start() -> Self {
        Self { last: Instant::now(), interval: MIN_INTERVAL }
    }

    /// Calls `save` if a checkpoint is due or `is_forced` is true.
    ///
    /// # Errors
    /// Fails if `save` fails.
    pub fn save_if_due<E>(&mut self, is_forced: bool, save: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if !is_forced && self.last.elapsed() < self.interval {
            return Ok(());
        }
        let start = Instant::now();
        save()?;
        self.last = Instant::now();
        self.interval = interval_after(self.last - start);
        Ok(())
    }
}

/// Returns the interval after a checkpoint that held up training for `cost`.
fn interval_after(cost: Duration) -> Duration {
    (cost * INTERVAL_PER_COST).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_a_multiple_of_the_cost_within_bounds() {
        let intervals = [1, 200, 60_000].map(|cost| interval_after(Duration::from_millis(cost)));
        assert_eq!(intervals, [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(120)]);
    }

    #[test]
    fn a_checkpoint_is_written_when_it_is_due_or_forced() {
        let mut timer = CheckpointTimer::start();
        let mut count = 0;
        let mut save = |is_forced| {
            timer.save_if_due(is_forced, || {
                count += 1;
                Ok::<_, ()>(())
            })
        };
        save(false).unwrap();
        save(true).unwrap();
        save(false).unwrap();
        assert_eq!(count, 1);
    }
}

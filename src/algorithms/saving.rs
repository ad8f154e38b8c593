//! When to write the next checkpoint: often enough that a kill loses little, seldom enough that writing costs
//! little.

use std::time::{Duration, Instant};

/// The share of the time that writing may take.
const SHARE: u32 = 20;

/// Bounds of the pause between two checkpoints; the longer one bounds what a kill may lose.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Tells when a checkpoint is due.
pub struct Saving {
    last: Instant,
    pause: Duration,
}

impl Saving {
    /// The first checkpoint is due after the shortest pause, and tells how long writing takes.
    pub fn start() -> Self {
        Self { last: Instant::now(), pause: PAUSES.0 }
    }

    /// Writes a checkpoint by `save` if one is due or `at_once`.
    pub fn perhaps<E>(&mut self, at_once: bool, save: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if !at_once && self.last.elapsed() < self.pause {
            return Ok(());
        }
        let start = Instant::now();
        save()?;
        self.last = Instant::now();
        self.pause = pause_after(self.last - start);
        Ok(())
    }
}

/// The pause after a checkpoint that took `cost`.
fn pause_after(cost: Duration) -> Duration {
    (cost * SHARE).clamp(PAUSES.0, PAUSES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_multiple_of_the_cost_within_bounds() {
        let pauses = [1, 200, 60_000].map(|cost| pause_after(Duration::from_millis(cost)));
        assert_eq!(pauses, [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(30)]);
    }

    #[test]
    fn a_checkpoint_is_written_when_it_is_due_or_asked_for() {
        let mut saving = Saving::start();
        let mut count = 0;
        let mut save = |at_once| {
            saving.perhaps(at_once, || {
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

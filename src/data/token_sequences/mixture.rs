//! The schedule of a mixture of corpora: the source of each sequence.
//!
//! In every prefix of the schedule, each source has its share of the sequences, to within two sequences. The
//! source of a sequence depends only on the sequence's index.

/// The number 1 in the fixed-point format of shares. With floating-point shares, rounding errors could assign
/// a sequence twice.
const FIXED_POINT_ONE: u128 = 1 << 32;

/// A schedule of sources. Each source takes a share of the sequences that remain after the preceding sources.
/// The field holds these shares.
pub(super) struct MixtureSchedule(Vec<u128>);

impl MixtureSchedule {
    /// Creates a schedule with shares proportional to `weights`, which must be positive.
    pub fn new(weights: impl Iterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.collect();
        let share = |index: usize| weights[index] / weights[index..].iter().sum::<f64>();
        Self(
            (0..weights.len()).map(|index| (share(index) * FIXED_POINT_ONE as f64).round() as u128).collect(),
        )
    }

    /// Returns how many of the first `count` sequences come from each source.
    pub fn counts(&self, count: u64) -> Vec<u64> {
        let mut remaining = count;
        let mut take = |&share| {
            let taken = count_taken(share, remaining);
            remaining -= taken;
            taken
        };
        self.0.iter().map(&mut take).collect()
    }

    /// Returns the source of sequence `index`, and the sequence's index within that source.
    pub fn locate(&self, index: u64) -> (usize, u64) {
        let mut remaining = index;
        for (source, &share) in self.0.iter().enumerate() {
            let before = count_taken(share, remaining);
            if count_taken(share, remaining + 1) > before {
                return (source, before);
            }
            remaining -= before;
        }
        unreachable!("the last source takes all remaining sequences")
    }
}

/// Returns how many of the first `count` sequences a source with the share `share` takes. If `count` grows by
/// 1, the result grows by 0 or 1.
fn count_taken(share: u128, count: u64) -> u64 {
    ((u128::from(count) * share + FIXED_POINT_ONE / 2) / FIXED_POINT_ONE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_has_one_source_and_every_prefix_has_the_right_shares() {
        let weights = [0.7, 2.0, 0.05, 1.0];
        let schedule = MixtureSchedule::new(weights.into_iter());
        let mut counts = [0; 4];
        for index in 0..20_000 {
            assert_eq!(schedule.counts(index), counts);
            let (source, rank) = schedule.locate(index);
            assert_eq!(rank, counts[source], "sequence {index}");
            counts[source] += 1;
            for (count, weight) in counts.iter().zip(weights) {
                let expected = weight / 3.75 * (index + 1) as f64;
                assert!((*count as f64 - expected).abs() < 1.5, "{counts:?} of {index}");
            }
        }
    }

    #[test]
    fn a_single_source_takes_all_sequences() {
        let schedule = MixtureSchedule::new([0.3].into_iter());
        assert_eq!(schedule.locate(u64::from(u32::MAX)), (0, u64::from(u32::MAX)));
    }
}

//! Which portion of a mixture each sequence is of: in every stretch of sequences each portion has its share, to
//! within a sequence or two, and where a sequence belongs is computed from its index alone.

/// One whole, in the fixed point of shares: sums of floating-point numbers could count a sequence twice.
const ONE: u128 = 1 << 32;

/// The share of each portion of what the portions before it have left.
pub(super) struct Shares(Vec<u128>);

impl Shares {
    /// Shares in proportion to `weights`, which are positive.
    pub fn new(weights: impl Iterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.collect();
        let share = |index: usize| weights[index] / weights[index..].iter().sum::<f64>();
        Self((0..weights.len()).map(|index| (share(index) * ONE as f64).round() as u128).collect())
    }

    /// How many of the first `count` sequences are of each portion.
    pub fn counts(&self, count: u64) -> Vec<u64> {
        let mut left = count;
        let mut take = |&share| {
            let taken = part(share, left);
            left -= taken;
            taken
        };
        self.0.iter().map(&mut take).collect()
    }

    /// The portion of sequence `index`, and how many sequences of that portion come before it.
    pub fn place(&self, index: u64) -> (usize, u64) {
        let mut left = index;
        for (portion, &share) in self.0.iter().enumerate() {
            let before = part(share, left);
            if part(share, left + 1) > before {
                return (portion, before);
            }
            left -= before;
        }
        unreachable!("the last portion takes all that is left")
    }
}

/// How many of the first `count` sequences a share takes; with each further one it takes it or leaves it.
fn part(share: u128, count: u64) -> u64 {
    ((u128::from(count) * share + ONE / 2) / ONE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_has_one_place_and_every_stretch_its_shares() {
        let weights = [0.7, 2.0, 0.05, 1.0];
        let shares = Shares::new(weights.into_iter());
        let mut counts = [0; 4];
        for index in 0..20_000 {
            assert_eq!(shares.counts(index), counts);
            let (portion, rank) = shares.place(index);
            assert_eq!(rank, counts[portion], "sequence {index}");
            counts[portion] += 1;
            for (count, weight) in counts.iter().zip(weights) {
                let expected = weight / 3.75 * (index + 1) as f64;
                assert!((*count as f64 - expected).abs() < 1.5, "{counts:?} of {index}");
            }
        }
    }

    #[test]
    fn one_portion_takes_all() {
        let shares = Shares::new([0.3].into_iter());
        assert_eq!(shares.place(u64::from(u32::MAX)), (0, u64::from(u32::MAX)));
    }
}

//! The probability that two random sets overlap at least as much as observed.

use statrs::distribution::{DiscreteCDF, Hypergeometric};

/// Returns the probability that two random subsets of the same `total` elements have at least `shared`
/// elements in common. The subsets have `first` and `second` elements. The probability is the upper tail of
/// the hypergeometric distribution.
///
/// Returns `None` when `first` or `second` exceeds `total`.
pub fn overlap_p_value(shared: u64, first: u64, second: u64, total: u64) -> Option<f64> {
    let chance = Hypergeometric::new(total, first, second).ok()?;
    Some(if shared == 0 { 1.0 } else { chance.sf(shared - 1) })
}

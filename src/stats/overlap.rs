//! How likely two sets overlap by chance.

use statrs::distribution::{DiscreteCDF, Hypergeometric};

/// The probability that two sets of `first` and `second` things, drawn at random from the same `total` things, have
/// at least `shared` in common: the upper tail of the hypergeometric distribution.
///
/// None where a set is larger than what it is drawn from.
pub fn overlap_p_value(shared: u64, first: u64, second: u64, total: u64) -> Option<f64> {
    let chance = Hypergeometric::new(total, first, second).ok()?;
    Some(if shared == 0 { 1.0 } else { chance.sf(shared - 1) })
}

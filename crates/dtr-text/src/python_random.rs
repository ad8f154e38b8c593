//! The random numbers of CPython 3.11's `random.Random`: a Mersenne Twister (MT19937) with an integer as its
//! seed.

use std::collections::HashSet;

use dtr_core::error::{Error, Result};
use rand_mt::Mt;

/// A generator of the same random numbers as CPython's `random.Random(seed)`.
///
/// ```
/// use dtr_text::python_random::PythonRandom;
///
/// // random.Random(1234).sample(range(7473), 4)
/// assert_eq!(PythonRandom::new(1234).sample(7473, 4)?, [6374, 3610, 957, 61]);
/// # Ok::<(), dtr_core::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PythonRandom {
    twister: Mt,
}

impl PythonRandom {
    /// Creates the generator of `random.Random(seed)`.
    ///
    /// CPython divides a seed into words of 32 bits, with the lowest word first. A seed below 2^32 is one
    /// word.
    pub fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let num_words = if words[1] == 0 { 1 } else { 2 };
        Self { twister: Mt::new_with_key(words[..num_words].iter().copied()) }
    }

    /// Returns the same number as CPython's `getrandbits(num_bits)`. `num_bits` must be at most 64.
    pub fn getrandbits(&mut self, num_bits: u32) -> u64 {
        let mut number = 0;
        for shift in (0..num_bits.min(64)).step_by(32) {
            let width = (num_bits - shift).min(32);
            number |= u64::from(self.twister.next_u32() >> (32 - width)) << shift;
        }
        number
    }

    /// Returns the same number below `bound` as CPython's `_randbelow`. If `bound` is 0, returns 0.
    pub fn randbelow(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        let bound = bound as u64;
        let num_bits = u64::BITS - bound.leading_zeros();
        loop {
            let number = self.getrandbits(num_bits);
            if number < bound {
                return number as usize;
            }
        }
    }

    /// Returns the indices that CPython's `sample` selects from a population of `population_len` values. Each
    /// index occurs at most once.
    ///
    /// # Errors
    /// Fails if `count` exceeds the size of the population.
    pub fn sample(&mut self, population_len: usize, count: usize) -> Result<Vec<usize>> {
        if count > population_len {
            let text =
                format!("cannot draw {count} of {population_len} values: a draw never repeats a value");
            return Err(Error::manifest(text).hint("draw fewer values"));
        }
        if population_len <= max_pool_len(count) {
            return Ok(self.sample_from_pool(population_len, count));
        }
        let (mut selected, mut indices) = (HashSet::new(), Vec::with_capacity(count));
        while indices.len() < count {
            let index = self.randbelow(population_len);
            if selected.insert(index) {
                indices.push(index);
            }
        }
        Ok(indices)
    }

    /// Draws values from a list. After each draw, the last value of the list takes the place of the drawn
    /// value.
    fn sample_from_pool(&mut self, population_len: usize, count: usize) -> Vec<usize> {
        let mut pool: Vec<usize> = (0..population_len).collect();
        let mut draw = |_| {
            let place = self.randbelow(pool.len());
            pool.swap_remove(place)
        };
        (0..count).map(&mut draw).collect()
    }
}

/// Returns the size of the largest population that CPython copies into a list to draw `count` values. For a
/// larger population, CPython keeps the set of drawn indices.
fn max_pool_len(count: usize) -> usize {
    // The table size of a small set minus the size of an empty list.
    let small_set = 21;
    if count <= 5 {
        return small_set;
    }
    // The table size is the smallest power of 4 that is at least three times the count.
    let mut table_len = 1_usize;
    while table_len < count.saturating_mul(3) {
        table_len = table_len.saturating_mul(4);
    }
    small_set.saturating_add(table_len)
}

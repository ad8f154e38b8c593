//! Finds a longest common subsequence of two sentences. Memory holds only a part of the table of lengths.
//!
//! Let `length(i, j)` be the length of a longest common subsequence of two beginnings: the first `i` words of
//! the first sentence, and the first `j` words of the second sentence. Row `i` of the table holds one bit for
//! each `j`. The bit tells whether the length grows at `j`: `length(i, j) = length(i, j - 1) + 1`. Each row
//! is computed from the preceding row by operations on whole machine words (Crochemore et al., "A fast and
//! practical bit-vector algorithm for the longest common subsequence problem", 2001).
//!
//! A walk from the end of the table to its start finds the subsequence, and needs only these bits. If word
//! `i` of the first sentence differs from word `j` of the second, the walk compares two lengths. The length
//! `length(i - 1, j)` exceeds `length(i, j - 1)` exactly if the length grows at `j` in row `i`.

use std::collections::HashMap;

/// Returns the words of one longest common subsequence, from last to first.
///
/// There can be several longest common subsequences, with different words. This function selects the same
/// subsequence as the package `rouge`, which walks from the ends of both sentences to their starts. If the
/// two current words are equal, the walk takes the word. Otherwise, the walk skips the word of `first` if
/// `length(i - 1, j)` exceeds `length(i, j - 1)`. In all other cases, the walk skips the word of `second`.
pub(super) fn longest_common_subsequence<'a>(first: &[&'a str], second: &[&str]) -> Vec<&'a str> {
    let mut table = GrowthTable::new(first, second);
    let (mut i, mut j) = (first.len(), second.len());
    let mut common = Vec::new();
    while i > 0 && j > 0 {
        if first[i - 1] == second[j - 1] {
            common.push(first[i - 1]);
            (i, j) = (i - 1, j - 1);
        } else if table.grows_at(i, j) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common
}

/// The rows of bits, in blocks of `block_len` rows. Memory holds the first row of every block, and all rows
/// of one block. The rows of another block are computed again when they are needed. Two sentences of `n`
/// words therefore need `n * sqrt(n) / 4` bytes.
struct GrowthTable<'a> {
    first: &'a [&'a str],
    /// The places of each word in the second sentence.
    places: HashMap<&'a str, Vec<usize>>,
    block_len: usize,
    /// The first row of each block.
    block_starts: Vec<Row>,
    /// The rows of the block with the index `block_index`.
    block: Vec<Row>,
    block_index: usize,
}

/// A row of bits. Bit `j - 1` is 0 if the length grows at `j`.
type Row = Vec<u64>;

impl<'a> GrowthTable<'a> {
    fn new(first: &'a [&'a str], second: &'a [&'a str]) -> Self {
        let mut places = HashMap::<_, Vec<_>>::new();
        for (place, word) in second.iter().enumerate() {
            places.entry(*word).or_default().push(place);
        }
        let block_len = first.len().isqrt() + 1;
        let num_words = second.len().div_ceil(64);
        let mut table =
            Self { first, places, block_len, block_starts: Vec::new(), block: Vec::new(), block_index: 0 };
        let mut row = vec![u64::MAX; num_words];
        for (index, word) in first.iter().enumerate() {
            if index.is_multiple_of(block_len) {
                table.block_starts.push(row.clone());
            }
            row = table.next_row(&row, word);
        }
        if first.len().is_multiple_of(block_len) {
            table.block_starts.push(row);
        }
        table.load_block(first.len() / block_len);
        table
    }

    /// Returns whether `length(i, j)` exceeds `length(i, j - 1)`.
    fn grows_at(&mut self, i: usize, j: usize) -> bool {
        if i / self.block_len != self.block_index {
            self.load_block(i / self.block_len);
        }
        let bit = self.block[i % self.block_len][(j - 1) / 64] >> ((j - 1) % 64);
        bit & 1 == 0
    }

    fn load_block(&mut self, index: usize) {
        self.block_index = index;
        self.block = vec![self.block_starts[index].clone()];
        let start = index * self.block_len;
        for word in &self.first[start..(start + self.block_len - 1).min(self.first.len())] {
            let row = self.next_row(&self.block[self.block.len() - 1], word);
            self.block.push(row);
        }
    }

    /// Computes the row after `row`. `word` is the next word of the first sentence.
    fn next_row(&self, row: &Row, word: &str) -> Row {
        let mut is_equal = vec![0_u64; row.len()];
        for place in self.places.get(word).into_iter().flatten() {
            is_equal[place / 64] |= 1 << (place % 64);
        }
        let mut carry = false;
        let next = row.iter().zip(&is_equal).map(|(bits, is_equal)| {
            let (sum, first_carry) = bits.overflowing_add(bits & is_equal);
            let (sum, second_carry) = sum.overflowing_add(u64::from(carry));
            carry = first_carry | second_carry;
            sum | (bits & !is_equal)
        });
        next.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the subsequence that the package `rouge` finds with a table of all lengths.
    fn walk_back_through_lengths<'a>(first: &[&'a str], second: &[&str]) -> Vec<&'a str> {
        let mut lengths = vec![vec![0; second.len() + 1]; first.len() + 1];
        for i in 1..=first.len() {
            for j in 1..=second.len() {
                lengths[i][j] = if first[i - 1] == second[j - 1] {
                    lengths[i - 1][j - 1] + 1
                } else {
                    lengths[i - 1][j].max(lengths[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (first.len(), second.len());
        let mut common = Vec::new();
        while i > 0 && j > 0 {
            if first[i - 1] == second[j - 1] {
                common.push(first[i - 1]);
                (i, j) = (i - 1, j - 1);
            } else if lengths[i - 1][j] > lengths[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        common
    }

    proptest! {
        #[test]
        fn bits_give_the_path_of_the_table_of_lengths(
            first in prop::collection::vec("[a-f]", 0..200),
            second in prop::collection::vec("[a-f]", 0..200),
        ) {
            let first: Vec<&str> = first.iter().map(String::as_str).collect();
            let second: Vec<&str> = second.iter().map(String::as_str).collect();
            prop_assert_eq!(
                longest_common_subsequence(&first, &second),
                walk_back_through_lengths(&first, &second)
            );
        }
    }
}

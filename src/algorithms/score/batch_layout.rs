//! The layout of a batch: the positions of the tokens in its rows, and the positions of the hidden states
//! that predict its targets. A target is a token whose log-likelihood is scored.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::data::scoring_requests::{PrefixGroup, ScoringRequests, TargetToken};

/// The layout of a batch. A batch holds groups of rows. The rows of a group share a prefix. The tokens of a
/// row after the prefix are the suffix of the row.
///
/// If the batch has suffixes, prefixes are padded on the left, so that each suffix follows its prefix
/// directly. Otherwise, rows are padded on the right, where a causal model never attends to the padding.
pub(super) struct BatchLayout<'a> {
    requests: &'a ScoringRequests,
    groups: &'a [&'a PrefixGroup],
    /// The number of tokens of each prefix, including padding.
    prefix_length: usize,
    /// The suffixes, the longest first.
    suffixes: Vec<Suffix>,
    /// One more block of suffixes costs as much time as this number of padding tokens.
    block_overhead: usize,
}

/// Suffixes that are padded to the same length.
pub(super) struct SuffixBlock {
    /// The tokens of each suffix.
    pub ids: Vec<Vec<u32>>,
    /// The index of the prefix that each suffix continues.
    pub prefixes: Vec<usize>,
}

/// The tokens of a row after its prefix.
struct Suffix {
    row: usize,
    prefix: usize,
    length: usize,
}

impl<'a> BatchLayout<'a> {
    /// Creates the layout of `groups`. Either every group has one row, or every group has several rows.
    pub fn new(requests: &'a ScoringRequests, groups: &'a [&'a PrefixGroup], block_overhead: usize) -> Self {
        let prefix_length = groups.iter().map(|group| group.num_prefix_tokens).max().unwrap_or(0);
        let mut suffixes = Vec::new();
        for (prefix, group) in groups.iter().enumerate() {
            let lengths =
                group.rows.iter().map(|&row| (row, requests.row(row).len() - group.num_prefix_tokens));
            let lengths = lengths.filter(|(_, length)| *length > 0);
            suffixes.extend(lengths.map(|(row, length)| Suffix { row, prefix, length }));
        }
        suffixes.sort_by_key(|suffix| Reverse(suffix.length));
        Self { requests, groups, prefix_length, suffixes, block_overhead }
    }

    /// Returns the tokens of each prefix, padded to the same length.
    pub fn prefixes(&self) -> Vec<Vec<u32>> {
        let padded = |(prefix, group): (usize, &&PrefixGroup)| {
            let mut ids = vec![0; self.left_pad(prefix)];
            ids.extend(&self.requests.row(group.rows[0])[..group.num_prefix_tokens]);
            ids.resize(self.prefix_length, 0);
            ids
        };
        self.groups.iter().enumerate().map(padded).collect()
    }

    /// Returns the number of padding tokens before each prefix, or `None` if there is no padding.
    pub fn left_pads(&self) -> Option<Vec<usize>> {
        let pads: Vec<usize> = (0..self.groups.len()).map(|prefix| self.left_pad(prefix)).collect();
        pads.iter().any(|&pad| pad > 0).then_some(pads)
    }

    fn left_pad(&self, prefix: usize) -> usize {
        if self.suffixes.is_empty() { 0 } else { self.prefix_length - self.groups[prefix].num_prefix_tokens }
    }

    /// Returns the suffixes in blocks of similar lengths.
    pub fn suffix_blocks(&self) -> Vec<SuffixBlock> {
        self.split_suffixes().into_iter().map(|suffixes| self.pad_suffixes(suffixes)).collect()
    }

    fn split_suffixes(&self) -> Vec<&[Suffix]> {
        let lengths: Vec<usize> = self.suffixes.iter().map(|suffix| suffix.length).collect();
        let mut rest = &self.suffixes[..];
        let sizes = block_sizes(&lengths, self.block_overhead).into_iter();
        sizes.map(|size| rest.split_off(..size).expect("the sizes add up to all suffixes")).collect()
    }

    fn pad_suffixes(&self, suffixes: &[Suffix]) -> SuffixBlock {
        let padded = |suffix: &Suffix| {
            let mut ids =
                self.requests.row(suffix.row)[self.groups[suffix.prefix].num_prefix_tokens..].to_vec();
            ids.resize(suffixes[0].length, 0);
            ids
        };
        SuffixBlock {
            ids: suffixes.iter().map(padded).collect(),
            prefixes: suffixes.iter().map(|suffix| suffix.prefix).collect(),
        }
    }

    /// Returns each target of the batch with the index of the hidden state that predicts this target. The
    /// indices number the tokens of all prefixes first, and then the tokens of all suffix blocks, row by row.
    pub fn targets(&self) -> Vec<(usize, TargetToken)> {
        let suffix_starts = self.suffix_starts();
        let mut targets = Vec::new();
        for (prefix, group) in self.groups.iter().enumerate() {
            for &row in &group.rows {
                targets.extend(self.requests.targets(row).iter().map(|target| {
                    let index = match target.position.checked_sub(group.num_prefix_tokens) {
                        Some(position) => suffix_starts[&row] + position,
                        None => prefix * self.prefix_length + self.left_pad(prefix) + target.position,
                    };
                    (index, target.clone())
                }));
            }
        }
        targets
    }

    /// Returns a map from each row to the index of the first token of the row's suffix.
    fn suffix_starts(&self) -> BTreeMap<usize, usize> {
        let mut index = self.groups.len() * self.prefix_length;
        let mut starts = BTreeMap::new();
        for suffixes in self.split_suffixes() {
            for suffix in suffixes {
                starts.insert(suffix.row, index);
                index += suffixes[0].length;
            }
        }
        starts
    }
}

/// Splits suffixes into blocks. Minimizes the total number of tokens, including padding, plus `overhead` for
/// each block. `lengths` are the lengths of the suffixes in descending order. Returns the number of suffixes
/// in each block.
fn block_sizes(lengths: &[usize], overhead: usize) -> Vec<usize> {
    // `best[n]` holds the minimal cost of the first `n` suffixes, and the size of their last block.
    let mut best = vec![(0, 0)];
    for end in 1..=lengths.len() {
        let cost = |start: usize| best[start].0 + (end - start) * lengths[start] + overhead;
        let start = (0..end).min_by_key(|&start| cost(start)).expect("`end` is at least 1");
        best.push((cost(start), end - start));
    }
    let mut sizes = Vec::new();
    let mut end = lengths.len();
    while end > 0 {
        sizes.push(best[end].1);
        end -= best[end].1;
    }
    sizes.reverse();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_split_where_padding_costs_more_than_another_block() {
        assert_eq!(block_sizes(&[], 32), [0; 0]);
        assert_eq!(block_sizes(&[5], 32), [1]);
        assert_eq!(block_sizes(&[5, 4, 4, 1], 32), [4]);
        assert_eq!(block_sizes(&[40, 4, 4, 1], 32), [1, 3]);
        assert_eq!(block_sizes(&[[9; 20], [3; 20]].concat(), 32), [20, 20]);
        assert_eq!(block_sizes(&[[9; 20], [3; 20]].concat(), 2048), [40]);
    }
}

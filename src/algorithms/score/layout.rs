//! Where the tokens of a batch stand, and where what is wanted of them is to be read.

use std::collections::BTreeMap;

use crate::data::requests::{Group, Requests, Target};

/// Tokens that a pass of its own costs a bundle of branches: so many pads are no worse.
const TOKENS_OF_A_PASS: usize = 32;

/// A batch's token rows. Trunks that branches continue are padded on the left, so that these follow them; other rows
/// are padded on the right, since a causal model never sees what follows.
pub(super) struct Layout<'a> {
    requests: &'a Requests,
    groups: &'a [&'a Group],
    /// Tokens of a prefix, pads included.
    time: usize,
    branches: Vec<Branch>,
}

/// Branches that are padded to one length.
pub(super) struct Bundle {
    /// Their tokens.
    pub ids: Vec<Vec<u32>>,
    /// The prefix that each continues.
    pub trunks: Vec<usize>,
}

/// What a row has beyond its prefix.
struct Branch {
    row: usize,
    prefix: usize,
    /// Tokens.
    length: usize,
}

impl<'a> Layout<'a> {
    /// The layout of `groups`, all of rows alone or all of rows that share.
    pub fn new(requests: &'a Requests, groups: &'a [&'a Group]) -> Self {
        let time = groups.iter().map(|group| group.shared).max().unwrap_or(0);
        let mut branches = Vec::new();
        for (prefix, group) in groups.iter().enumerate() {
            let lengths = group.rows.iter().map(|&row| (row, requests.row(row).len() - group.shared));
            // A row that ends with its prefix has none.
            let lengths = lengths.filter(|(_, length)| *length > 0);
            branches.extend(lengths.map(|(row, length)| Branch { row, prefix, length }));
        }
        branches.sort_by_key(|suffix| std::cmp::Reverse(suffix.length));
        Self { requests, groups, time, branches }
    }

    /// The trunks' tokens.
    pub fn trunks(&self) -> Vec<Vec<u32>> {
        let padded = |(prefix, group): (usize, &&Group)| {
            let mut ids = vec![0; self.left_pad(prefix)];
            ids.extend(&self.requests.row(group.rows[0])[..group.shared]);
            ids.resize(self.time, 0);
            ids
        };
        self.groups.iter().enumerate().map(padded).collect()
    }

    /// How many pads are before each prefix, if any are.
    pub fn left_pads(&self) -> Option<Vec<usize>> {
        let pads: Vec<usize> = (0..self.groups.len()).map(|prefix| self.left_pad(prefix)).collect();
        pads.iter().any(|&pad| pad > 0).then_some(pads)
    }

    fn left_pad(&self, prefix: usize) -> usize {
        if self.branches.is_empty() { 0 } else { self.time - self.groups[prefix].shared }
    }

    /// The branches, those of like lengths together.
    pub fn bundles(&self) -> Vec<Bundle> {
        self.bundled().into_iter().map(|branches| self.bundle(branches)).collect()
    }

    fn bundled(&self) -> Vec<&[Branch]> {
        let lengths: Vec<usize> = self.branches.iter().map(|suffix| suffix.length).collect();
        let mut rest = &self.branches[..];
        let sizes = bundle_sizes(&lengths).into_iter();
        sizes.map(|size| rest.split_off(..size).expect("the sizes are those of all branches")).collect()
    }

    fn bundle(&self, branches: &[Branch]) -> Bundle {
        let padded = |suffix: &Branch| {
            let mut ids = self.requests.row(suffix.row)[self.groups[suffix.prefix].shared..].to_vec();
            ids.resize(branches[0].length, 0);
            ids
        };
        Bundle {
            ids: branches.iter().map(padded).collect(),
            trunks: branches.iter().map(|suffix| suffix.prefix).collect(),
        }
    }

    /// All that is wanted, each with its place among the tokens: trunks, then bundles, row by row.
    pub fn wanted(&self) -> Vec<(usize, Target)> {
        let starts = self.branch_starts();
        let mut wanted = Vec::new();
        for (prefix, group) in self.groups.iter().enumerate() {
            for &row in &group.rows {
                wanted.extend(self.requests.targets(row).iter().map(|target| {
                    let place = match target.position.checked_sub(group.shared) {
                        Some(beyond) => starts[&row] + beyond,
                        None => prefix * self.time + self.left_pad(prefix) + target.position,
                    };
                    (place, target.clone())
                }));
            }
        }
        wanted
    }

    /// The place of the first token of each row's suffix.
    fn branch_starts(&self) -> BTreeMap<usize, usize> {
        let mut place = self.groups.len() * self.time;
        let mut starts = BTreeMap::new();
        for branches in self.bundled() {
            for suffix in branches {
                starts.insert(suffix.row, place);
                place += branches[0].length;
            }
        }
        starts
    }
}

/// Cuts falling `lengths` into bundles so that pads and passes cost least.
fn bundle_sizes(lengths: &[usize]) -> Vec<usize> {
    // The least cost of the first so many, and the size of the last bundle of those.
    let mut best = vec![(0, 0)];
    for end in 1..=lengths.len() {
        let cost = |start: usize| best[start].0 + (end - start) * lengths[start] + TOKENS_OF_A_PASS;
        let start = (0..end).min_by_key(|&start| cost(start)).expect("a bundle has a suffix");
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
    fn branches_are_parted_where_pads_would_cost_more_than_a_pass() {
        assert_eq!(bundle_sizes(&[]), [0; 0]);
        assert_eq!(bundle_sizes(&[5]), [1]);
        assert_eq!(bundle_sizes(&[5, 4, 4, 1]), [4]);
        assert_eq!(bundle_sizes(&[40, 4, 4, 1]), [1, 3]);
        assert_eq!(bundle_sizes(&[[9; 20], [3; 20]].concat()), [20, 20]);
    }
}

//! Groups the rows of an item that share a prefix, and distributes the groups over forward passes. A pass
//! computes a shared prefix once.

use std::collections::BTreeMap;

use super::TargetToken;

/// The minimum length of a shared prefix, in tokens. Sharing a shorter prefix costs more time than it saves.
const MIN_PREFIX_TOKENS: usize = 8;

/// Rows of one item and their longest common prefix. The tokens of a row after the prefix are the suffix of
/// the row. If the group has a single row, the prefix is the whole row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixGroup {
    /// The indices of the rows.
    pub rows: Vec<usize>,
    /// Number of tokens of the prefix.
    pub num_prefix_tokens: usize,
    /// Total number of tokens of the suffixes.
    pub num_suffix_tokens: usize,
}

impl PrefixGroup {
    fn new(members: Vec<usize>, num_prefix_tokens: usize, rows: &[Vec<u32>]) -> Self {
        let num_suffix_tokens = members.iter().map(|&row| rows[row].len() - num_prefix_tokens).sum();
        Self { rows: members, num_prefix_tokens, num_suffix_tokens }
    }

    /// Returns whether the group has a single row.
    pub fn is_single_row(&self) -> bool {
        self.rows.len() == 1
    }

    /// Returns the number of tokens of the prefix and the suffixes.
    pub fn num_tokens(&self) -> usize {
        self.num_prefix_tokens + self.num_suffix_tokens
    }
}

/// Returns the item that a row belongs to: the item of its first target.
pub(super) fn item_of_row(targets: &[TargetToken]) -> usize {
    targets[0].item
}

/// Groups `rows`, which must be in lexicographic order.
///
/// Groups with a single row come first, and groups with several rows come after them. Each of the two kinds
/// is ordered by the length of the prefix, so that passes need little padding.
pub(super) fn group_rows(rows: &[Vec<u32>], targets: &[Vec<TargetToken>]) -> Vec<PrefixGroup> {
    let mut items: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, targets) in targets.iter().enumerate() {
        items.entry(item_of_row(targets)).or_default().push(row);
    }
    let mut groups: Vec<PrefixGroup> =
        items.into_values().flat_map(|members| groups_of_item(members, rows)).collect();
    groups.sort_by_key(|group| (!group.is_single_row(), group.num_prefix_tokens, group.rows[0]));
    groups
}

/// Returns one group per row. The groups are ordered by the length of their row.
pub(super) fn one_row_groups(rows: &[Vec<u32>]) -> Vec<PrefixGroup> {
    let mut groups: Vec<PrefixGroup> =
        (0..rows.len()).map(|row| PrefixGroup::new(vec![row], rows[row].len(), rows)).collect();
    groups.sort_by_key(|group| (group.num_prefix_tokens, group.rows[0]));
    groups
}

fn groups_of_item(members: Vec<usize>, rows: &[Vec<u32>]) -> Vec<PrefixGroup> {
    // In lexicographic order, the common prefix of the first and the last row is the common prefix of all
    // rows.
    let prefix = common_prefix_len(&rows[members[0]], &rows[members[members.len() - 1]]);
    if members.len() > 1 && prefix >= MIN_PREFIX_TOKENS {
        return vec![PrefixGroup::new(members, prefix, rows)];
    }
    members.into_iter().map(|row| PrefixGroup::new(vec![row], rows[row].len(), rows)).collect()
}

fn common_prefix_len(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Splits `groups`, in the order of [`group_rows`], into forward passes of about `tokens_per_pass` tokens.
///
/// A pass does not mix single rows with groups that share a prefix. Each of the two kinds gets as few passes
/// as its tokens allow. The passes have similar sizes, because a thread that finishes early waits for the
/// other threads. With padding, a pass may have up to one and a half times `tokens_per_pass` tokens. A
/// stricter limit could add a pass.
pub(super) fn split_into_passes<'a>(
    groups: impl Iterator<Item = &'a PrefixGroup>,
    tokens_per_pass: usize,
) -> Vec<Vec<&'a PrefixGroup>> {
    let (single, sharing): (Vec<_>, Vec<_>) = groups.partition(|group| group.is_single_row());
    [single, sharing].iter().flat_map(|groups| split_evenly(groups, tokens_per_pass)).collect()
}

/// Tries increasing limits, from half to one and a half times `tokens_per_pass`. Stops at the first limit that
/// needs no more passes than the tokens would need without padding.
fn split_evenly<'a>(groups: &[&'a PrefixGroup], tokens_per_pass: usize) -> Vec<Vec<&'a PrefixGroup>> {
    let total: usize = groups.iter().map(|group| group.num_tokens()).sum();
    let split = |sixteenths| split_greedily(groups, tokens_per_pass * sixteenths / 16);
    let are_few = |passes: &Vec<_>| passes.len() <= total.div_ceil(tokens_per_pass);
    (8..24).map(split).find(are_few).unwrap_or_else(|| split(24))
}

/// Fills passes one after the other. Each pass takes as many of the next groups as fit in `limit` tokens with
/// padding, but at least one group.
fn split_greedily<'a>(groups: &[&'a PrefixGroup], limit: usize) -> Vec<Vec<&'a PrefixGroup>> {
    let mut passes: Vec<Vec<&PrefixGroup>> = Vec::new();
    let mut num_suffix_tokens = 0;
    for &group in groups {
        let padded_prefix_tokens = |pass: &Vec<&PrefixGroup>| (pass.len() + 1) * group.num_prefix_tokens;
        num_suffix_tokens += group.num_suffix_tokens;
        match passes.last_mut().filter(|pass| padded_prefix_tokens(pass) + num_suffix_tokens <= limit) {
            Some(pass) => pass.push(group),
            None => {
                passes.push(vec![group]);
                num_suffix_tokens = group.num_suffix_tokens;
            }
        }
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(item: usize) -> Vec<TargetToken> {
        vec![TargetToken { position: 0, token: 0, item, choice: 0, is_first: true }]
    }

    /// Groups `rows`, which are pairs of item and row. Returns the rows and the prefix length of each group.
    fn grouped(rows: &[(usize, Vec<u32>)]) -> Vec<(Vec<usize>, usize)> {
        let targets: Vec<Vec<TargetToken>> = rows.iter().map(|(item, _)| target(*item)).collect();
        let rows: Vec<Vec<u32>> = rows.iter().map(|(_, row)| row.clone()).collect();
        group_rows(&rows, &targets).into_iter().map(|group| (group.rows, group.num_prefix_tokens)).collect()
    }

    fn row(length: u32, suffix: &[u32]) -> Vec<u32> {
        (0..length).chain(suffix.iter().copied()).collect()
    }

    #[test]
    fn rows_of_one_item_share_their_longest_common_prefix() {
        let rows = [(0, row(9, &[])), (0, row(9, &[50, 51])), (0, row(9, &[60])), (1, row(9, &[70]))];
        assert_eq!(grouped(&rows), [(vec![3], 10), (vec![0, 1, 2], 9)]);
    }

    #[test]
    fn rows_with_a_short_common_prefix_are_not_grouped() {
        let rows = [(0, row(7, &[50])), (0, row(7, &[60, 61]))];
        assert_eq!(grouped(&rows), [(vec![0], 8), (vec![1], 9)]);
    }

    #[test]
    fn passes_are_even_and_do_not_mix_single_rows_with_groups() {
        let single = |row: usize, length| PrefixGroup {
            rows: vec![row],
            num_prefix_tokens: length,
            num_suffix_tokens: 0,
        };
        let shared = |row: usize| PrefixGroup {
            rows: vec![row, row + 1],
            num_prefix_tokens: 10,
            num_suffix_tokens: 5,
        };
        let rows = |groups: &[PrefixGroup]| -> Vec<Vec<usize>> {
            let passes = split_into_passes(groups.iter(), 30);
            passes.iter().map(|pass| pass.iter().map(|group| group.rows[0]).collect()).collect()
        };
        let groups =
            [single(0, 3), single(1, 5), single(2, 5), single(3, 40), shared(4), shared(6), shared(8)];
        assert_eq!(rows(&groups), [vec![0, 1, 2], vec![3], vec![4, 6], vec![8]]);
        assert_eq!(rows(&[0, 1, 2, 3].map(|row| single(row, 9))), [vec![0, 1], vec![2, 3]]);
        assert_eq!(rows(&[0, 1, 2, 3, 4].map(|row| single(row, 12))), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(rows(&[1, 11, 11, 11].map(|length| single(length, length))), [vec![1, 11], vec![11, 11]]);
    }
}

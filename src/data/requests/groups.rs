//! Rows of an item that begin alike, and which of them go through the model together: what rows share is run
//! once.

use std::collections::BTreeMap;

use super::Target;

/// Tokens that rows must share for their beginning to be run apart: fewer do not pay for a pass of their own.
const FEWEST_SHARED: usize = 8;

/// Rows of one item and their common beginning, the prefix. What a row has beyond it is its suffix; a row alone is
/// all prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The rows.
    pub rows: Vec<usize>,
    /// Tokens of the prefix.
    pub shared: usize,
    /// Tokens of all branches.
    pub branching: usize,
}

impl Group {
    fn new(members: Vec<usize>, shared: usize, rows: &[Vec<u32>]) -> Self {
        let branching = members.iter().map(|&row| rows[row].len() - shared).sum();
        Self { rows: members, shared, branching }
    }

    /// Whether it has one row.
    pub fn is_alone(&self) -> bool {
        self.rows.len() == 1
    }

    /// Tokens of prefix and branches.
    pub fn num_tokens(&self) -> usize {
        self.shared + self.branching
    }
}

/// The item that a row belongs to: the first that wants something of it.
pub(super) fn owner(targets: &[Target]) -> usize {
    targets[0].item
}

/// The groups of `rows`, which are in lexical order: rows alone first, then by the length of the prefix, so that
/// a pass pads little.
pub(super) fn group(rows: &[Vec<u32>], targets: &[Vec<Target>]) -> Vec<Group> {
    let mut items: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, targets) in targets.iter().enumerate() {
        items.entry(owner(targets)).or_default().push(row);
    }
    let mut groups: Vec<Group> = items.into_values().flat_map(|members| of_item(members, rows)).collect();
    groups.sort_by_key(|group| (!group.is_alone(), group.shared, group.rows[0]));
    groups
}

/// Every row by itself, by length.
pub(super) fn alone(rows: &[Vec<u32>]) -> Vec<Group> {
    let mut groups: Vec<Group> =
        (0..rows.len()).map(|row| Group::new(vec![row], rows[row].len(), rows)).collect();
    groups.sort_by_key(|group| (group.shared, group.rows[0]));
    groups
}

fn of_item(members: Vec<usize>, rows: &[Vec<u32>]) -> Vec<Group> {
    // Those between the first and the last in lexical order share what these do.
    let shared = common(&rows[members[0]], &rows[members[members.len() - 1]]);
    if members.len() > 1 && shared >= FEWEST_SHARED {
        return vec![Group::new(members, shared, rows)];
    }
    members.into_iter().map(|row| Group::new(vec![row], rows[row].len(), rows)).collect()
}

fn common(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Cuts `groups`, in the order of [`group`], into passes of about `tokens` tokens each; rows alone and rows that share are
/// not mixed. Of each kind there are as many passes as its tokens need, as even as groups allow: a thread that is done early
/// waits. Pads of trunks come on top, since what they crowded out would cost a pass of its own, but to no more than half as
/// much again.
pub(super) fn cut<'a>(groups: impl Iterator<Item = &'a Group>, tokens: usize) -> Vec<Vec<&'a Group>> {
    let (alone, sharing): (Vec<_>, Vec<_>) = groups.partition(|group| group.is_alone());
    [alone, sharing].iter().flat_map(|groups| cut_evenly(groups, tokens)).collect()
}

fn cut_evenly<'a>(groups: &[&'a Group], tokens: usize) -> Vec<Vec<&'a Group>> {
    let total: usize = groups.iter().map(|group| group.num_tokens()).sum();
    let cut = |step| filled(groups, tokens * step / 16);
    let is_few = |passes: &Vec<_>| passes.len() <= total.div_ceil(tokens);
    (8..24).map(cut).find(is_few).unwrap_or_else(|| cut(24))
}

/// Passes that each take what fits in `limit` tokens, pads included, but at least one group.
fn filled<'a>(groups: &[&'a Group], limit: usize) -> Vec<Vec<&'a Group>> {
    let mut passes: Vec<Vec<&Group>> = Vec::new();
    let mut branching = 0;
    for &group in groups {
        let trunks = |pass: &Vec<&Group>| (pass.len() + 1) * group.shared;
        branching += group.branching;
        match passes.last_mut().filter(|pass| trunks(pass) + branching <= limit) {
            Some(pass) => pass.push(group),
            None => {
                passes.push(vec![group]);
                branching = group.branching;
            }
        }
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(item: usize) -> Vec<Target> {
        vec![Target { position: 0, token: 0, item, choice: 0, is_first: true }]
    }

    /// The groups of rows, each with its item, as rows and shared tokens.
    fn grouped(rows: &[(usize, Vec<u32>)]) -> Vec<(Vec<usize>, usize)> {
        let targets: Vec<Vec<Target>> = rows.iter().map(|(item, _)| target(*item)).collect();
        let rows: Vec<Vec<u32>> = rows.iter().map(|(_, row)| row.clone()).collect();
        group(&rows, &targets).into_iter().map(|group| (group.rows, group.shared)).collect()
    }

    fn row(length: u32, ends: &[u32]) -> Vec<u32> {
        (0..length).chain(ends.iter().copied()).collect()
    }

    #[test]
    fn rows_of_one_item_share_their_longest_common_beginning() {
        let rows = [(0, row(9, &[])), (0, row(9, &[50, 51])), (0, row(9, &[60])), (1, row(9, &[70]))];
        assert_eq!(grouped(&rows), [(vec![3], 10), (vec![0, 1, 2], 9)]);
    }

    #[test]
    fn rows_that_share_few_tokens_stay_alone() {
        let rows = [(0, row(7, &[50])), (0, row(7, &[60, 61]))];
        assert_eq!(grouped(&rows), [(vec![0], 8), (vec![1], 9)]);
    }

    #[test]
    fn a_pass_holds_what_fits_and_groups_of_one_kind_and_is_as_large_as_its_neighbours() {
        let alone = |row: usize, length| Group { rows: vec![row], shared: length, branching: 0 };
        let shared = |row: usize| Group { rows: vec![row, row + 1], shared: 10, branching: 5 };
        let rows = |groups: &[Group]| -> Vec<Vec<usize>> {
            let passes = cut(groups.iter(), 30);
            passes.iter().map(|pass| pass.iter().map(|group| group.rows[0]).collect()).collect()
        };
        let groups = [alone(0, 3), alone(1, 5), alone(2, 5), alone(3, 40), shared(4), shared(6), shared(8)];
        assert_eq!(rows(&groups), [vec![0, 1, 2], vec![3], vec![4, 6], vec![8]]);
        assert_eq!(rows(&[0, 1, 2, 3].map(|row| alone(row, 9))), [vec![0, 1], vec![2, 3]]);
        assert_eq!(rows(&[0, 1, 2, 3, 4].map(|row| alone(row, 12))), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(rows(&[1, 11, 11, 11].map(|length| alone(length, length))), [vec![1, 11], vec![11, 11]]);
    }
}

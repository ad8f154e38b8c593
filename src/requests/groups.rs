//! Rows of an item that begin alike, and which of them go through the model together: what rows share is run
//! once.

use std::collections::BTreeMap;

use super::Target;

/// Tokens that rows must share for their beginning to be run apart: fewer do not pay for a pass of their own.
const FEWEST_SHARED: usize = 8;

/// Rows of one item and their common beginning, the trunk. What a row has beyond it is its branch; a row alone is
/// all trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The rows.
    pub rows: Vec<usize>,
    /// Tokens of the trunk.
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

    /// Tokens of trunk and branches.
    pub fn num_tokens(&self) -> usize {
        self.shared + self.branching
    }
}

/// The item that a row belongs to: the first that wants something of it.
pub(super) fn owner(targets: &[Target]) -> usize {
    targets[0].item
}

/// The groups of `rows`, which are in lexical order: rows alone first, then by the length of the trunk, so that
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

/// Cuts `groups`, in the order of [`group`], into passes of at most `tokens` tokens each, the pads of trunks included;
/// rows alone and rows that share are not mixed.
pub(super) fn cut<'a>(groups: impl Iterator<Item = &'a Group>, tokens: usize) -> Vec<Vec<&'a Group>> {
    let mut passes: Vec<Vec<&Group>> = Vec::new();
    let mut branching = 0;
    for group in groups {
        let fits = |pass: &Vec<&Group>| {
            let trunks = (pass.len() + 1) * group.shared;
            pass[0].is_alone() == group.is_alone() && trunks + branching + group.branching <= tokens
        };
        match passes.last_mut().filter(|pass| fits(pass)) {
            Some(pass) => pass.push(group),
            None => {
                passes.push(vec![group]);
                branching = 0;
            }
        }
        branching += group.branching;
    }
    passes
}

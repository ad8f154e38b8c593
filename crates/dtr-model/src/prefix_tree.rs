//! Batches of token rows with common prefixes. For example, a question is a prefix, and its choices are
//! suffixes.
//!
//! Each layer runs a prefix once. Each suffix then continues from a copy of the state after its prefix.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};

use crate::{Decoder, ForwardContext, token_tensor};

/// Prefixes of equal length, and groups of suffixes that continue these prefixes. The suffixes of a group
/// have equal lengths.
pub struct PrefixTree {
    pub(super) prefixes: TokenRows,
    pub(super) suffixes: Vec<SuffixGroup>,
    left_pads: Option<Vec<usize>>,
}

/// Token rows of equal length.
pub(super) struct TokenRows {
    ids: Vec<Vec<u32>>,
    pub(super) context: ForwardContext,
}

/// Suffixes of equal length.
pub(super) struct SuffixGroup {
    pub(super) rows: TokenRows,
    /// The index of each row's prefix.
    prefixes: Vec<usize>,
    /// The same indices on the device, `[b]`.
    pub(super) prefixes_b: Tensor<1, Int>,
}

/// The hidden states of a [`PrefixTree`].
#[derive(Clone)]
pub struct PrefixTreeStates {
    /// The hidden states of the prefixes, `[b, t, d]`.
    pub prefixes: Tensor<3>,
    /// The hidden states of each group of suffixes, `[b, t, d]`.
    pub suffixes: Vec<Tensor<3>>,
}

impl PrefixTree {
    /// Creates a tree of the prefixes `ids`, without suffixes. The first `left_pads[row]` tokens of each row
    /// are padding.
    pub fn new(base: &Decoder, ids: Vec<Vec<u32>>, left_pads: Option<Vec<usize>>) -> Self {
        let (batch, time) = (ids.len(), ids[0].len());
        let context = ForwardContext::new(&base.config, batch, time, 0, left_pads.as_deref(), &base.device());
        Self { prefixes: TokenRows { ids, context }, suffixes: Vec::new(), left_pads }
    }

    /// Adds a group of suffixes. The row `ids[i]` continues the prefix `prefixes[i]`.
    pub fn with_suffixes(mut self, base: &Decoder, ids: Vec<Vec<u32>>, prefixes: Vec<usize>) -> Self {
        let (past, device) = (self.prefixes.time(), base.device());
        let pads: Option<Vec<usize>> =
            self.left_pads.as_ref().map(|pads| prefixes.iter().map(|&prefix| pads[prefix]).collect());
        let context =
            ForwardContext::new(&base.config, ids.len(), ids[0].len(), past, pads.as_deref(), &device);
        self.suffixes.push(SuffixGroup::new(TokenRows { ids, context }, prefixes));
        self
    }

    /// Returns a tree that holds `times` copies of this tree. In the prefixes and in each group of suffixes,
    /// all rows of the first copy come first, then all rows of the second copy, and so on.
    pub fn repeat(&self, times: usize) -> Self {
        let num_prefixes = self.prefixes.ids.len();
        let repeat = |group: &SuffixGroup| {
            let shifted = |copy| group.prefixes.iter().map(move |prefix| copy * num_prefixes + prefix);
            SuffixGroup::new(group.rows.repeat(times), (0..times).flat_map(shifted).collect())
        };
        Self {
            prefixes: self.prefixes.repeat(times),
            suffixes: self.suffixes.iter().map(repeat).collect(),
            left_pads: self.left_pads.as_ref().map(|pads| pads.repeat(times)),
        }
    }

    /// Converts a token's index in this tree to its index in the tree `self.repeat(times)`. `copy` is the
    /// index of one of the copies, counted from 0. Both indices follow the order of
    /// [`PrefixTreeStates::flatten`].
    pub(super) fn token_index_after_repeat(&self, index: usize, copy: usize, times: usize) -> usize {
        let parts = std::iter::once(&self.prefixes).chain(self.suffixes.iter().map(|group| &group.rows));
        let mut start = 0;
        for size in parts.map(TokenRows::num_tokens) {
            if index < start + size {
                return start * times + copy * size + index - start;
            }
            start += size;
        }
        panic!("there is no token {index} in a tree of {start} tokens")
    }

    /// Returns the number of tokens, including padding.
    pub fn num_tokens(&self) -> usize {
        let suffixes = self.suffixes.iter().map(|group| group.rows.num_tokens());
        self.prefixes.num_tokens() + suffixes.sum::<usize>()
    }

    /// Returns the hidden states before the first layer of `base`.
    pub fn embed(&self, base: &Decoder) -> PrefixTreeStates {
        let embed = |rows: &TokenRows| base.embed(token_tensor(&rows.ids, &base.device()));
        PrefixTreeStates {
            prefixes: embed(&self.prefixes),
            suffixes: self.suffixes.iter().map(|group| embed(&group.rows)).collect(),
        }
    }
}

impl SuffixGroup {
    /// Creates a group in which row `i` of `rows` continues the prefix with the index `prefixes[i]`.
    fn new(rows: TokenRows, prefixes: Vec<usize>) -> Self {
        let indices: Vec<i32> = prefixes.iter().map(|&prefix| prefix as i32).collect();
        let prefixes_b = Tensor::from_data(TensorData::new(indices, [prefixes.len()]), rows.context.device());
        Self { rows, prefixes, prefixes_b }
    }
}

impl TokenRows {
    fn repeat(&self, times: usize) -> Self {
        let ids = std::iter::repeat_n(&self.ids, times).flatten().cloned().collect();
        Self { ids, context: self.context.repeat(times) }
    }

    fn time(&self) -> usize {
        self.ids[0].len()
    }

    fn num_tokens(&self) -> usize {
        self.ids.len() * self.time()
    }
}

impl PrefixTreeStates {
    /// Concatenates the states of several copies in the order of [`PrefixTree::repeat`].
    pub(super) fn concat(mut copies: Vec<Self>) -> Self {
        if copies.len() == 1 {
            return copies.remove(0);
        }
        let groups = (0..copies[0].suffixes.len())
            .map(|group| copies.iter().map(|copy| copy.suffixes[group].clone()).collect());
        let suffixes = groups.map(|group| Tensor::cat(group, 0)).collect();
        Self { prefixes: Tensor::cat(copies.into_iter().map(|copy| copy.prefixes).collect(), 0), suffixes }
    }

    /// Returns the states of the copies in the range `copies`. `num_copies` is the number of copies in
    /// `self`.
    pub(super) fn select_copies(&self, copies: Range<usize>, num_copies: usize) -> Self {
        if copies.len() == num_copies {
            return self.clone();
        }
        let select = |x_btd: &Tensor<3>| {
            let rows = x_btd.dims()[0] / num_copies;
            x_btd.clone().narrow(0, copies.start * rows, copies.len() * rows)
        };
        Self { prefixes: select(&self.prefixes), suffixes: self.suffixes.iter().map(select).collect() }
    }

    /// Returns the hidden states of all tokens, `[n, d]`: first the prefixes row by row, then each group of
    /// suffixes row by row.
    pub fn flatten(self) -> Tensor<2> {
        let flatten = |x_btd: Tensor<3>| {
            let [batch, time, width] = x_btd.dims();
            x_btd.reshape([batch * time, width])
        };
        if self.suffixes.is_empty() {
            return flatten(self.prefixes);
        }
        let parts = std::iter::once(self.prefixes).chain(self.suffixes);
        Tensor::cat(parts.map(flatten).collect(), 0)
    }
}

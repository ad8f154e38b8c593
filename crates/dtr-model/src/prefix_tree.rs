//! Rows that begin alike: their common beginning, the prefix, goes through a layer once, and each row's own
//! tokens, its suffix, go on from a copy of the state that the prefix leaves.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};

use super::decoder::{Decoder, token_tensor};
use super::mixer::Pass;

/// Trunks of one length, and any number of bundles of branches, each of one length.
pub struct PrefixTree {
    /// The trunks.
    pub(super) trunks: Part,
    /// The branches.
    pub(super) branches: Vec<Branches>,
    left_pads: Option<Vec<usize>>,
}

/// Token rows of one length.
pub(super) struct Part {
    ids: Vec<Vec<u32>>,
    /// What all layers share.
    pub(super) pass: Pass,
}

/// Branches of one length.
pub(super) struct Branches {
    /// The rows.
    pub(super) part: Part,
    trunks: Vec<usize>,
    /// The prefix that each continues, `[b]`.
    pub(super) trunks_b: Tensor<1, Int>,
}

/// The hidden states of a [`PrefixTree`].
#[derive(Clone)]
pub struct PrefixTreeStates {
    /// Those of the trunks, `[b, t, d]`.
    pub trunks: Tensor<3>,
    /// Those of each bundle of branches, `[b, t, d]`.
    pub branches: Vec<Tensor<3>>,
}

impl PrefixTree {
    /// Trunks for `base` without branches; the first `left_pads[row]` tokens of each are padding.
    pub fn new(base: &Decoder, ids: Vec<Vec<u32>>, left_pads: Option<Vec<usize>>) -> Self {
        let (batch, time) = (ids.len(), ids[0].len());
        let pass = Pass::new(&base.config, batch, time, 0, left_pads.as_deref(), &base.device());
        Self { trunks: Part { ids, pass }, branches: Vec::new(), left_pads }
    }

    /// The same with a further bundle of branches, of which each continues the prefix that `trunks` says.
    pub fn with_branches(mut self, base: &Decoder, ids: Vec<Vec<u32>>, trunks: Vec<usize>) -> Self {
        let (past, device) = (self.trunks.time(), base.device());
        let pads: Option<Vec<usize>> =
            self.left_pads.as_ref().map(|pads| trunks.iter().map(|&prefix| pads[prefix]).collect());
        let pass = Pass::new(&base.config, ids.len(), ids[0].len(), past, pads.as_deref(), &device);
        let indices: Vec<i32> = trunks.iter().map(|&prefix| prefix as i32).collect();
        let trunks_b = Tensor::from_data(TensorData::new(indices, [trunks.len()]), &device);
        self.branches.push(Branches { part: Part { ids, pass }, trunks, trunks_b });
        self
    }

    /// `times` copies of it side by side: the trunks of the first, those of the second, and so on, and so with each bundle of
    /// branches.
    pub fn times(&self, base: &Decoder, times: usize) -> Self {
        let num_trunks = self.trunks.ids.len();
        let pads = self.left_pads.as_ref().map(|pads| pads.repeat(times));
        let trunks = Self::new(base, self.trunks.repeated(times), pads);
        self.branches.iter().fold(trunks, |tree, branches| {
            let own = |copy| branches.trunks.iter().map(move |prefix| copy * num_trunks + prefix);
            tree.with_branches(base, branches.part.repeated(times), (0..times).flat_map(own).collect())
        })
    }

    /// Where the token at `place` of all tokens stands among those of `times` copies, in the one numbered `copy`.
    pub(super) fn place_in_copy(&self, place: usize, copy: usize, times: usize) -> usize {
        let parts = std::iter::once(&self.trunks).chain(self.branches.iter().map(|branches| &branches.part));
        let mut start = 0;
        for size in parts.map(Part::num_tokens) {
            if place < start + size {
                return start * times + copy * size + place - start;
            }
            start += size;
        }
        panic!("place {place} of {start} tokens")
    }

    /// Tokens, pads included.
    pub fn num_tokens(&self) -> usize {
        let branches = self.branches.iter().map(|branches| branches.part.num_tokens());
        self.trunks.num_tokens() + branches.sum::<usize>()
    }

    /// The hidden states before the first layer of `base`.
    pub fn embed(&self, base: &Decoder) -> PrefixTreeStates {
        let embed = |part: &Part| base.embed(token_tensor(&part.ids, &base.device()));
        PrefixTreeStates {
            trunks: embed(&self.trunks),
            branches: self.branches.iter().map(|branches| embed(&branches.part)).collect(),
        }
    }
}

impl Part {
    /// Its rows, `times` times over.
    fn repeated(&self, times: usize) -> Vec<Vec<u32>> {
        std::iter::repeat_n(&self.ids, times).flatten().cloned().collect()
    }

    fn time(&self) -> usize {
        self.ids[0].len()
    }

    fn num_tokens(&self) -> usize {
        self.ids.len() * self.time()
    }
}

impl PrefixTreeStates {
    /// Those of copies side by side, as [`PrefixTree::times`] has them.
    pub(super) fn side_by_side(mut copies: Vec<Self>) -> Self {
        if copies.len() == 1 {
            return copies.remove(0);
        }
        let bundles = (0..copies[0].branches.len())
            .map(|bundle| copies.iter().map(|copy| copy.branches[bundle].clone()).collect());
        let branches = bundles.map(|bundle| Tensor::cat(bundle, 0)).collect();
        Self { trunks: Tensor::cat(copies.into_iter().map(|copy| copy.trunks).collect(), 0), branches }
    }

    /// Those of some copies among `times`.
    pub(super) fn copies(&self, copies: Range<usize>, times: usize) -> Self {
        if copies.len() == times {
            return self.clone();
        }
        let some = |x_btd: &Tensor<3>| {
            let rows = x_btd.dims()[0] / times;
            x_btd.clone().narrow(0, copies.start * rows, copies.len() * rows)
        };
        Self { trunks: some(&self.trunks), branches: self.branches.iter().map(some).collect() }
    }

    /// One hidden state after another, `[n, d]`: trunks, then branches, row by row.
    pub fn flat(self) -> Tensor<2> {
        let flat = |x_btd: Tensor<3>| {
            let [batch, time, width] = x_btd.dims();
            x_btd.reshape([batch * time, width])
        };
        if self.branches.is_empty() {
            return flat(self.trunks);
        }
        let parts = std::iter::once(self.trunks).chain(self.branches);
        Tensor::cat(parts.map(flat).collect(), 0)
    }
}

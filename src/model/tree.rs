//! Rows that begin alike: their common beginning, the trunk, goes through a layer once, and each row's own
//! tokens, its branch, go on from a copy of the state that the trunk leaves.

use burn::tensor::{Int, Tensor, TensorData};

use super::decoder::{Decoder, token_tensor};
use super::mixer::Pass;

/// Trunks of one length, and any number of bundles of branches, each of one length.
pub struct Tree {
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
    /// The trunk that each continues, `[b]`.
    pub(super) trunks: Tensor<1, Int>,
}

/// The hidden states of a [`Tree`].
#[derive(Clone)]
pub struct TreeStates {
    /// Those of the trunks, `[b, t, d]`.
    pub trunks: Tensor<3>,
    /// Those of each bundle of branches, `[b, t, d]`.
    pub branches: Vec<Tensor<3>>,
}

impl Tree {
    /// Trunks for `base` without branches; the first `left_pads[row]` tokens of each are padding.
    pub fn new(base: &Decoder, ids: Vec<Vec<u32>>, left_pads: Option<Vec<usize>>) -> Self {
        let (batch, time) = (ids.len(), ids[0].len());
        let pass = Pass::new(&base.config, batch, time, 0, left_pads.as_deref(), &base.device());
        Self { trunks: Part { ids, pass }, branches: Vec::new(), left_pads }
    }

    /// The same with a further bundle of branches, of which each continues the trunk that `trunks` says.
    pub fn with_branches(mut self, base: &Decoder, ids: Vec<Vec<u32>>, trunks: &[usize]) -> Self {
        let (past, device) = (self.trunks.time(), base.device());
        let pads: Option<Vec<usize>> =
            self.left_pads.as_ref().map(|pads| trunks.iter().map(|&trunk| pads[trunk]).collect());
        let pass = Pass::new(&base.config, ids.len(), ids[0].len(), past, pads.as_deref(), &device);
        let trunks: Vec<i32> = trunks.iter().map(|&trunk| trunk as i32).collect();
        let size = trunks.len();
        let trunks = Tensor::from_data(TensorData::new(trunks, [size]), &device);
        self.branches.push(Branches { part: Part { ids, pass }, trunks });
        self
    }

    /// Tokens, pads included.
    pub fn num_tokens(&self) -> usize {
        let branches = self.branches.iter().map(|branches| branches.part.num_tokens());
        self.trunks.num_tokens() + branches.sum::<usize>()
    }

    /// The hidden states before the first layer of `base`.
    pub fn embed(&self, base: &Decoder) -> TreeStates {
        let embed = |part: &Part| base.embed(token_tensor(&part.ids, &base.device()));
        TreeStates {
            trunks: embed(&self.trunks),
            branches: self.branches.iter().map(|branches| embed(&branches.part)).collect(),
        }
    }
}

impl Part {
    fn time(&self) -> usize {
        self.ids[0].len()
    }

    fn num_tokens(&self) -> usize {
        self.ids.len() * self.time()
    }
}

impl TreeStates {
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

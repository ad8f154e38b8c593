//! Rows that go through the model together, and the hidden states that are kept of them.

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::model::{Decoder, Hybrid, Pass, token_tensor};
use crate::ops::log_likelihoods;
use crate::requests::Requests;

/// Rows of one length, right-padded to the longest: a causal model never sees what follows.
pub(super) struct Batch {
    rows: Vec<usize>,
    /// Tokens of a row.
    time: usize,
    pass: Pass,
    ids: Vec<Vec<u32>>,
    /// The hidden states after the first layers, `[b, t, d]` each, as far as they are kept.
    kept: Vec<Tensor<3>>,
}

impl Batch {
    pub(super) fn new(base: &Decoder, requests: &Requests, rows: Vec<usize>) -> Self {
        let time = rows.iter().map(|&row| requests.row(row).len()).max().unwrap_or(0);
        let padded = |row: &usize| {
            let mut ids = requests.row(*row).to_vec();
            ids.resize(time, 0);
            ids
        };
        let ids: Vec<Vec<u32>> = rows.iter().map(padded).collect();
        let pass = Pass::new(&base.config, rows.len(), time, 0, None, &base.device());
        Self { rows, time, pass, ids, kept: Vec::new() }
    }

    /// The rows.
    pub(super) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Tokens, pads included.
    pub(super) fn num_tokens(&self) -> usize {
        self.rows.len() * self.time
    }

    /// Forgets the hidden states after `layer` and those that follow.
    pub(super) fn forget_from(&mut self, layer: usize) {
        self.kept.truncate(layer);
    }

    /// Keeps the hidden states after each of the first `depth` layers of `hybrid`, which shares those kept.
    pub(super) fn keep(&mut self, base: &Decoder, hybrid: &Hybrid<'_>, depth: usize) {
        for layer in self.kept.len()..depth {
            self.kept.push(hybrid.run(layer..layer + 1, self.before(base, layer), &self.pass));
        }
    }

    /// What the rows' passes share.
    pub(super) fn pass(&self) -> &Pass {
        &self.pass
    }

    /// Tokens of a row, pads included.
    pub(super) fn time(&self) -> usize {
        self.time
    }

    /// The hidden states before `layer`, whose predecessors are kept.
    pub(super) fn before(&self, base: &Decoder, layer: usize) -> Tensor<3> {
        match layer.checked_sub(1) {
            Some(last) => self.kept[last].clone(),
            None => base.embed(token_tensor(&self.ids, &base.device())),
        }
    }

    /// Item, choice and log-likelihood of each wanted token under `hybrid`, which shares the states kept of
    /// the first `depth` layers.
    pub(super) fn likelihoods(
        &self,
        base: &Decoder,
        requests: &Requests,
        hybrid: &Hybrid<'_>,
        depth: usize,
    ) -> Result<Vec<(usize, usize, f64)>> {
        let hidden_btd = hybrid.run(depth..hybrid.num_layers(), self.before(base, depth), &self.pass);
        let (mut positions, mut targets, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        for (at, &row) in self.rows.iter().enumerate() {
            for target in requests.targets(row) {
                positions.push((at * self.time + target.position) as i32);
                targets.push(target.token as i32);
                owners.push((target.item, target.choice));
            }
        }
        let device = hidden_btd.device();
        let indices = |values: Vec<i32>| {
            let size = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [size]), &device)
        };
        let [batch, time, width] = hidden_btd.dims();
        let hidden_nd = hidden_btd.reshape([batch * time, width]).select(0, indices(positions));
        let values: Vec<f32> = log_likelihoods(hybrid.logits(hidden_nd), indices(targets))
            .into_data()
            .try_to_vec()
            .expect("likelihoods are f32");
        owners.into_iter().zip(values).map(|(owner, value)| finite(requests, owner, value)).collect()
    }
}

/// The likelihood with its owner; one that is not finite is an error that names the item.
fn finite(requests: &Requests, (item, choice): (usize, usize), value: f32) -> Result<(usize, usize, f64)> {
    if value.is_finite() {
        return Ok((item, choice, f64::from(value)));
    }
    let id = &requests.items()[item].id;
    Err(Error::failed(format!("the log-likelihood of choice {choice} of item `{id}` is {value}")))
}

//! Rows that go through the model together, and the hidden states that are kept of them.

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::model::{Decoder, Hybrid, Pass, token_tensor};
use crate::ops::log_likelihoods;
use crate::requests::Requests;

/// Rows of one length, right-padded to the longest: a causal model never sees what follows.
pub(super) struct Batch<'a> {
    rows: &'a [usize],
    /// Tokens of a row.
    time: usize,
    pass: Pass,
    /// The hidden states before each layer, `[b, t, d]`, as far as they are kept: those before the first
    /// always.
    kept: Vec<Tensor<3>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(base: &Decoder, requests: &Requests, rows: &'a [usize]) -> Self {
        let time = rows.iter().map(|&row| requests.row(row).len()).max().unwrap_or(0);
        let padded = |row: &usize| {
            let mut ids = requests.row(*row).to_vec();
            ids.resize(time, 0);
            ids
        };
        let ids: Vec<Vec<u32>> = rows.iter().map(padded).collect();
        let device = base.device();
        let pass = Pass::new(&base.config, rows.len(), time, 0, None, &device);
        Self { rows, time, pass, kept: vec![base.embed(token_tensor(&ids, &device))] }
    }

    /// Tokens, pads included.
    pub(super) fn num_tokens(&self) -> usize {
        self.rows.len() * self.time
    }

    /// Forgets the hidden states before the layers after `layer`.
    pub(super) fn forget_after(&mut self, layer: usize) {
        self.kept.truncate(layer + 1);
    }

    /// Keeps the hidden states before every layer up to `depth` of `hybrid`, whose earlier ones are kept.
    pub(super) fn keep_until(&mut self, depth: usize, hybrid: &Hybrid<'_>) {
        for layer in self.kept.len() - 1..depth {
            self.kept.push(hybrid.run(layer..layer + 1, self.kept[layer].clone(), &self.pass));
        }
    }

    /// Item, choice and log-likelihood of each wanted token under `hybrid`, which shares the kept states.
    pub(super) fn likelihoods(
        &self,
        requests: &Requests,
        hybrid: &Hybrid<'_>,
        depth: usize,
    ) -> Result<Vec<(usize, usize, f64)>> {
        let start = depth.min(self.kept.len() - 1);
        let hidden_btd = hybrid.run(start..hybrid.num_layers(), self.kept[start].clone(), &self.pass);
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

//! Scoring a hybrid on a task's items by log-likelihood, as lm-evaluation-harness does for multiple
//! choice: the right choice must be the likeliest continuation of the prompt.

mod requests;

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

pub use requests::Requests;

use crate::error::{Error, Result};
use crate::model::Hybrid;
use crate::ops::log_likelihoods;
use crate::store::{ItemScore, ScoreResult};

/// Tokens that one forward pass takes; bounds memory, changes no score.
const TOKENS_PER_PASS: usize = 2048;

/// Scores `hybrid` on the items of `requests`; passes run side by side and are added in order.
pub fn score(hybrid: &Hybrid<'_>, requests: &Requests) -> Result<ScoreResult> {
    let passes: Vec<Pass> = requests
        .passes(TOKENS_PER_PASS)
        .into_par_iter()
        .map(|rows| score_pass(hybrid, requests, rows))
        .collect::<Result<_>>()?;
    let mut likelihoods = requests.blank();
    let mut tokens = 0;
    for pass in passes {
        tokens += pass.tokens;
        for (item, choice, value) in pass.likelihoods {
            likelihoods[item][choice] += value;
        }
    }
    let items: Vec<ItemScore> = requests
        .items()
        .iter()
        .zip(likelihoods)
        .map(|(item, log_likelihoods)| ItemScore {
            id: item.id.clone(),
            label: item.label as u32,
            choice: likeliest(&log_likelihoods),
            log_likelihoods,
        })
        .collect();
    let num_correct = items.iter().filter(|item| item.correct()).count() as u64;
    let num_items = items.len() as u64;
    Ok(ScoreResult { score: num_correct as f64 / num_items as f64, num_items, num_correct, tokens, items })
}

/// The first of the largest, as `argmax` has it.
fn likeliest(log_likelihoods: &[f64]) -> u32 {
    let mut best = 0;
    for (choice, value) in log_likelihoods.iter().enumerate() {
        if *value > log_likelihoods[best] {
            best = choice;
        }
    }
    best as u32
}

/// What one forward pass gave.
struct Pass {
    tokens: u64,
    /// Item, choice and the log-likelihood of one of its tokens.
    likelihoods: Vec<(usize, usize, f64)>,
}

/// Runs some rows, right-padded to the longest: a causal model never sees what follows.
fn score_pass(hybrid: &Hybrid<'_>, requests: &Requests, rows: &[usize]) -> Result<Pass> {
    let longest = rows.iter().map(|&row| requests.row(row).len()).max().unwrap_or(0);
    let ids: Vec<Vec<u32>> = rows
        .iter()
        .map(|&row| {
            let mut ids = requests.row(row).to_vec();
            ids.resize(longest, 0);
            ids
        })
        .collect();
    let hidden_btd = hybrid.forward(&ids, None, None);
    let device = hidden_btd.device();
    let mut positions: Vec<i32> = Vec::new();
    let mut targets: Vec<i32> = Vec::new();
    let mut owners = Vec::new();
    for (at, &row) in rows.iter().enumerate() {
        for target in requests.targets(row) {
            positions.push((at * longest + target.position) as i32);
            targets.push(target.token as i32);
            owners.push((target.item, target.choice));
        }
    }
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
    let mut likelihoods = Vec::with_capacity(owners.len());
    for ((item, choice), value) in owners.into_iter().zip(values) {
        if !value.is_finite() {
            let id = &requests.items()[item].id;
            return Err(Error::failed(format!(
                "the log-likelihood of choice {choice} of item `{id}` is {value}"
            )));
        }
        likelihoods.push((item, choice, f64::from(value)));
    }
    Ok(Pass { tokens: (batch * time) as u64, likelihoods })
}

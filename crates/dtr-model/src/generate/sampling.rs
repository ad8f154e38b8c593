//! Chooses the next token from its logits: the most likely token, or a sample from the most likely tokens.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;

/// The settings with which tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingConfig {
    /// Divisor of the logits before sampling. If it is 0, the most likely token is always chosen.
    pub temperature: f64,
    /// Tokens are sampled from the fewest tokens whose probabilities add up to at least this number.
    pub top_p: f64,
    /// The seed of the samples.
    pub seed: Seed,
}

impl SamplingConfig {
    /// The settings that always choose the most likely token.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0, seed: Seed(0) };

    /// Returns whether the most likely token is always chosen.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}

/// A sampler of tokens, with its settings and its random generator.
pub struct Sampler {
    config: SamplingConfig,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// Creates the sampler of the prompt with the index `prompt`. Each prompt has its own random numbers, so
    /// that its text does not depend on other prompts.
    pub fn new(config: SamplingConfig, prompt: usize) -> Self {
        let seed = config.seed.child("generate").child(&prompt.to_string());
        Self { config, rng: seed.rng() }
    }

    /// Chooses the next token from its logits, `[vocab]`.
    ///
    /// # Errors
    /// Fails when a logit is NaN.
    pub fn choose_token(&mut self, logits: &[f32]) -> Result<u32> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return Err(nan_logit());
        }
        if self.config.is_greedy() {
            return Ok(most_likely_token(logits));
        }
        let kept = nucleus(probabilities(logits, self.config.temperature), self.config.top_p);
        let total: f64 = kept.iter().map(|(_, probability)| probability).sum();
        let mut remaining = self.rng.random::<f64>() * total;
        let sampled = kept.iter().find(|(_, probability)| {
            remaining -= probability;
            remaining < 0.0
        });
        Ok(sampled.or(kept.last()).expect("a nucleus is never empty").0)
    }
}

/// Returns the error for logits that are NaN.
pub fn nan_logit() -> Error {
    Error::failed("the model computed a logit that is NaN")
}

/// Returns the token with the highest logit. If several tokens have this logit, returns the lowest token id.
pub fn most_likely_token(logits: &[f32]) -> u32 {
    let better = |best: usize, at: usize| if logits[at] > logits[best] { at } else { best };
    (0..logits.len()).fold(0, better) as u32
}

/// Returns each token and its probability at `temperature`.
fn probabilities(logits: &[f32], temperature: f64) -> Vec<(u32, f64)> {
    let highest = f64::from(logits[most_likely_token(logits) as usize]);
    let weights: Vec<f64> =
        logits.iter().map(|&logit| ((f64::from(logit) - highest) / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    (0..).zip(weights.into_iter().map(|weight| weight / total)).collect()
}

/// Returns the fewest tokens whose probabilities add up to at least `top_p` (nucleus sampling, arXiv
/// 1904.09751). If `top_p` is below 1, the tokens are sorted: the most likely token comes first. Equally
/// likely tokens are sorted by id.
fn nucleus(mut tokens: Vec<(u32, f64)>, top_p: f64) -> Vec<(u32, f64)> {
    if top_p >= 1.0 {
        return tokens;
    }
    // The tokens with a probability below `min` together have less than `1 - top_p`. The other tokens alone
    // thus reach `top_p`, so the less likely tokens are dropped before the sort.
    let min = (1.0 - top_p) / tokens.len() as f64;
    tokens.retain(|(_, probability)| *probability >= min);
    tokens.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut total = 0.0;
    let count = tokens.iter().position(|(_, probability)| {
        total += probability;
        total >= top_p
    });
    tokens.truncate(count.map_or(tokens.len(), |last| last + 1));
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f64, top_p: f64, seed: u32) -> Sampler {
        Sampler::new(SamplingConfig { temperature, top_p, seed: Seed(seed) }, 0)
    }

    /// Returns logits whose softmax is `probabilities`.
    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|probability| probability.ln() as f32).collect()
    }

    #[test]
    fn a_nucleus_is_the_fewest_tokens_that_reach_top_p() {
        let tokens = vec![(0, 0.1), (1, 0.4), (2, 0.2), (3, 0.3)];
        let kept = |top_p: f64| {
            nucleus(tokens.clone(), top_p).into_iter().map(|(token, _)| token).collect::<Vec<u32>>()
        };
        assert_eq!(kept(0.01), [1]);
        assert_eq!(kept(0.4), [1]);
        assert_eq!(kept(0.41), [1, 3]);
        assert_eq!(kept(0.75), [1, 3, 2]);
        assert_eq!(kept(0.95), [1, 3, 2, 0]);
        assert_eq!(kept(1.0), [0, 1, 2, 3]);
        let even: Vec<(u32, f64)> = (0..1000).map(|token| (token, 0.001)).collect();
        assert_eq!(nucleus(even, 0.5005).len(), 501, "equally likely tokens");
        assert_eq!(
            nucleus(vec![(0, 0.25), (1, 0.5), (2, 0.25)], 0.7)[1].0,
            0,
            "the lower token comes first in a tie"
        );
    }

    #[test]
    fn samples_follow_the_probabilities_at_the_temperature() {
        let logits = logits(&[0.5, 0.3, 0.2]);
        // At temperature 0.5 the odds are squared: 25 to 9 to 4.
        for (temperature, top_p, expected) in [
            (1.0, 1.0, [0.5, 0.3, 0.2]),
            (0.5, 1.0, [25.0 / 38.0, 9.0 / 38.0, 4.0 / 38.0]),
            (1.0, 0.7, [0.625, 0.375, 0.0]),
        ] {
            let mut sampler = sampler(temperature, top_p, 7);
            let mut counts = [0.0_f64; 3];
            for _ in 0..20_000 {
                counts[sampler.choose_token(&logits).unwrap() as usize] += 1.0 / 20_000.0;
            }
            for (count, expected) in counts.iter().zip(expected) {
                // The tolerance is more than four standard errors.
                assert!((count - expected).abs() < 0.015, "{counts:?}");
            }
        }
    }

    #[test]
    fn temperature_0_takes_the_first_most_likely_token() {
        assert_eq!(sampler(0.0, 1.0, 1).choose_token(&[0.0, 2.0, 2.0, -1.0]).unwrap(), 1);
        assert_eq!(sampler(1e-300, 1.0, 1).choose_token(&[0.0, 2.0, 1.0]).unwrap(), 1);
        assert!(sampler(0.0, 1.0, 1).choose_token(&[0.0, f32::NAN]).is_err());
    }
}

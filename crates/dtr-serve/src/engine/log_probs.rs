//! Log-probabilities from logits.

use super::TokenLogProbs;

/// Returns the log-probabilities of `token` and of the `num_top` most likely tokens for `logits`, `[vocab]`.
/// All of them come from the same sums, so equal tokens have equal numbers.
pub fn token_log_probs(logits: &[f32], token: u32, num_top: usize) -> TokenLogProbs {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - highest).exp()).sum();
    let log_sum = highest + sum.ln();
    let log_prob = |token: u32| f64::from(logits[token as usize]) - log_sum;
    let top = most_likely_tokens(logits, num_top).into_iter().map(|token| (token, log_prob(token)));
    TokenLogProbs { token, log_prob: log_prob(token), top: top.collect() }
}

/// Returns the `count` tokens with the highest logits. Of equally likely tokens, the lower id comes first.
fn most_likely_tokens(logits: &[f32], count: usize) -> Vec<u32> {
    let mut top: Vec<u32> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0..).zip(logits) {
        if top.len() == count && top.last().is_none_or(|&last| logit <= logits[last as usize]) {
            continue;
        }
        let at = top.partition_point(|&other| logits[other as usize] >= logit);
        top.insert(at, token);
        top.truncate(count);
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_are_those_of_the_softmax() {
        let logits: Vec<f32> = [0.5_f32, 0.125, 0.25, 0.125].iter().map(|p| p.ln() + 40.0).collect();
        let found = token_log_probs(&logits, 3, 3);
        assert!((found.log_prob - 0.125_f64.ln()).abs() < 1e-5);
        assert_eq!(found.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 2, 1]);
        assert_eq!(found.top[2].1, found.log_prob, "equally likely tokens have equal numbers");
        assert!(token_log_probs(&logits, 3, 0).top.is_empty());
        assert_eq!(token_log_probs(&logits, 3, 9).top.len(), 4);
    }
}

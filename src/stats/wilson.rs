//! The Wilson score interval of a proportion.

use statrs::distribution::{ContinuousCDF, Normal};

/// The Wilson score interval of `correct` out of `total` at `confidence` (0.95, say).
///
/// Unlike the interval of the textbook (estimate ± z · standard error) it stays inside 0..1 and does not
/// collapse at scores of 0 % and 100 %. Of no items nothing is known: (0, 1).
pub fn wilson(correct: u64, total: u64, confidence: f64) -> (f64, f64) {
    if total == 0 {
        return (0.0, 1.0);
    }
    let z = Normal::standard().inverse_cdf(0.5 + confidence / 2.0);
    let total_f = total as f64;
    let share = correct as f64 / total_f;
    let shrink = 1.0 + z * z / total_f;
    let centre = (share + z * z / (2.0 * total_f)) / shrink;
    let half = z / shrink * (share * (1.0 - share) / total_f + z * z / (4.0 * total_f * total_f)).sqrt();
    // The ends are exact where rounding would leave 1e-17.
    let low = if correct == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if correct == total { 1.0 } else { (centre + half).min(1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `binomtest(correct, total).proportion_ci(confidence, "wilson")`, scipy 1.17.1; statsmodels 0.15.0's
    /// `proportion_confint(method="wilson")` says the same.
    const SCIPY: [(u64, u64, f64, f64, f64); 11] = [
        (0, 10, 0.95, 0.0, 0.27753279986288926),
        (10, 10, 0.95, 0.7224672001371109, 1.0),
        (1, 1, 0.95, 0.20654931437723745, 1.0),
        (5, 10, 0.95, 0.236593090512564, 0.7634069094874361),
        (319, 500, 0.95, 0.5949717262107973, 0.6789239558218142),
        (361, 500, 0.95, 0.6811514003636959, 0.7594633924713748),
        (361, 500, 0.99, 0.6677406494887279, 0.7704447212573118),
        (81, 114, 0.9, 0.6364215147586422, 0.7748700021595766),
        (1, 1000, 0.95, 0.00017654637062607809, 0.0056425585979579355),
        (529, 1172, 0.95, 0.4230803702011164, 0.4799677838294994),
        (123456, 200000, 0.95, 0.6151475941710203, 0.6194079006526072),
    ];

    #[test]
    fn intervals_agree_with_scipy() {
        for (correct, total, confidence, low, high) in SCIPY {
            let interval = wilson(correct, total, confidence);
            assert!((interval.0 - low).abs() < 1e-12, "{correct}/{total}: {} against {low}", interval.0);
            assert!((interval.1 - high).abs() < 1e-12, "{correct}/{total}: {} against {high}", interval.1);
        }
    }

    #[test]
    fn no_items_tell_nothing() {
        assert_eq!(wilson(0, 0, 0.95), (0.0, 1.0));
    }
}

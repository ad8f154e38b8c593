//! Multiple testing: control of the false discovery rate.

/// Returns the p-values adjusted by the procedure of Benjamini and Hochberg (1995), in the order of
/// `p_values`.
///
/// Suppose that all hypotheses with an adjusted p-value of at most `q` are rejected. Then the expected share
/// of false rejections among all rejections is at most `q`. This guarantee holds for independent tests and
/// for positively dependent tests.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*b].total_cmp(&p_values[*a]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (num_greater, index) in order.into_iter().enumerate() {
        let rank = p_values.len() - num_greater;
        least = least.min(p_values[index] * p_values.len() as f64 / rank as f64);
        adjusted[index] = least;
    }
    adjusted
}

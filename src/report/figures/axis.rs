//! An axis of a panel: its range and its labelled values.

#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Title with unit. Empty if a neighbouring panel shows the same title.
    pub(super) title: String,
    pub(super) low: f64,
    pub(super) high: f64,
    /// The labelled values.
    pub(super) ticks: Vec<f64>,
    labels: Vec<String>,
}

impl Axis {
    /// Returns a linear axis that includes `values` with padding. It has about `num_ticks` labels at round
    /// numbers.
    pub(super) fn linear(title: &str, values: &[f64], num_ticks: usize) -> Self {
        let (low, high) = range(values);
        let padding = 0.05 * (high - low).max(1e-9);
        Self::new(title, low - padding, high + padding, num_ticks, 0.0)
    }

    /// Returns an axis of integers from `first` to `last`, with a padding of one half at both ends.
    pub(super) fn integers(title: &str, first: u32, last: u32, num_ticks: usize) -> Self {
        Self::new(title, f64::from(first) - 0.5, f64::from(last) + 0.5, num_ticks, 1.0)
    }

    /// Returns a logarithmic axis that includes `exponents`. The exponents, the range and the ticks are
    /// decimal logarithms.
    pub(super) fn logarithmic(title: &str, exponents: &[f64]) -> Self {
        let (low, high) = range(exponents);
        let padding = 0.05 * (high - low).max(0.2);
        let (low, high) = (low - padding, high + padding);
        // An axis that spans at most three powers of ten also has labels at 2 and 5 times a power of ten.
        let factors: &[f64] = if high - low > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = (low.floor() as i32)..=(high.ceil() as i32);
        let values = powers.flat_map(|power| factors.iter().map(move |factor| (*factor, power)));
        let seen =
            values.filter(|(factor, power)| (low..=high).contains(&(factor.log10() + f64::from(*power))));
        let (ticks, labels) =
            seen.map(|(factor, power)| (factor.log10() + f64::from(power), decimal(factor, power))).unzip();
        Self { title: title.to_owned(), low, high, ticks, labels }
    }

    fn new(title: &str, low: f64, high: f64, num_ticks: usize, min_step: f64) -> Self {
        let step = round_step((high - low) / num_ticks as f64).max(min_step);
        let num_decimals = (-step.log10().floor()).max(0.0) as usize;
        let indices = (low / step).ceil() as i64..=(high / step).floor() as i64;
        let ticks: Vec<f64> = indices.map(|index| index as f64 * step).collect();
        let labels = ticks.iter().map(|tick| format!("{tick:.num_decimals$}")).collect();
        Self { title: title.to_owned(), low, high, ticks, labels }
    }

    pub(super) fn label(&self, tick: f64) -> String {
        let index = self.ticks.iter().position(|candidate| *candidate == tick);
        index.map(|index| self.labels[index].clone()).unwrap_or_default()
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    match (finite().reduce(f64::min), finite().reduce(f64::max)) {
        (Some(low), Some(high)) => (low, high),
        _ => (0.0, 1.0),
    }
}

/// Rounds `step` up to 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// Formats `factor` times ten to the `power`. Uses scientific notation only for very small or large numbers.
fn decimal(factor: f64, power: i32) -> String {
    match power {
        -4..0 => format!("{:.*}", power.unsigned_abs() as usize, factor * 10_f64.powi(power)),
        0..5 => format!("{:.0}", factor * 10_f64.powi(power)),
        _ => format!("{factor:.0}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.label(*tick)).collect()
    }

    #[test]
    fn labels_are_round_numbers() {
        assert_eq!(labels(&Axis::linear("", &[61.3, 74.9], 4)), ["65", "70", "75"]);
        assert_eq!(labels(&Axis::linear("", &[0.41, 0.47], 4)), ["0.42", "0.44", "0.46"]);
        assert_eq!(labels(&Axis::integers("", 0, 3, 6)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Axis::integers("", 0, 28, 6)), ["0", "5", "10", "15", "20", "25"]);
    }

    #[test]
    fn logarithmic_labels_are_plain_decimals() {
        assert_eq!(labels(&Axis::logarithmic("", &[-2.0, -1.0])), ["0.01", "0.02", "0.05", "0.1"]);
        assert_eq!(labels(&Axis::logarithmic("", &[-6.0, 0.0]))[..3], ["1e-6", "1e-5", "0.0001"]);
    }

    #[test]
    fn an_axis_over_one_value_or_none_has_a_positive_length() {
        for values in [&[0.5][..], &[], &[f64::NAN]] {
            let axis = Axis::linear("", values, 4);
            assert!(axis.high > axis.low);
        }
    }
}

//! A step of AdamW over numbers that lie end to end.

use burn::tensor::{Tensor, TensorData};

#[cfg(feature = "cuda")]
use super::native::{Native, elements, native_frozen};

/// Weight decay of stretches of the parameters, in their order: where each ends, and its rate.
#[derive(Clone, Debug, Default)]
pub struct WeightDecay {
    ends: Vec<usize>,
    rates: Vec<f32>,
}

impl WeightDecay {
    /// Adds a stretch of `size` numbers.
    pub fn push(&mut self, size: usize, rate: f32) {
        self.ends.push(self.size() + size);
        self.rates.push(rate);
    }

    /// Numbers in all.
    pub fn size(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The rate of each number.
    fn of_each(&self) -> Vec<f32> {
        let mut rates = Vec::with_capacity(self.size());
        for (end, rate) in self.ends.iter().zip(&self.rates) {
            rates.resize(*end, *rate);
        }
        rates
    }

    /// The rate of all numbers, where they have one.
    #[cfg(feature = "cuda")]
    fn single(&self) -> f32 {
        assert_eq!(self.rates.len(), 1, "a GPU steps each parameter by itself");
        self.rates[0]
    }
}

/// What a step goes by.
#[derive(Clone, Debug)]
pub struct AdamWStep {
    /// Of the step.
    pub learning_rate: f64,
    /// Of both means.
    pub betas: [f64; 2],
    /// Added to the root of the second mean.
    pub epsilon: f64,
    /// The most that the gradient's norm may be.
    pub clip: f64,
    /// Steps with this one.
    pub steps: u64,
}

/// The sum of squares, `[1]`.
pub fn sum_of_squares(x_n: Tensor<1>) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if native_frozen(&x_n) == Some(Native::Cuda) {
        return elements::sum_of_squares(x_n);
    }
    x_n.square().sum()
}

/// Weights, first and second means after a step along a gradient; `norm` `[1]` is that of all gradients that are clipped together.
pub fn adamw(
    [weights, first, second]: [Tensor<1>; 3],
    gradient: Tensor<1>,
    norm: Tensor<1>,
    decay: &WeightDecay,
    step: &AdamWStep,
) -> [Tensor<1>; 3] {
    #[cfg(feature = "cuda")]
    if native_frozen(&weights) == Some(Native::Cuda) {
        return elements::adamw([weights, first, second], gradient, norm.square(), decay.single(), step);
    }
    let [beta_first, beta_second] = step.betas;
    // Scaled so that its norm is at most what is allowed, without reading it back.
    let gradient = gradient * (norm + 1e-6).recip().mul_scalar(step.clip).clamp_max(1.0);
    let first = first * beta_first + gradient.clone() * (1.0 - beta_first);
    let second = second * beta_second + gradient.square() * (1.0 - beta_second);
    let correct = |beta: f64| 1.0 / (1.0 - beta.powf(step.steps as f64));
    let mean = first.clone() * correct(beta_first);
    let spread = (second.clone() * correct(beta_second)).sqrt() + step.epsilon;
    let rates = Tensor::from_data(TensorData::new(decay.of_each(), [decay.size()]), &weights.device());
    let change = (mean / spread + weights.clone() * rates) * step.learning_rate;
    [weights - change, first, second]
}

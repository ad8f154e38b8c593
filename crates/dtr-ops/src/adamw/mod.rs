//! One step of AdamW (arXiv 1711.05101) over a vector of concatenated parameters.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;

use burn::tensor::{Tensor, TensorData};

#[cfg(feature = "cuda")]
use crate::kernel_support::has_cuda_inference_kernels;

/// The weight decay of a vector of concatenated parameters: a decay rate for each parameter's segment of the
/// vector.
#[derive(Clone, Debug, Default)]
pub struct WeightDecay {
    ends: Vec<usize>,
    rates: Vec<f32>,
}

impl WeightDecay {
    /// Appends a segment of `size` elements with the decay rate `rate`.
    pub fn push(&mut self, size: usize, rate: f32) {
        self.ends.push(self.size() + size);
        self.rates.push(rate);
    }

    /// Returns the number of elements of all segments.
    pub fn size(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn rate_per_element(&self) -> Vec<f32> {
        let mut rates = Vec::with_capacity(self.size());
        for (end, rate) in self.ends.iter().zip(&self.rates) {
            rates.resize(*end, *rate);
        }
        rates
    }

    /// Returns the decay rate of the only segment.
    #[cfg(feature = "cuda")]
    fn single_rate(&self) -> f32 {
        assert_eq!(self.rates.len(), 1, "on a CUDA device, each parameter needs its own `WeightDecay`");
        self.rates[0]
    }
}

/// The hyperparameters of one step.
#[derive(Clone, Debug)]
pub struct AdamWStep {
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// The term that is added to the square root of the second moment.
    pub epsilon: f64,
    /// The maximum norm of the gradient. A gradient with a larger norm is scaled down.
    pub max_gradient_norm: f64,
    /// The number of steps so far, including this step. The bias correction uses this number.
    pub steps: u64,
}

/// Returns the sum of the squared elements of each layer, `[layers]`. `x_n` holds a stack of `layers` layers.
pub fn sum_of_squares(x_n: Tensor<1>, layers: usize) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_n) {
        return cuda::sum_of_squares(x_n, layers);
    }
    match layers {
        1 => x_n.square().sum(),
        _ => {
            let count = x_n.dims()[0] / layers;
            x_n.square().reshape([layers, count]).sum_dim(1).squeeze_dim(1)
        }
    }
}

/// Returns weights, first moments and second moments after a step along `gradient`. `norm` is the norm of all
/// gradients that are clipped together, `[1]`. If the parameters are a stack of layers, each layer is clipped
/// by its own norm, and `norm` is `[layers]`.
pub fn adamw_step(
    [weights, first, second]: [Tensor<1>; 3],
    gradient: Tensor<1>,
    norm: Tensor<1>,
    decay: &WeightDecay,
    step: &AdamWStep,
) -> [Tensor<1>; 3] {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&weights) {
        return cuda::step([weights, first, second], gradient, norm.square(), decay.single_rate(), step);
    }
    let [beta_first, beta_second] = step.betas;
    // The clipping factor is computed on the device, so that the host does not wait for the norm.
    let scale = (norm + 1e-6).recip().mul_scalar(step.max_gradient_norm).clamp_max(1.0);
    let gradient = match (gradient.dims(), scale.dims()) {
        (_, [1]) => gradient * scale,
        ([size], [layers]) => {
            let gradient = gradient.reshape([layers, size / layers]);
            (gradient * scale.reshape([layers, 1])).reshape([size])
        }
    };
    let first = first * beta_first + gradient.clone() * (1.0 - beta_first);
    let second = second * beta_second + gradient.square() * (1.0 - beta_second);
    let bias_correction = |beta: f64| 1.0 / (1.0 - beta.powf(step.steps as f64));
    let mean = first.clone() * bias_correction(beta_first);
    let spread = (second.clone() * bias_correction(beta_second)).sqrt() + step.epsilon;
    let rates =
        Tensor::from_data(TensorData::new(decay.rate_per_element(), [decay.size()]), &weights.device());
    let change = (mean / spread + weights.clone() * rates) * step.learning_rate;
    [weights - change, first, second]
}

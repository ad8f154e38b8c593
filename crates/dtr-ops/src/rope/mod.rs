//! Rotary position embedding (RoFormer, arXiv 2104.09864) with half-split pairs, as in Hugging Face's Llama,
//! and Llama 3's scaling of the frequencies.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
#[cfg(test)]
mod tests;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

#[cfg(feature = "cuda")]
pub(crate) use cuda::{rotate_and_append, rotate_from_counter};

use crate::cuda_graph::PositionCounter;
use crate::kernel_support::has_cpu_inference_kernels;
#[cfg(feature = "cuda")]
use crate::kernel_support::has_cuda_kernels;

/// The scaling of rotary frequencies for long contexts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RopeScaling {
    /// No scaling.
    None,
    /// Llama 3.1's scaling: low frequencies are divided by `factor`, high frequencies are unchanged, and
    /// frequencies between them are interpolated.
    Llama3 {
        /// The divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position / low_freq_factor` are scaled.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position / high_freq_factor` are unchanged.
        high_freq_factor: f64,
        /// The context length in pretraining, in tokens.
        original_max_position: usize,
    },
    /// The divisor of each frequency, `[k / 2]`.
    Factors(Vec<f32>),
}

/// The rotary frequencies of a head, one for each pair of channels.
#[derive(Clone, Debug)]
pub struct Rope {
    /// The radians per position of each pair, `[k / 2]`.
    frequencies: Vec<f64>,
}

impl Rope {
    /// Computes the frequencies `theta^(-2i/k)` for heads of width `head_dim`, and scales them.
    ///
    /// # Panics
    /// Panics if `scaling` is [`RopeScaling::Factors`] with fewer than `head_dim / 2` factors.
    pub fn new(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Self {
        let half = head_dim / 2;
        let frequencies = (0..half)
            .map(|index| (index, theta.powf(-(2.0 * index as f64) / head_dim as f64)))
            .map(|(index, frequency)| scale(index, frequency, scaling))
            .collect();
        Self { frequencies }
    }

    /// Returns the frequency of the pair `index`, in radians per position.
    pub fn frequency(&self, index: usize) -> f64 {
        self.frequencies[index]
    }

    /// Returns the angles of tokens. `positions` holds the tokens' positions for each row of the batch.
    pub fn angles(&self, positions: &[Vec<usize>], device: &Device) -> RotaryAngles {
        let (cos, sin) = self.tables(positions, device);
        RotaryAngles { cos, sin, counter: None }
    }

    /// Returns the angles of successive tokens. `counter` holds the position of each batch row's first token.
    /// All positions must be below `capacity`.
    pub fn angles_from_counter(
        &self,
        counter: &PositionCounter,
        capacity: usize,
        device: &Device,
    ) -> RotaryAngles {
        let (cos, sin) = self.tables(&[(0..capacity).collect()], device);
        RotaryAngles { cos, sin, counter: Some(counter.clone()) }
    }

    fn tables(&self, positions: &[Vec<usize>], device: &Device) -> (Tensor<4>, Tensor<4>) {
        let (batch, time, half) = (positions.len(), positions[0].len(), self.frequencies.len());
        let table = |function: fn(f64) -> f64| {
            let values: Vec<f32> = positions
                .iter()
                .flatten()
                .flat_map(|&position| {
                    self.frequencies.iter().map(move |f| function(position as f64 * f) as f32)
                })
                .collect();
            Tensor::<4>::from_data(TensorData::new(values, [batch, 1, time, half]), device)
        };
        (table(f64::cos), table(f64::sin))
    }

    /// Rotates the pairs `(x[i], x[i + k/2])` of `x_bhtk` by `angles`.
    ///
    /// # Panics
    /// If `angles` come from a [`PositionCounter`], panics if `x_bhtk` is on an autodiff graph, or if its
    /// head width is not a multiple of 16.
    pub fn apply(x_bhtk: Tensor<4>, angles: &RotaryAngles) -> Tensor<4> {
        let RotaryAngles { cos, sin, counter } = angles;
        if let Some(counter) = counter {
            return counter.rotate(x_bhtk, [cos.clone(), sin.clone()]);
        }
        if has_cpu_inference_kernels(&x_bhtk) && has_cpu_inference_kernels(cos) {
            return cpu::rotate(x_bhtk, [cos.clone(), sin.clone()]);
        }
        #[cfg(feature = "cuda")]
        if has_cuda_kernels(&x_bhtk) && x_bhtk.dims()[3].is_multiple_of(16) {
            return cuda::rotate(x_bhtk, [cos.clone(), sin.clone()]);
        }
        let dtype = x_bhtk.dtype();
        let x_bhtk = x_bhtk.cast(DType::F32);
        let half = x_bhtk.dims()[3] / 2;
        let first = x_bhtk.clone().narrow(3, 0, half);
        let second = x_bhtk.narrow(3, half, half);
        let rotated_first = first.clone() * cos.clone() - second.clone() * sin.clone();
        let rotated_second = second * cos.clone() + first * sin.clone();
        Tensor::cat(vec![rotated_first, rotated_second], 3).cast(dtype)
    }
}

/// The cosines and sines of the rotary angles of tokens, `[b or 1, 1, t, k/2]` each.
#[derive(Clone)]
pub struct RotaryAngles {
    cos: Tensor<4>,
    sin: Tensor<4>,
    /// The counter that holds the positions of the first tokens. With a counter, the tables have a row for
    /// each position. Without a counter, they have a row for each token.
    counter: Option<PositionCounter>,
}

impl RotaryAngles {
    /// Returns the angles of `times` copies of the batch rows, one copy after another.
    #[must_use]
    pub fn repeat(&self, times: usize) -> Self {
        let repeat = |table: &Tensor<4>| match table.dims()[0] {
            1 => table.clone(),
            _ => Tensor::cat(vec![table.clone(); times], 0),
        };
        Self { cos: repeat(&self.cos), sin: repeat(&self.sin), counter: self.counter.clone() }
    }

    /// Returns the same angles for use with tensors on an autodiff graph.
    pub fn autodiff(&self) -> Self {
        let Self { cos, sin, counter } = self.clone();
        Self { cos: cos.autodiff(), sin: sin.autodiff(), counter }
    }

    /// Rotates the queries and keys of `[q, k, v]`. Writes the rotated keys and the values into the buffers
    /// of a cache, from the counter's positions on. Returns the rotated queries and the buffers.
    ///
    /// # Panics
    /// Panics if the angles do not come from a [`PositionCounter`].
    pub(crate) fn rotate_and_append(
        &self,
        tokens: [Tensor<4>; 3],
        cache: [Tensor<4>; 2],
    ) -> (Tensor<4>, [Tensor<4>; 2]) {
        let counter = self.counter.as_ref().expect("the angles come from a position counter");
        counter.rotate_and_append(tokens, cache, [self.cos.clone(), self.sin.clone()])
    }
}

/// Returns the scaled frequency of the pair `index`. `frequency` is its frequency before scaling.
fn scale(index: usize, frequency: f64, scaling: &RopeScaling) -> f64 {
    let (factor, low_freq_factor, high_freq_factor, original_max_position) = match scaling {
        RopeScaling::None => return frequency,
        RopeScaling::Factors(factors) => return frequency / f64::from(factors[index]),
        &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position } => {
            (factor, low_freq_factor, high_freq_factor, original_max_position)
        }
    };
    let wavelength = 2.0 * std::f64::consts::PI / frequency;
    let length = original_max_position as f64;
    if wavelength < length / high_freq_factor {
        frequency
    } else if wavelength > length / low_freq_factor {
        frequency / factor
    } else {
        let smooth = (length / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

//! Rotary positions, half-split as in Hugging Face's Llama, with llama3 scaling.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::processor::{applies_frozen, frozen};

/// How rotary frequencies are stretched for long contexts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// Llama 3.1's scaling: low frequencies divided by `factor`, a smooth step between.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position / low_freq_factor` are scaled.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length of the first training.
        original_max_position: usize,
    },
}

/// Rotary frequencies of a head.
#[derive(Clone, Debug)]
pub struct Rope {
    /// Angle per position of each pair, `[k / 2]`.
    frequencies: Vec<f64>,
}

impl Rope {
    /// Frequencies `theta^(-2i/k)` for heads of width `head_dim`.
    pub fn new(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Self {
        let half = head_dim / 2;
        let frequencies = (0..half)
            .map(|index| theta.powf(-(2.0 * index as f64) / head_dim as f64))
            .map(|frequency| scale(frequency, scaling))
            .collect();
        Self { frequencies }
    }

    /// The angle per position of pair `index`.
    pub fn frequency(&self, index: usize) -> f64 {
        self.frequencies[index]
    }

    /// Cosines and sines for `positions` (`[b][t]`), each `[b, 1, t, k/2]`.
    pub fn tables(&self, positions: &[Vec<usize>], device: &Device) -> (Tensor<4>, Tensor<4>) {
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

    /// Rotates pairs `(x[i], x[i + k/2])` of `x_bhtk` by the tables' angles.
    pub fn apply(x_bhtk: Tensor<4>, tables: &(Tensor<4>, Tensor<4>)) -> Tensor<4> {
        if applies_frozen(&x_bhtk) && applies_frozen(&tables.0) {
            return frozen::rotate(x_bhtk, tables);
        }
        let (cos, sin) = tables;
        let half = x_bhtk.dims()[3] / 2;
        let first = x_bhtk.clone().narrow(3, 0, half);
        let second = x_bhtk.narrow(3, half, half);
        let rotated_first = first.clone() * cos.clone() - second.clone() * sin.clone();
        let rotated_second = second * cos.clone() + first * sin.clone();
        Tensor::cat(vec![rotated_first, rotated_second], 3)
    }
}

/// The angle per position after scaling.
fn scale(frequency: f64, scaling: &RopeScaling) -> f64 {
    let &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position } = scaling
    else {
        return frequency;
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

//! Rotary positions, half-split as in Hugging Face's Llama, with llama3 scaling.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::counter::PositionCounter;
use super::native::{Native, inference, native_frozen};
#[cfg(feature = "cuda")]
use super::native::{blocks, native};

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

    /// The angles of tokens at `positions` (`[b][t]`).
    pub fn angles(&self, positions: &[Vec<usize>], device: &Device) -> RotaryAngles {
        let (cos, sin) = self.tables(positions, device);
        RotaryAngles { cos, sin, at: None }
    }

    /// The angles of the tokens from `counter` on, of at most `room` in all.
    pub fn angles_from_counter(
        &self,
        counter: &PositionCounter,
        room: usize,
        device: &Device,
    ) -> RotaryAngles {
        let (cos, sin) = self.tables(&[(0..room).collect()], device);
        RotaryAngles { cos, sin, at: Some(counter.clone()) }
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

    /// Rotates pairs `(x[i], x[i + k/2])` of `x_bhtk`.
    pub fn apply(x_bhtk: Tensor<4>, RotaryAngles { cos, sin, at }: &RotaryAngles) -> Tensor<4> {
        let tables = (cos.clone(), sin.clone());
        if serves(&x_bhtk) && native_frozen(cos).is_some() {
            return match at {
                Some(at) => at.rotate(x_bhtk, &tables),
                None => inference::rotate(x_bhtk, &tables),
            };
        }
        #[cfg(feature = "cuda")]
        if native(&x_bhtk) == Some(Native::Cuda) && x_bhtk.dims()[3].is_multiple_of(16) && at.is_none() {
            return blocks::rotate(x_bhtk, [cos.clone(), sin.clone()]);
        }
        assert!(at.is_none(), "a counter is of a device that can read it");
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

impl RotaryAngles {
    /// Queries rotated, and the caches of keys and values with these in them, keys rotated, from where the device has counted to.
    ///
    /// # Panics
    /// Where it does not count.
    pub(super) fn rotate_and_append(
        &self,
        tokens: [Tensor<4>; 3],
        caches: (Tensor<4>, Tensor<4>),
    ) -> (Tensor<4>, (Tensor<4>, Tensor<4>)) {
        let at = self.at.as_ref().expect("the device counts positions");
        at.rotate_and_append(tokens, caches, &(self.cos.clone(), self.sin.clone()))
    }
}

/// Whether the device has a kernel for heads like these.
fn serves(x_bhtk: &Tensor<4>) -> bool {
    match native_frozen(x_bhtk) {
        Some(Native::Processor) => true,
        #[cfg(feature = "cuda")]
        Some(Native::Cuda) => x_bhtk.dims()[3].is_multiple_of(16),
        None => false,
    }
}

/// Cosines and sines of tokens' angles, `[b or 1, 1, t, k/2]` each.
#[derive(Clone)]
pub struct RotaryAngles {
    cos: Tensor<4>,
    sin: Tensor<4>,
    /// Where the device counts positions: the tables are of all of them.
    at: Option<PositionCounter>,
}

impl RotaryAngles {
    /// The same for tensors on an autodiff graph.
    pub fn autodiff(&self) -> Self {
        let Self { cos, sin, at } = self.clone();
        Self { cos: cos.autodiff(), sin: sin.autodiff(), at }
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

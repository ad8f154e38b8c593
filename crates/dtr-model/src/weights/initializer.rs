//! Sources of parameter values: a weight file, or a random initialisation from a seed.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use dtr_core::error::Result;
use dtr_core::seed::Seed;

/// The initial values of a parameter that is not read from a file.
#[derive(Clone)]
pub enum Initializer {
    /// A normal distribution with mean 0 and this standard deviation.
    Normal(f64),
    /// One value for every element.
    Constant(f32),
    /// A distribution from which each element is sampled.
    Sample(fn(&mut ChaCha8Rng) -> f32),
    /// The given values, in row-major order.
    Values(Vec<f32>),
}

impl Initializer {
    /// Returns a normal distribution with standard deviation `1 / sqrt(inputs)`. The outputs of a projection
    /// then have the same scale as its inputs.
    pub fn fan_in(inputs: usize) -> Self {
        Self::Normal((inputs as f64).powf(-0.5))
    }

    /// Returns a normal distribution for a projection whose output is added to the residual stream. The
    /// standard deviation of [`Initializer::fan_in`] is divided by `sqrt(2 · num_layers)`. The scale of the
    /// residual stream then does not grow with depth (GPT-2).
    pub fn residual_output(inputs: usize, num_layers: usize) -> Self {
        Self::Normal((2.0 * (inputs * num_layers) as f64).powf(-0.5))
    }
}

/// A source of parameter values: random values ([`RandomParams`]), a safetensors file
/// ([`SafetensorsReader`](crate::SafetensorsReader)), or a GGUF file.
pub trait ParamSource {
    /// Returns the values of the parameter `name`, of shape `shape`, row-major in f32. A source that reads a
    /// file ignores `initializer`.
    ///
    /// # Errors
    /// Fails when a file cannot be read or lacks the parameter, when the parameter has another shape, or when
    /// a value is not finite.
    fn values(&mut self, name: &str, shape: &[usize], initializer: Initializer) -> Result<Vec<f32>>;

    /// Returns the device on which parameters are placed.
    fn device(&self) -> &Device;

    /// Returns the dtype of the parameters.
    fn dtype(&self) -> DType {
        DType::F32
    }
}

impl dyn ParamSource + '_ {
    /// Returns the values of the parameter `name` of shape `shape` as a vector `[n]` in f32, in row-major
    /// order.
    pub(super) fn flat_f32(&mut self, name: &str, shape: &[usize]) -> Result<Tensor<1>> {
        let values = self.values(name, shape, Initializer::Constant(0.0))?;
        let size = values.len();
        Ok(place(TensorData::new(values, [size]), self.device(), DType::F32))
    }

    /// Returns the matrix `name`, `[rows, columns]`.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        initializer: Initializer,
    ) -> Result<Tensor<2>> {
        let values = self.values(name, &shape, initializer)?;
        let size = values.len();
        // A device may pad the rows of a matrix, so the values are placed as a vector first.
        Ok(place(TensorData::new(values, [size]), self.device(), self.dtype()).reshape(shape))
    }

    /// Returns the vector `name`, `[size]`.
    pub(crate) fn vector(&mut self, name: &str, size: usize, initializer: Initializer) -> Result<Tensor<1>> {
        let values = self.values(name, &[size], initializer)?;
        Ok(place(TensorData::new(values, [size]), self.device(), self.dtype()))
    }

    /// Returns the vector `name`, `[size]`, in f32. The parameters of decay rates need f32 even if other
    /// parameters are bf16.
    pub(crate) fn f32_vector(
        &mut self,
        name: &str,
        size: usize,
        initializer: Initializer,
    ) -> Result<Tensor<1>> {
        let values = self.values(name, &[size], initializer)?;
        Ok(place(TensorData::new(values, [size]), self.device(), DType::F32))
    }
}

/// Creates a tensor in the memory that burn reserves for persistent allocations. If parameters and
/// activations shared a pool, the pool would become fragmented on a GPU.
fn place(values_n: TensorData, device: &Device, dtype: DType) -> Tensor<1> {
    device.memory_persistent_allocations(values_n, |values| Tensor::from_data(values, (device, dtype)))
}

/// A source of random parameters. The seed of each parameter is derived from its name, so that adding a
/// parameter does not change the values of other parameters.
pub struct RandomParams {
    seed: Seed,
    device: Device,
}

impl RandomParams {
    /// Creates a source that draws from `seed` and places parameters on `device`.
    pub fn new(seed: Seed, device: &Device) -> Self {
        Self { seed, device: device.clone() }
    }
}

impl ParamSource for RandomParams {
    fn values(&mut self, name: &str, shape: &[usize], initializer: Initializer) -> Result<Vec<f32>> {
        let size = shape.iter().product();
        let mut rng = self.seed.child(name).rng();
        Ok(match initializer {
            Initializer::Normal(std) => {
                let normal = Normal::new(0.0, std).expect("the standard deviation must be finite");
                (0..size).map(|_| normal.sample(&mut rng) as f32).collect()
            }
            Initializer::Constant(value) => vec![value; size],
            Initializer::Sample(sample) => (0..size).map(|_| sample(&mut rng)).collect(),
            Initializer::Values(values) => {
                assert_eq!(values.len(), size, "the initial values of `{name}` do not fill its shape");
                values
            }
        })
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

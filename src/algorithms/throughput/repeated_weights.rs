//! Random weights for timing. Each weight matrix repeats one block of random numbers, the tile. Weights are
//! therefore generated quickly, even for large models.

use burn::tensor::{DType, Device};
use rand_distr::{Distribution, StandardNormal};

use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::{Initializer, ParamSource};
use dtr_ops::preferred_dtype;

/// The number of random numbers in a tile. It is prime, so that the rows of a weight matrix start at
/// different places of the tile.
const TILE_SIZE: usize = 65_521;

/// A source of parameters that fills each random parameter with copies of a tile.
pub struct RepeatedRandomWeights {
    seed: Seed,
    normal: Vec<f32>,
    device: Device,
    dtype: DType,
}

impl RepeatedRandomWeights {
    /// Returns a source of parameters on `device`, in the dtype that is fastest there.
    pub fn new(seed: Seed, device: &Device) -> Self {
        let mut rng = seed.child("normal").rng();
        let normal = (0..TILE_SIZE).map(|_| StandardNormal.sample(&mut rng)).collect();
        Self { seed, normal, device: device.clone(), dtype: preferred_dtype(device) }
    }

    /// Returns the same source with parameters in `dtype`.
    #[must_use]
    pub fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }
}

impl ParamSource for RepeatedRandomWeights {
    fn values(&mut self, name: &str, shape: &[usize], initializer: Initializer) -> Result<Vec<f32>> {
        let size = shape.iter().product();
        Ok(match initializer {
            Initializer::Normal(deviation) => {
                let tile: Vec<f32> = self.normal.iter().map(|number| number * deviation as f32).collect();
                repeat(&tile, size)
            }
            Initializer::Constant(value) => vec![value; size],
            Initializer::Sample(sample) => {
                let mut rng = self.seed.child(name).rng();
                let tile: Vec<f32> = (0..size.min(TILE_SIZE)).map(|_| sample(&mut rng)).collect();
                repeat(&tile, size)
            }
            Initializer::Values(values) => values,
        })
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

fn repeat(tile: &[f32], size: usize) -> Vec<f32> {
    let mut numbers = tile.repeat(size.div_ceil(tile.len()));
    numbers.truncate(size);
    numbers
}

//! Weights that say nothing: enough to time a shape, and made quickly however large it is.

use burn::tensor::{DType, Device};
use rand_distr::{Distribution, StandardNormal};

use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::{Initializer, ParamSource};
use dtr_ops::preferred_dtype;

/// Numbers that are drawn, and repeated to fill a parameter; no width of a model is a multiple of it.
const TILE: usize = 65_521;

/// Makes parameters of a few thousand random numbers each, repeated.
pub struct Tiled {
    seed: Seed,
    normal: Vec<f32>,
    device: Device,
    dtype: DType,
}

impl Tiled {
    /// Parameters drawn from `seed`, placed on `device` and computed in the dtype that it is fastest in.
    pub fn new(seed: Seed, device: &Device) -> Self {
        let mut rng = seed.child("normal").rng();
        let normal = (0..TILE).map(|_| StandardNormal.sample(&mut rng)).collect();
        Self { seed, normal, device: device.clone(), dtype: preferred_dtype(device) }
    }

    /// The same computed in `dtype`.
    #[must_use]
    pub fn computing_in(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }
}

impl ParamSource for Tiled {
    fn make(&mut self, name: &str, shape: &[usize], fill: Initializer) -> Result<Vec<f32>> {
        let size = shape.iter().product();
        Ok(match fill {
            Initializer::Normal(deviation) => {
                let tile: Vec<f32> = self.normal.iter().map(|number| number * deviation as f32).collect();
                repeat(&tile, size)
            }
            Initializer::Constant(value) => vec![value; size],
            Initializer::Draw(draw) => {
                let mut rng = self.seed.child(name).rng();
                let tile: Vec<f32> = (0..size.min(TILE)).map(|_| draw(&mut rng)).collect();
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

/// `size` numbers, those of `tile` again and again.
fn repeat(tile: &[f32], size: usize) -> Vec<f32> {
    let mut numbers = tile.repeat(size.div_ceil(tile.len()));
    numbers.truncate(size);
    numbers
}

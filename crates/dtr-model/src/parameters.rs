//! Parameters by name: made from a file or from a seed, visited by optimisers and writers.

use std::mem::replace;

use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use dtr_core::error::Result;
use dtr_core::seed::Seed;

/// How a parameter starts where no file gives it.
#[derive(Clone)]
pub enum Initializer {
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Every element the same.
    Constant(f32),
    /// Drawn one by one.
    Draw(fn(&mut ChaCha8Rng) -> f32),
    /// Given, row-major.
    Values(Vec<f32>),
}

impl Initializer {
    /// Normal with standard deviation `1/sqrt(inputs)`: keeps the scale of what it projects.
    pub fn fan_in(inputs: usize) -> Self {
        Self::Normal((inputs as f64).powf(-0.5))
    }

    /// The same for a projection that writes to the residual stream of `num_layers` layers, divided by
    /// `sqrt(2 · num_layers)` so that the stream's scale does not grow with depth (GPT-2).
    pub fn into_residual(inputs: usize, num_layers: usize) -> Self {
        Self::Normal((2.0 * (inputs * num_layers) as f64).powf(-0.5))
    }
}

/// Something that makes parameters: a [`Random`] source, or a file that must hold each by name,
/// shape and dtype.
pub trait ParamSource {
    /// The parameter `name` of `shape`, f32 row-major.
    fn make(&mut self, name: &str, shape: &[usize], fill: Initializer) -> Result<Vec<f32>>;

    /// The device parameters live on.
    fn device(&self) -> &Device;

    /// What they are computed in.
    fn dtype(&self) -> DType {
        DType::F32
    }
}

impl dyn ParamSource + '_ {
    /// A matrix `[rows, columns]`.
    pub fn matrix(&mut self, name: &str, shape: [usize; 2], fill: Initializer) -> Result<Tensor<2>> {
        let values = self.make(name, &shape, fill)?;
        let size = values.len();
        // By way of a row, since a device may pad rows that it is given as a matrix.
        Ok(place(TensorData::new(values, [size]), self.device(), self.dtype()).reshape(shape))
    }

    /// A vector.
    pub fn vector(&mut self, name: &str, size: usize, fill: Initializer) -> Result<Tensor<1>> {
        let values = self.make(name, &[size], fill)?;
        Ok(place(TensorData::new(values, [size]), self.device(), self.dtype()))
    }

    /// A vector that is computed in f32 whatever the others are, as rates of decay are.
    pub fn exact_vector(&mut self, name: &str, size: usize, fill: Initializer) -> Result<Tensor<1>> {
        let values = self.make(name, &[size], fill)?;
        Ok(place(TensorData::new(values, [size]), self.device(), DType::F32))
    }
}

/// A parameter where it stays: on a GPU apart from what comes and goes, so that neither leaves gaps between the other's.
fn place(values_n: TensorData, device: &Device, dtype: DType) -> Tensor<1> {
    device.memory_persistent_allocations(values_n, |values| Tensor::from_data(values, (device, dtype)))
}

/// Draws each parameter from a seed of its own name, so that adding one never changes another.
pub struct Random {
    seed: Seed,
    device: Device,
}

impl Random {
    /// Parameters drawn from `seed`, placed on `device`.
    pub fn new(seed: Seed, device: &Device) -> Self {
        Self { seed, device: device.clone() }
    }
}

impl ParamSource for Random {
    fn make(&mut self, name: &str, shape: &[usize], fill: Initializer) -> Result<Vec<f32>> {
        let size = shape.iter().product();
        let mut rng = self.seed.child(name).rng();
        Ok(match fill {
            Initializer::Normal(std) => {
                let normal = Normal::new(0.0, std).expect("a standard deviation is finite");
                (0..size).map(|_| normal.sample(&mut rng) as f32).collect()
            }
            Initializer::Constant(value) => vec![value; size],
            Initializer::Draw(draw) => (0..size).map(|_| draw(&mut rng)).collect(),
            Initializer::Values(values) => {
                assert_eq!(values.len(), size, "values given for `{name}` fill its shape");
                values
            }
        })
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

/// A parameter as visitors see it.
pub enum ParamMut<'a> {
    /// A vector: a bias, a norm's weight, a decay; never weight-decayed.
    Vector(&'a mut Tensor<1>),
    /// A vector that is computed in f32 whatever the others are.
    Exact(&'a mut Tensor<1>),
    /// A matrix.
    Matrix(&'a mut Tensor<2>),
}

impl ParamMut<'_> {
    /// The shape, as stored in files.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(tensor) | Self::Exact(tensor) => tensor.dims().to_vec(),
            Self::Matrix(tensor) => tensor.dims().to_vec(),
        }
    }

    /// The values as one row, on the parameter's device.
    pub fn flat(&self) -> Tensor<1> {
        match self {
            Self::Vector(tensor) | Self::Exact(tensor) => (**tensor).clone(),
            Self::Matrix(tensor) => (**tensor).clone().flatten::<1>(0, 1),
        }
    }

    /// Replaces the values with a row of as many.
    pub fn set(&mut self, flat: Tensor<1>) {
        match self {
            Self::Vector(tensor) | Self::Exact(tensor) => **tensor = flat,
            Self::Matrix(tensor) => {
                let shape = tensor.dims();
                **tensor = flat.reshape(shape);
            }
        }
    }

    /// Replaces the values with what `next` makes of them, as one row that nothing else holds here.
    pub fn change(&mut self, next: impl FnOnce(Tensor<1>) -> Tensor<1>) {
        match self {
            Self::Vector(tensor) | Self::Exact(tensor) => {
                let nothing = Tensor::empty([0], &tensor.device());
                **tensor = next(replace(*tensor, nothing));
            }
            Self::Matrix(tensor) => {
                let (shape, nothing) = (tensor.dims(), Tensor::empty([0, 0], &tensor.device()));
                **tensor = next(replace(*tensor, nothing).flatten::<1>(0, 1)).reshape(shape);
            }
        }
    }

    /// Has the parameter computed in `dtype`.
    fn cast(&mut self, dtype: DType) {
        let is_in = match self {
            Self::Exact(_) => true,
            Self::Vector(tensor) => tensor.dtype() == dtype,
            Self::Matrix(tensor) => tensor.dtype() == dtype,
        };
        if !is_in {
            self.set(self.flat().cast(dtype));
        }
    }

    /// Makes the parameter a leaf that gradients are kept for.
    fn track(&mut self) {
        match self {
            Self::Vector(tensor) | Self::Exact(tensor) => {
                **tensor = tensor.clone().autodiff().require_grad();
            }
            Self::Matrix(tensor) => **tensor = tensor.clone().autodiff().require_grad(),
        }
    }

    /// The gradient as one row; zeros where the loss does not depend on the parameter.
    fn gradient(&self, gradients: &mut Gradients) -> Tensor<1> {
        let gradient = match self {
            Self::Vector(tensor) | Self::Exact(tensor) => tensor.grad_remove(gradients),
            Self::Matrix(tensor) => tensor.grad_remove(gradients).map(|g| g.flatten::<1>(0, 1)),
        };
        gradient.unwrap_or_else(|| self.flat().inner().zeros_like())
    }
}

/// A module whose parameters can be visited, always in the same order.
pub trait Parameters {
    /// Calls `visitor` with each parameter's name below this module and the parameter.
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>));
}

/// The number of elements of all parameters.
pub fn count_parameters(module: &mut impl Parameters) -> u64 {
    let mut count = 0;
    module.visit(&mut |_, slot| count += slot.shape().iter().product::<usize>() as u64);
    count
}

/// The same module computed in `dtype`.
pub fn computing_in<M: Parameters>(mut module: M, dtype: DType) -> M {
    module.visit(&mut |_, mut slot| slot.cast(dtype));
    module
}

/// A copy of a module whose parameters are leaves of a fresh autodiff graph.
pub struct Tracked<M>(pub M);

impl<M: Parameters + Clone> Tracked<M> {
    /// Starts a graph at `module`'s parameters, computed in `dtype`.
    pub fn new(module: &M, dtype: DType) -> Self {
        let mut copy = computing_in(module.clone(), dtype);
        copy.visit(&mut |_, mut slot| slot.track());
        Self(copy)
    }

    /// The gradients of `loss` in visiting order, each as one row in what it was computed in.
    pub fn gradients(mut self, loss: &Tensor<1>) -> Vec<Tensor<1>> {
        let mut gradients = loss.backward();
        let mut rows = Vec::new();
        self.0.visit(&mut |_, slot| rows.push(slot.gradient(&mut gradients)));
        rows
    }
}

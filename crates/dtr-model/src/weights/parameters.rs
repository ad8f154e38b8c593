//! Access to the parameters of a module by name.

use std::mem::replace;

use burn::tensor::{DType, Gradients, Tensor};

use super::ParamSource;
use dtr_core::error::Result;

/// A module whose parameters can be visited, always in the same order.
pub trait Parameters {
    /// Calls `visitor` with each parameter and its name relative to this module.
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>));
}

/// A mutable reference to a parameter.
pub enum ParamMut<'a> {
    /// A bias or the weight of a norm. AdamW applies no weight decay to it.
    Vector(&'a mut Tensor<1>),
    /// A vector that stays in f32 even if other parameters are cast. AdamW applies no weight decay to it.
    F32Vector(&'a mut Tensor<1>),
    /// A matrix.
    Matrix(&'a mut Tensor<2>),
}

impl ParamMut<'_> {
    /// Returns the shape, which is also the shape in files.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => tensor.dims().to_vec(),
            Self::Matrix(tensor) => tensor.dims().to_vec(),
        }
    }

    /// Returns the number of elements.
    pub fn num_elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Returns the values as a vector, `[n]`, on the parameter's device.
    pub fn flat(&self) -> Tensor<1> {
        match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => (**tensor).clone(),
            Self::Matrix(tensor) => (**tensor).clone().flatten::<1>(0, 1),
        }
    }

    /// Sets the values from `flat`, `[n]`.
    pub fn set(&mut self, flat: Tensor<1>) {
        match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => **tensor = flat,
            Self::Matrix(tensor) => {
                let shape = tensor.dims();
                **tensor = flat.reshape(shape);
            }
        }
    }

    /// Replaces the values, `[n]`, with the result of `update`. The argument of `update` is the only
    /// reference to its memory, so that `update` can write in place.
    pub fn update(&mut self, update: impl FnOnce(Tensor<1>) -> Tensor<1>) {
        match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => {
                let placeholder = Tensor::empty([0], &tensor.device());
                **tensor = update(replace(*tensor, placeholder));
            }
            Self::Matrix(tensor) => {
                let (shape, placeholder) = (tensor.dims(), Tensor::empty([0, 0], &tensor.device()));
                **tensor = update(replace(*tensor, placeholder).flatten::<1>(0, 1)).reshape(shape);
            }
        }
    }

    /// Casts the parameter to `dtype`, unless it has to stay in f32.
    pub fn cast(&mut self, dtype: DType) {
        let is_done = match self {
            Self::F32Vector(_) => true,
            Self::Vector(tensor) => tensor.dtype() == dtype,
            Self::Matrix(tensor) => tensor.dtype() == dtype,
        };
        if !is_done {
            self.set(self.flat().cast(dtype));
        }
    }

    fn read(&mut self, name: &str, source: &mut dyn ParamSource) -> Result<()> {
        let dtype = self.flat().dtype();
        let shape = self.shape();
        let values = source.flat_f32(name, &shape)?;
        self.set(values.cast(dtype));
        Ok(())
    }

    /// Makes the parameter a leaf of an autodiff graph.
    pub(super) fn require_grad(&mut self) {
        match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => {
                **tensor = tensor.clone().autodiff().require_grad();
            }
            Self::Matrix(tensor) => **tensor = tensor.clone().autodiff().require_grad(),
        }
    }

    /// Makes the parameter a constant of an autodiff graph.
    pub(super) fn make_constant(&mut self) {
        match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => **tensor = tensor.clone().autodiff(),
            Self::Matrix(tensor) => **tensor = tensor.clone().autodiff(),
        }
    }

    /// Removes the gradient, `[n]`, from `gradients` and returns it. The gradient is zero if the loss does
    /// not depend on the parameter.
    pub(super) fn take_gradient(&self, gradients: &mut Gradients) -> Tensor<1> {
        let gradient = match self {
            Self::Vector(tensor) | Self::F32Vector(tensor) => tensor.grad_remove(gradients),
            Self::Matrix(tensor) => tensor.grad_remove(gradients).map(|g| g.flatten::<1>(0, 1)),
        };
        gradient.unwrap_or_else(|| self.flat().inner().zeros_like())
    }
}

/// The parameters of a module for whose names a condition holds.
pub struct SelectedParameters<'a, M, F> {
    /// The module.
    pub module: &'a mut M,
    /// Returns whether the parameter of a name is selected.
    pub is_selected: F,
}

impl<M: Parameters, F: Fn(&str) -> bool> Parameters for SelectedParameters<'_, M, F> {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        let is_selected = &self.is_selected;
        self.module.visit(&mut |name, param| {
            if is_selected(name) {
                visitor(name, param);
            }
        });
    }
}

/// Sets the parameters of `module` to the values of `source`, under their names. The parameters keep their
/// dtypes.
///
/// # Errors
/// Fails if `source` lacks a parameter, or holds it in another shape.
pub fn read_parameters(module: &mut impl Parameters, source: &mut dyn ParamSource) -> Result<()> {
    let mut result = Ok(());
    module.visit(&mut |name, mut param| {
        if result.is_ok() {
            result = param.read(name, source);
        }
    });
    result
}

/// Returns the total number of elements of all parameters.
pub fn count_parameters(module: &mut impl Parameters) -> u64 {
    let mut count = 0;
    module.visit(&mut |_, param| count += param.num_elements() as u64);
    count
}

/// Casts the parameters of a module to `dtype`, except those that stay in f32.
pub fn to_dtype<M: Parameters>(mut module: M, dtype: DType) -> M {
    module.visit(&mut |_, mut param| param.cast(dtype));
    module
}

//! A linear projection.

use burn::tensor::{DType, Tensor};

use crate::{Initializer, ParamMut, ParamSource};
use dtr_core::error::Result;

/// A linear projection, `y = x Wᵀ + b`, of one layer or of a stack of layers.
#[derive(Clone)]
pub struct Linear {
    /// The weight, `[out, in]`, or `[layers·out, in]` for a stack of layers.
    pub(crate) weight: Tensor<2>,
    /// The bias, `[out]`, or `[layers·out]` for a stack of layers.
    pub(crate) bias: Option<Tensor<1>>,
    /// The output width of one layer.
    outputs: usize,
}

impl Linear {
    /// Creates a projection of `shape`, `[out, in]`, without bias.
    pub(crate) fn new(
        params: &mut dyn ParamSource,
        name: &str,
        shape: [usize; 2],
        initializer: Initializer,
    ) -> Result<Self> {
        let weight = params.matrix(&format!("{name}.weight"), shape, initializer)?;
        Ok(Self { weight: dtr_ops::to_column_major(weight), bias: None, outputs: shape[0] })
    }

    /// Adds a bias, `[out]`.
    pub(super) fn with_bias(
        mut self,
        params: &mut dyn ParamSource,
        name: &str,
        initializer: Initializer,
    ) -> Result<Self> {
        self.bias = Some(params.vector(&format!("{name}.bias"), self.outputs, initializer)?);
        Ok(self)
    }

    /// Creates a projection of `shape`, `[out, in]`. Its initial values are copied from `original`, or drawn
    /// at random if `original` is `None`.
    pub(super) fn copy_or_random(
        original: Option<&Self>,
        has_bias: bool,
        params: &mut dyn ParamSource,
        name: &str,
        shape: [usize; 2],
    ) -> Result<Self> {
        let weight =
            original.map_or(Initializer::fan_in(shape[1]), |original| copied_values(&original.weight));
        let linear = Self::new(params, name, shape, weight)?;
        if !has_bias {
            return Ok(linear);
        }
        let bias = original.and_then(|original| original.bias.as_ref()).map(copied_values);
        linear.with_bias(params, name, bias.unwrap_or(Initializer::Constant(0.0)))
    }

    /// Projects `x_btd`, `[b, t, in]`, to `[b, t, out]`.
    pub(crate) fn forward(&self, x_btd: Tensor<3>) -> Tensor<3> {
        match self.num_layers() {
            1 => dtr_ops::linear(x_btd, &self.weight, self.bias.as_ref()),
            layers => dtr_ops::stacked_linear(x_btd, &self.weight, self.bias.as_ref(), layers),
        }
    }

    /// Returns the number of layers in the stack.
    pub(super) fn num_layers(&self) -> usize {
        self.weight.dims()[0] / self.outputs
    }

    /// Visits the parameters as `name.weight` and `name.bias`.
    pub(crate) fn visit(&mut self, name: &str, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        visitor(&format!("{name}.weight"), ParamMut::Matrix(&mut self.weight));
        if let Some(bias) = &mut self.bias {
            visitor(&format!("{name}.bias"), ParamMut::Vector(bias));
        }
    }
}

/// Returns an initializer with the values of `tensor`.
pub(super) fn copied_values<const D: usize>(tensor: &Tensor<D>) -> Initializer {
    let values = tensor.clone().cast(DType::F32).into_data().try_to_vec();
    Initializer::Values(values.expect("the values were cast to f32"))
}

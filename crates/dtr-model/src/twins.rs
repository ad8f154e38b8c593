//! The twins of a base's layers, all of one variant.

use burn::tensor::DType;

use super::decoder::Decoder;
use super::mixer::Mixer;
use super::parameters::{ParamMut, ParamSource, Parameters, computing_in};
use crate::Variant;
use dtr_core::error::Result;

/// One twin for each layer of a base.
#[derive(Clone)]
pub struct Twins {
    /// The twin of each layer, in order.
    pub layers: Vec<Mixer>,
}

impl Twins {
    /// Twins of `base` as `variant` describes them, with parameters from `make`.
    pub fn new(variant: &Variant, base: &Decoder, make: &mut dyn ParamSource) -> Result<Self> {
        let layers = (0..base.config.num_layers).map(|layer| Self::one(variant, base, layer, make));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// The twin of one layer, as all of them would hold it.
    pub fn one(variant: &Variant, base: &Decoder, layer: usize, make: &mut dyn ParamSource) -> Result<Mixer> {
        Mixer::twin(variant, &base.config, base.attention(layer), make, &Self::name(layer))
    }

    /// The same computed in `dtype`.
    #[must_use]
    pub fn computing_in(self, dtype: DType) -> Self {
        computing_in(self, dtype)
    }

    /// The name under which a layer's twin is stored.
    pub fn name(layer: usize) -> String {
        format!("layers.{layer}")
    }
}

impl Parameters for Twins {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        for (layer, twin) in self.layers.iter_mut().enumerate() {
            twin.visit(&mut |part, slot| visitor(&format!("{}.{part}", Self::name(layer)), slot));
        }
    }
}

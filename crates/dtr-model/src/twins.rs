//! Twins: the linear blocks that are trained to replace the attention of a base's layers.

use burn::tensor::DType;

use crate::{Decoder, Mixer, ParamMut, ParamSource, Parameters, TwinVariant, to_dtype};
use dtr_core::error::Result;

/// One twin for each layer of a base, all of one variant.
///
/// ```
/// # fn main() -> dtr_core::error::Result<()> {
/// use burn::tensor::Device;
/// use dtr_core::seed::Seed;
/// use dtr_model::testing;
/// use dtr_model::{BlockConfig, GlaConfig, Hybrid, Mask, RandomParams, TwinInit, TwinVariant, Twins};
///
/// let base = testing::decoder(false, false);
/// let variant = TwinVariant {
///     block: BlockConfig::Gla(GlaConfig::default()),
///     geometry: Default::default(),
///     init: TwinInit::Copy,
/// };
/// let twins = Twins::new(&variant, &base, &mut RandomParams::new(Seed(1), &Device::flex()))?;
/// let hybrid = Hybrid::new(&base, &twins, &Mask::empty().with_layer(2));
/// let hidden = hybrid.forward_hidden(&[vec![7, 8, 9]], None, None);
/// assert_eq!(hidden.dims(), [1, 3, base.config.hidden_size]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Twins {
    /// The twin of each layer, in order.
    pub layers: Vec<Mixer>,
}

impl Twins {
    /// Creates the twins of all layers of `base`. Their parameters come from `params`.
    ///
    /// # Errors
    /// Fails when the variant does not fit the base, or `params` lacks a parameter.
    pub fn new(variant: &TwinVariant, base: &Decoder, params: &mut dyn ParamSource) -> Result<Self> {
        let layers = (0..base.config.num_layers).map(|layer| Self::new_layer(variant, base, layer, params));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// Creates the twin of one layer. It equals the twin that [`Twins::new`] creates for this layer.
    ///
    /// # Errors
    /// Fails when [`Twins::new`] does.
    pub fn new_layer(
        variant: &TwinVariant,
        base: &Decoder,
        layer: usize,
        params: &mut dyn ParamSource,
    ) -> Result<Mixer> {
        Mixer::new_twin(variant, &base.config, base.attention(layer), params, &Self::layer_name(layer))
    }

    /// Casts the parameters to `dtype`.
    #[must_use]
    pub fn to_dtype(self, dtype: DType) -> Self {
        to_dtype(self, dtype)
    }

    /// Returns the prefix that a twin's parameter names have in files.
    pub fn layer_name(layer: usize) -> String {
        format!("layers.{layer}")
    }
}

impl Parameters for Twins {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        for (layer, twin) in self.layers.iter_mut().enumerate() {
            twin.visit(&mut |part, param| visitor(&format!("{}.{part}", Self::layer_name(layer)), param));
        }
    }
}

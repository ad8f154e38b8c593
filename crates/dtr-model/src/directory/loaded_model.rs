//! Reads a base or an exported hybrid from a directory, in order to run the model. [`crate`] defines bases
//! and hybrids.

use std::path::Path;

use burn::tensor::{DType, Device};

use super::model_weights::open_model_weights;
use super::{BaseModel, ConfigJson};
use crate::{Decoder, Hybrid, Mask, Mixer, Tokenizer};
use dtr_core::error::Result;

/// A base that was read from a Hugging Face directory or a GGUF file, or a hybrid that was read from a
/// directory.
///
/// ```no_run
/// # fn main() -> dtr_core::error::Result<()> {
/// use burn::tensor::Device;
/// use dtr_model::LoadedModel;
///
/// let model = LoadedModel::read("exported-hybrid".as_ref(), &Device::flex())?;
/// println!("replaced layers: {:?}", model.mask.layers());
/// # Ok(())
/// # }
/// ```
pub struct LoadedModel {
    /// The decoder. In its replaced layers, twins take the place of the attention.
    pub decoder: Decoder,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The replaced layers. A base has none.
    pub mask: Mask,
    /// The names of stored tensors that the model does not use. dtr ignores these tensors, as transformers
    /// does.
    pub unused_tensors: Vec<String>,
}

impl LoadedModel {
    /// Reads `config.json`, the weights and `tokenizer.json` of `directory` onto `device` in f32.
    ///
    /// # Errors
    /// Fails when a file is missing or damaged, the architecture is unsupported, or a tensor is missing or
    /// has a wrong shape.
    pub fn read(directory: &Path, device: &Device) -> Result<Self> {
        Self::read_with_dtype(directory, device, DType::F32)
    }

    /// Reads a model as [`LoadedModel::read`] does and casts its parameters to `dtype`.
    ///
    /// # Errors
    /// Fails when [`LoadedModel::read`] fails.
    pub fn read_with_dtype(directory: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let ConfigJson { mut config, mask, variant } = ConfigJson::read(directory)?;
        let mut weights = open_model_weights(directory, &mut config, device)?.with_dtype(dtype);
        let decoder = Decoder::with_mixers(&config, &mut weights, |layer, params, name| match &variant {
            Some(variant) if mask.contains(layer as u32) => {
                Mixer::new_linear_block(variant, &config, params, name)
            }
            _ => Mixer::new_full_attention(&config, params, name),
        })?;
        let unused_tensors = weights.unread_names();
        Ok(Self { decoder, tokenizer: BaseModel::read_tokenizer(directory)?, mask, unused_tensors })
    }

    /// Returns the model as a [`Hybrid`], which runs forward passes.
    pub fn hybrid(&self) -> Hybrid<'_> {
        Hybrid::from_base(&self.decoder)
    }
}

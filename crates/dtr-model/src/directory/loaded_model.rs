//! Reading a base or an exported hybrid in order to run it.

use std::path::Path;

use burn::tensor::{DType, Device};

use super::base_model::ignore_tied_head;
use super::weight_files::weight_files;
use super::{BaseModel, ConfigJson};
use crate::{Decoder, Hybrid, Mask, Mixer, SafetensorsReader, Tokenizer};
use dtr_core::error::Result;

/// A base or a hybrid that was read from a Hugging Face directory.
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
    /// The decoder. Its replaced layers hold their twins.
    pub decoder: Decoder,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The replaced layers. A base has none.
    pub mask: Mask,
}

impl LoadedModel {
    /// Reads `config.json`, the weights and `tokenizer.json` of `directory` onto `device` in f32.
    ///
    /// # Errors
    /// Fails when a file is missing or damaged, the architecture is unsupported, or a tensor is missing,
    /// unknown or misshapen.
    pub fn read(directory: &Path, device: &Device) -> Result<Self> {
        Self::read_with_dtype(directory, device, DType::F32)
    }

    /// Reads a model as [`LoadedModel::read`] does and casts its parameters to `dtype`.
    ///
    /// # Errors
    /// Fails when [`LoadedModel::read`] does.
    pub fn read_with_dtype(directory: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let ConfigJson { config, mask, variant } = ConfigJson::read(directory)?;
        let mut weights = SafetensorsReader::open(&weight_files(directory)?, device)?.with_dtype(dtype);
        ignore_tied_head(&mut weights, &config);
        let decoder = Decoder::with_mixers(&config, &mut weights, |layer, params, name| match &variant {
            Some(variant) if mask.contains(layer as u32) => {
                Mixer::new_linear_block(variant, &config, params, name)
            }
            _ => Mixer::new_full_attention(&config, params, name),
        })?;
        weights.ensure_all_read()?;
        Ok(Self { decoder, tokenizer: BaseModel::read_tokenizer(directory)?, mask })
    }

    /// Returns the model as a [`Hybrid`], which runs forward passes.
    pub fn hybrid(&self) -> Hybrid<'_> {
        Hybrid::from_base(&self.decoder)
    }
}

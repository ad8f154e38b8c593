//! Reading what runs: a base, or a hybrid that was exported.

use std::path::Path;

use burn::tensor::{DType, Device};

use super::written::Written;
use crate::decoder::Decoder;
use crate::hybrid::Hybrid;
use crate::import::{Base, Checkpoint, weight_files};
use crate::mask::Mask;
use crate::mixer::Mixer;
use crate::tokenizer::Tokenizer;
use dtr_core::error::Result;

/// A base or a hybrid, ready to run.
pub struct Model {
    /// The decoder; its replaced layers hold their twins.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The layers that are replaced; none in a base.
    pub mask: Mask,
}

impl Model {
    /// Reads `config.json`, the weights and `tokenizer.json` of `directory` onto `device`, computed in f32.
    ///
    /// # Errors
    /// When something is missing or left over, of another shape or dtype, or not served.
    pub fn read(directory: &Path, device: &Device) -> Result<Self> {
        Self::read_in(directory, device, DType::F32)
    }

    /// The same computed in `dtype`.
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn read_in(directory: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let Written { config, mask, variant } = Written::read(directory)?;
        let mut weights = Checkpoint::read(&weight_files(directory)?, device)?.computing_in(dtype);
        weights.forget_tied(&config);
        let decoder = Decoder::with_mixers(&config, &mut weights, |layer, make, name| match &variant {
            Some(variant) if mask.contains(layer as u32) => Mixer::linear(variant, &config, make, name),
            _ => Mixer::full(&config, make, name),
        })?;
        weights.finish()?;
        Ok(Self { decoder, tokenizer: Base::tokenizer(directory)?, mask })
    }

    /// What computes.
    pub fn hybrid(&self) -> Hybrid<'_> {
        Hybrid::base(&self.decoder)
    }
}

//! Writes named tensors to safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::DType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};

use super::{Initializer, ParamMut, ParamSource, Parameters};
use dtr_core::error::{Error, Result};
use dtr_core::files::write_bytes_atomically;

/// The key of [`NamedTensors::set_metadata_text`]'s text in the metadata of a file.
pub(super) const METADATA_KEY: &str = "note";

/// Named tensors in memory, each with its shape and its values in f32.
#[derive(Clone, Default)]
pub struct NamedTensors {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    metadata_text: Option<String>,
}

impl NamedTensors {
    /// Copies all parameters of `module`.
    pub fn from_module(module: &mut impl Parameters) -> Self {
        let mut tensors = Self::default();
        module.visit(&mut |name, param: ParamMut<'_>| {
            let values = param.flat().cast(DType::F32).into_data().try_to_vec();
            tensors.insert(name, param.shape(), values.expect("the values were cast to f32"));
        });
        tensors
    }

    /// Adds one tensor.
    pub fn insert(&mut self, name: &str, shape: Vec<usize>, values: Vec<f32>) {
        self.tensors.insert(name.to_owned(), (shape, values));
    }

    /// Adds `prefix` to the name of every tensor.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        let rename = |(name, tensor)| (format!("{prefix}{name}"), tensor);
        Self { tensors: self.tensors.into_iter().map(rename).collect(), ..self }
    }

    /// Reads tensors of the same names and shapes from `source`. In `source`, their names begin with `prefix`.
    ///
    /// # Errors
    /// Fails when `source` lacks a tensor, or holds it in another shape.
    pub fn read_like(&self, source: &mut dyn ParamSource, prefix: &str) -> Result<Self> {
        let mut found = Self::default();
        for (name, (shape, _)) in &self.tensors {
            let values = source.values(&format!("{prefix}{name}"), shape, Initializer::Constant(0.0))?;
            found.insert(name, shape.clone(), values);
        }
        Ok(found)
    }

    /// Adds all tensors of `other`, but not its metadata text.
    pub fn extend(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
    }

    /// Sets the text that is stored in the metadata of the tensors' file. The text and the tensors are thus
    /// always written together.
    pub fn set_metadata_text(&mut self, text: String) {
        self.metadata_text = Some(text);
    }

    /// Writes the tensors to `path` in f32, atomically.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_bytes_atomically(path, &self.to_bytes()?)
    }

    /// Returns the content of a safetensors file in f32. Equal tensors and metadata texts give equal bytes.
    ///
    /// # Errors
    /// Fails when safetensors refuses the tensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.serialize(Dtype::F32)
    }

    /// Returns the content of a safetensors file in BF16.
    pub(crate) fn to_bf16_bytes(&self) -> Result<Vec<u8>> {
        self.serialize(Dtype::BF16)
    }

    fn serialize(&self, dtype: Dtype) -> Result<Vec<u8>> {
        let bytes: Vec<Vec<u8>> = self.tensors.values().map(|(_, values)| encode(values, dtype)).collect();
        let views = self.tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes).expect("the values must fill the shape");
            (name.clone(), view)
        });
        let metadata =
            self.metadata_text.iter().map(|text| (METADATA_KEY.to_owned(), text.clone())).collect();
        safetensors::serialize(views, Some(metadata))
            .map_err(|cause| Error::environment("cannot serialize tensors").with_source(cause))
    }
}

/// Returns `values` in F32, BF16 or F16, little-endian.
pub(crate) fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F16 => {
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            bytemuck::cast_slice(halves.reinterpret_cast()).to_vec()
        }
        Dtype::BF16 => {
            let mut halves = vec![bf16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            bytemuck::cast_slice(halves.reinterpret_cast()).to_vec()
        }
        _ => bytemuck::cast_slice(values).to_vec(),
    }
}

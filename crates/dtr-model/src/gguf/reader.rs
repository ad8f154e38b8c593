//! Reads parameters from a GGUF file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};

use super::tensor_names::transformers_name;
use super::tensor_values::GgufTensor;
use crate::weights::{base_tensors, ensure_finite};
use crate::{DecoderConfig, Initializer, ParamSource};
use dtr_core::error::{Error, Result};

/// A reader of the tensors of a GGUF file, by their names in transformers. Each tensor can be read once. The
/// reader loads and dequantises the values of a tensor only at that time.
pub(crate) struct GgufReader {
    tensors: BTreeMap<String, GgufTensor>,
    path: PathBuf,
    device: Device,
    dtype: DType,
}

impl GgufReader {
    /// Creates a reader of the tensors of the file at `path`.
    ///
    /// # Errors
    /// Fails when a tensor is repeated, is not part of a decoder with this configuration, or has another
    /// shape than in the decoder. llama.cpp also refuses such a file.
    pub(super) fn new(
        tensors: impl Iterator<Item = GgufTensor>,
        config: &DecoderConfig,
        path: &Path,
        device: &Device,
    ) -> Result<Self> {
        let shapes: BTreeMap<String, Vec<usize>> = base_tensors(config).into_iter().collect();
        let mut reader = Self {
            tensors: BTreeMap::new(),
            path: path.to_owned(),
            device: device.clone(),
            dtype: DType::F32,
        };
        for tensor in tensors {
            let stored = &tensor.info.name;
            let found = transformers_name(stored).and_then(|name| shapes.get_key_value(&name));
            let Some((name, shape)) = found else {
                return Err(
                    reader.refuse(format!("holds the tensor {stored:?}, which its model does not have"))
                );
            };
            if tensor.shape() != shape {
                let found = tensor.shape();
                return Err(reader.refuse(format!("has the shape {found:?} for `{stored}`, not {shape:?}")));
            }
            if reader.tensors.insert(name.clone(), tensor).is_some() {
                return Err(reader.refuse(format!("has two tensors `{name}`")));
            }
        }
        Ok(reader)
    }

    /// Sets the dtype to which parameters are cast.
    pub(crate) fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// Checks that the tensor `name` exists, and marks it as read. [`GgufReader::new`] has checked the
    /// tensor's shape.
    ///
    /// # Errors
    /// Fails when the tensor is missing.
    pub(crate) fn check(&mut self, name: &str) -> Result<()> {
        self.take(name).map(drop)
    }

    /// Returns the tensors that were not read, by name.
    pub(crate) fn into_tensors(self) -> BTreeMap<String, GgufTensor> {
        self.tensors
    }

    fn take(&mut self, name: &str) -> Result<GgufTensor> {
        self.tensors.remove(name).ok_or_else(|| self.refuse(format!("has no tensor for `{name}`")))
    }

    fn refuse(&self, problem: String) -> Error {
        Error::environment(format!("cannot read weights from `{}`: it {problem}", self.path.display()))
    }
}

impl ParamSource for GgufReader {
    fn values(&mut self, name: &str, shape: &[usize], _: Initializer) -> Result<Vec<f32>> {
        let tensor = self.take(name)?;
        debug_assert_eq!(tensor.shape(), shape, "`GgufReader::new` checks the shapes");
        let values = tensor.values().map_err(|cause| Error::io("read", &self.path, cause))?;
        ensure_finite(values, name, &self.path)
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

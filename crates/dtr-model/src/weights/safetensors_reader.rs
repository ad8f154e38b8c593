//! Reads parameters from safetensors files. A missing tensor or a wrong shape is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use burn::tensor::{DType, Device};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::safetensors_writer::METADATA_KEY;
use super::{Initializer, ParamSource, SafetensorsHeader};
use dtr_core::error::{Error, Result};

/// A reader of the tensors of one or more safetensors files. Each tensor can be read once. Its values are
/// loaded only at that time.
pub struct SafetensorsReader {
    tensors: BTreeMap<String, StoredTensor>,
    metadata_text: Option<String>,
    /// The path of the file, or of the directory of several files, for error messages.
    origin: String,
    device: Device,
    dtype: DType,
}

/// A tensor whose values are not loaded yet. The file stays open: if another file replaces it at the same
/// path, the values still come from the opened file.
struct StoredTensor {
    info: TensorInfo,
    /// Offset of the values in the file, in bytes.
    start: u64,
    file: Rc<OpenFile>,
}

struct OpenFile {
    path: PathBuf,
    content: Content,
}

enum Content {
    File(File),
    Memory(Vec<u8>),
}

impl SafetensorsReader {
    /// Opens `files` and reads their headers.
    ///
    /// # Errors
    /// Fails when a file cannot be read or is damaged, or when two files hold a tensor of the same name.
    pub fn open(files: &[PathBuf], device: &Device) -> Result<Self> {
        let mut reader = Self::without_files(origin(files), device);
        for path in files {
            let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
            reader.add(path, Content::File(file))?;
        }
        Ok(reader)
    }

    /// Creates a reader of `bytes`, the content of the file at `path`.
    ///
    /// # Errors
    /// Fails when the content is damaged.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path, device: &Device) -> Result<Self> {
        let mut reader = Self::without_files(path.display().to_string(), device);
        reader.add(path, Content::Memory(bytes))?;
        Ok(reader)
    }

    fn without_files(origin: String, device: &Device) -> Self {
        Self {
            tensors: BTreeMap::new(),
            metadata_text: None,
            origin,
            device: device.clone(),
            dtype: DType::F32,
        }
    }

    /// Sets the dtype to which parameters are cast.
    pub(crate) fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    fn add(&mut self, path: &Path, content: Content) -> Result<()> {
        let mut header = match &content {
            Content::File(file) => SafetensorsHeader::read(file, path)?,
            Content::Memory(bytes) => SafetensorsHeader::read_from(&bytes[..], bytes.len() as u64, path)?,
        };
        self.metadata_text = header.metadata.remove(METADATA_KEY).or(self.metadata_text.take());
        let file = Rc::new(OpenFile { path: path.to_owned(), content });
        let refuse = |problem: String| {
            Error::environment(format!("cannot read weights from `{}`: {problem}", path.display()))
        };
        for (name, info) in header.tensors {
            if self.tensors.contains_key(&name) {
                return Err(refuse(format!("another file holds `{name}` too")));
            }
            let start = header.start + info.data_offsets.0 as u64;
            self.tensors.insert(name, StoredTensor { info, start, file: file.clone() });
        }
        Ok(())
    }

    /// Replaces the name of every tensor with `rename(name)`.
    ///
    /// # Errors
    /// Fails when two tensors get the same name.
    pub(crate) fn with_names(self, rename: impl Fn(String) -> String) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.tensors {
            let name = rename(name);
            if tensors.contains_key(&name) {
                return Err(Error::environment(format!("`{}` holds the tensor `{name}` twice", self.origin)));
            }
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors, ..self })
    }

    /// If there is a tensor `from`, renames it to `to`.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(tensor) = self.tensors.remove(from) {
            self.tensors.insert(to.to_owned(), tensor);
        }
    }

    /// Removes the tensors for whose names `is_ignored` returns true.
    pub(crate) fn ignore_if(&mut self, is_ignored: impl Fn(&str) -> bool) {
        self.tensors.retain(|name, _| !is_ignored(name));
    }

    /// Returns whether there is a tensor `name` that has not been read yet.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Returns whether two tensors have the same shape and the same values.
    ///
    /// # Errors
    /// Fails when a tensor is missing, cannot be read, or has an unsupported dtype.
    pub(crate) fn are_equal(&self, a: &str, b: &str) -> Result<bool> {
        let (a, b) = (self.find(a)?, self.find(b)?);
        Ok(a.info.shape == b.info.shape && a.values()? == b.values()?)
    }

    /// Returns the text that
    /// [`NamedTensors::set_metadata_text`](crate::NamedTensors::set_metadata_text) stored in the file.
    pub fn metadata_text(&self) -> Option<&str> {
        self.metadata_text.as_deref()
    }

    /// Checks that the tensor `name` exists and has the shape `shape`. The tensor then counts as read.
    ///
    /// # Errors
    /// Fails when the tensor is missing, has another shape, or has an unsupported dtype.
    pub(crate) fn check(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        self.take(name, shape).map(drop)
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<StoredTensor> {
        let found = self.find(name)?;
        if found.info.shape != shape {
            return Err(Error::environment(format!(
                "the shape of `{name}` in `{}` is {:?}, not {shape:?}",
                found.file.path.display(),
                found.info.shape
            )));
        }
        Ok(self.tensors.remove(name).expect("the tensor was found above"))
    }

    /// Returns the tensor `name`. Fails if it is missing or has an unsupported dtype.
    fn find(&self, name: &str) -> Result<&StoredTensor> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(Error::environment(format!("`{}` has no tensor `{name}`", self.origin)));
        };
        if !matches!(tensor.info.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            return Err(Error::environment(format!(
                "cannot read weights from `{}`: the dtype of `{name}` is {:?}, not F32, BF16 or F16",
                tensor.file.path.display(),
                tensor.info.dtype
            )));
        }
        Ok(tensor)
    }

    /// Returns the names of the tensors that have not been read yet, as a set.
    pub fn names(&self) -> BTreeSet<String> {
        self.tensors.keys().cloned().collect()
    }

    /// Forgets the tensors for whose names `is_kept` returns false.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.tensors.retain(|name, _| is_kept(name));
    }

    /// Returns the names of the tensors that have not been read.
    pub(crate) fn unread_names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// Checks that every tensor has been read.
    ///
    /// # Errors
    /// Fails when a tensor has not been read, which means that no parameter of the model has this name.
    pub fn ensure_all_read(self) -> Result<()> {
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::environment(format!(
                "`{}` holds {} tensor(s) that the model does not have, such as `{name}`",
                self.origin,
                self.tensors.len()
            ))),
        }
    }
}

/// Returns `values` unchanged if all are finite. `name` and `path` name the tensor and its file in errors.
///
/// # Errors
/// Fails when a value is infinite or not a number.
pub(crate) fn ensure_finite(values: Vec<f32>, name: &str, path: &Path) -> Result<Vec<f32>> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(Error::environment(format!("a value of `{name}` in `{}` is not finite", path.display()))
        .hint("the file is damaged, or its training diverged; download or train the weights again"))
}

/// Returns the path of a single file, or the directory of several files.
fn origin(files: &[PathBuf]) -> String {
    let path = match files {
        [file] => Some(file.as_path()),
        files => files.first().and_then(|file| file.parent()),
    };
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

impl ParamSource for SafetensorsReader {
    fn values(&mut self, name: &str, shape: &[usize], _: Initializer) -> Result<Vec<f32>> {
        let tensor = self.take(name, shape)?;
        let path = &tensor.file.path;
        ensure_finite(tensor.values()?, name, path)
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

impl StoredTensor {
    /// Reads the values and converts them to f32.
    fn values(&self) -> Result<Vec<f32>> {
        self.read().map_err(|cause| Error::io("read", &self.file.path, cause))
    }

    fn read(&self) -> io::Result<Vec<f32>> {
        let (start, stop) = self.info.data_offsets;
        match &self.file.content {
            Content::File(file) => {
                let mut bytes = vec![0; stop - start];
                file.read_exact_at(&mut bytes, self.start)?;
                Ok(to_f32(self.info.dtype, &bytes))
            }
            Content::Memory(bytes) => {
                Ok(to_f32(self.info.dtype, &bytes[self.start as usize..][..stop - start]))
            }
        }
    }
}

/// Converts little-endian F32, BF16 or F16 values to f32.
pub(crate) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    const { assert!(cfg!(target_endian = "little"), "safetensors is little-endian, the target is not") }
    if dtype == Dtype::F32 {
        return bytemuck::pod_collect_to_vec(bytes);
    }
    let bits = bytemuck::pod_collect_to_vec::<u8, u16>(bytes);
    let mut values = vec![0.0; bits.len()];
    match dtype {
        Dtype::BF16 => bits.reinterpret_cast::<bf16>().convert_to_f32_slice(&mut values),
        _ => bits.reinterpret_cast::<f16>().convert_to_f32_slice(&mut values),
    }
    values
}

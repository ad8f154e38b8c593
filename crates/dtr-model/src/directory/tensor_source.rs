//! Tensors to write: tensors that are copied from files, and tensors that are computed from their rows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::tensor_segment::Segment;
use crate::gguf::GgufTensor;
use crate::weights::{SafetensorsHeader, encode, to_f32};
use dtr_core::error::{Error, Result};

/// The most values of a tensor that are held in memory at once.
const CHUNK_VALUES: usize = 1 << 18;

/// The ends of the names of tensors that stay in F32, because other software computes with them in F32.
const F32_NAMES: [&str; 2] = [".A_log", ".dt_bias"];

/// A tensor to write, under its name in the new file.
#[derive(Clone)]
pub struct TensorSource {
    /// The name in the new file.
    pub name: String,
    pub(super) info: TensorInfo,
    values: ValueSource,
    /// Whether [`TensorSource::cast`] has no effect.
    is_f32_only: bool,
}

/// The source of a tensor's values.
#[derive(Clone)]
enum ValueSource {
    /// The bytes of a safetensors file from the byte `start` on.
    Bytes { file: PathBuf, start: u64 },
    /// A tensor of a GGUF file.
    Gguf(GgufTensor),
    /// Segments, one after another.
    Computed(Rc<[Segment]>),
}

impl TensorSource {
    /// Lists the tensors of `file`, ordered by name.
    ///
    /// # Errors
    /// Fails when the file or its header cannot be read.
    pub fn list(file: &Path) -> Result<Vec<Self>> {
        let opened = File::open(file).map_err(|cause| Error::io("read", file, cause))?;
        let header = SafetensorsHeader::read(&opened, file)?;
        let source = |(name, info): (String, TensorInfo)| {
            let start = header.start + info.data_offsets.0 as u64;
            Self::new(name, info, ValueSource::Bytes { file: file.to_owned(), start })
        };
        Ok(header.tensors.into_iter().map(source).collect())
    }

    /// Creates the source of the tensor `name` in the new file from a tensor of a GGUF file.
    pub fn from_gguf(name: String, tensor: GgufTensor) -> Self {
        let info = tensor_info(tensor.exact_dtype(), tensor.shape().to_vec());
        Self::new(name, info, ValueSource::Gguf(tensor))
    }

    /// Creates a tensor of the given shape from `segments`. Its dtype is that of the first tensor in them.
    ///
    /// # Panics
    /// Panics if the segments do not have as many values as the shape.
    pub fn computed(name: String, shape: Vec<usize>, segments: Vec<Segment>) -> Self {
        let num_values: usize = segments.iter().map(Segment::num_values).sum();
        assert_eq!(num_values, shape.iter().product::<usize>(), "{name}: the segments do not fill the shape");
        let dtype = segments.iter().find_map(Segment::dtype).unwrap_or(Dtype::F32);
        Self::new(name, tensor_info(dtype, shape), ValueSource::Computed(segments.into()))
    }

    fn new(name: String, info: TensorInfo, values: ValueSource) -> Self {
        let is_f32_only = F32_NAMES.iter().any(|end| name.ends_with(end));
        Self { name, info, values, is_f32_only }
    }

    /// Makes the tensor one that stays in F32, whatever dtype is asked for.
    #[must_use]
    pub fn in_f32(mut self) -> Self {
        self = self.with_dtype(Dtype::F32);
        self.is_f32_only = true;
        self
    }

    /// Rounds the values to `dtype`, unless the tensor stays in F32.
    #[must_use]
    pub fn cast(self, dtype: Dtype) -> Self {
        if self.is_f32_only { self } else { self.with_dtype(dtype) }
    }

    fn with_dtype(mut self, dtype: Dtype) -> Self {
        if self.info.dtype == dtype {
            return self;
        }
        if !matches!(self.values, ValueSource::Computed(_)) {
            self.values = ValueSource::Computed([Segment::all(&self)].into());
        }
        self.info = tensor_info(dtype, self.info.shape);
        self
    }

    /// Returns the sizes of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.info.shape
    }

    /// Returns the dtype of the tensor in the new file.
    pub fn dtype(&self) -> Dtype {
        self.info.dtype
    }

    /// Returns the number of values in a row. The values of a tensor with one dimension are its rows.
    pub fn row_len(&self) -> usize {
        self.info.shape.iter().skip(1).product()
    }

    pub(crate) fn num_bytes(&self) -> u64 {
        (self.info.data_offsets.1 - self.info.data_offsets.0) as u64
    }

    fn num_values(&self) -> usize {
        self.info.shape.iter().product()
    }

    /// Writes the values in the dtype of the new file, little-endian.
    ///
    /// # Errors
    /// Fails when a file cannot be read or written, or when a value does not fit in the dtype.
    pub(crate) fn copy_to(&self, out: &mut impl Write) -> io::Result<()> {
        if let ValueSource::Bytes { file, start } = &self.values {
            return copy_bytes(file, *start, self.num_bytes(), out);
        }
        self.for_each_chunk(0, self.num_values(), &mut |chunk| {
            self.ensure_in_range(chunk)?;
            out.write_all(&encode(chunk, self.info.dtype))
        })
    }

    /// F16 ends at 65504. A larger value would become infinite.
    fn ensure_in_range(&self, values: &[f32]) -> io::Result<()> {
        let is_too_large = |value: &f32| value.is_finite() && half::f16::from_f32(*value).is_infinite();
        match values.iter().find(|value| self.info.dtype == Dtype::F16 && is_too_large(value)) {
            Some(value) => Err(io::Error::other(format!("{value} in `{}` does not fit in f16", self.name))),
            None => Ok(()),
        }
    }

    /// Calls `callback` with the values from `start` on, in chunks. `count` is the number of values.
    pub(super) fn for_each_chunk(
        &self,
        start: usize,
        count: usize,
        callback: &mut dyn FnMut(&[f32]) -> io::Result<()>,
    ) -> io::Result<()> {
        match &self.values {
            ValueSource::Bytes { file, start: first } => {
                let bytes_per_value = self.info.dtype.bitsize() / 8;
                let file = File::open(file)?;
                for at in (start..start + count).step_by(CHUNK_VALUES) {
                    let mut bytes = vec![0; CHUNK_VALUES.min(start + count - at) * bytes_per_value];
                    file.read_exact_at(&mut bytes, first + (at * bytes_per_value) as u64)?;
                    callback(&to_f32(self.info.dtype, &bytes))?;
                }
                Ok(())
            }
            ValueSource::Gguf(tensor) => {
                let mut at = 0;
                tensor.for_each_chunk(|chunk| {
                    let wanted =
                        start.clamp(at, at + chunk.len())..(start + count).clamp(at, at + chunk.len());
                    let part = &chunk[wanted.start - at..wanted.end - at];
                    at += chunk.len();
                    if part.is_empty() { Ok(()) } else { callback(part) }
                })
            }
            ValueSource::Computed(segments) => {
                debug_assert_eq!((start, count), (0, self.num_values()), "computed tensors are read whole");
                segments.iter().try_for_each(|segment| segment.for_each_chunk(callback))
            }
        }
    }
}

fn copy_bytes(path: &Path, start: u64, num_bytes: u64, out: &mut impl Write) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    match io::copy(&mut file.take(num_bytes), out)? == num_bytes {
        true => Ok(()),
        false => Err(io::Error::other(format!("`{}` became shorter during the copy", path.display()))),
    }
}

fn tensor_info(dtype: Dtype, shape: Vec<usize>) -> TensorInfo {
    let num_bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    TensorInfo { dtype, shape, data_offsets: (0, num_bytes) }
}

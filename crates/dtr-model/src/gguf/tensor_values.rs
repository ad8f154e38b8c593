//! Reads and dequantises the values of a tensor in chunks. Puts the rows in the order of transformers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;

use safetensors::Dtype;

use super::dequantize::dequantize;
use super::ggml_type::GgmlType;
use super::header::TensorInfo;

/// The most bytes of a tensor that are read at once. A chunk is larger only if a single row or head is
/// larger.
const CHUNK_BYTES: usize = 1 << 20;

/// A file that stays open. Therefore the header and the values come from the same file, even if another file
/// is moved to the path in the meantime.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub path: PathBuf,
    pub file: File,
}

/// A tensor in an open file.
#[derive(Clone, Debug)]
pub(crate) struct GgufTensor {
    pub(super) info: TensorInfo,
    pub(super) file: Rc<OpenFile>,
    /// The number of rows of a head, if its rows must be reordered. In the file, the two rows of a rotated
    /// pair are neighbours. In transformers, the first rows of all pairs come before the second rows of all
    /// pairs.
    pub(super) rows_per_interleaved_head: Option<usize>,
}

impl GgufTensor {
    /// Returns the sizes of the dimensions. The last size is the length of a row.
    pub fn shape(&self) -> &[usize] {
        &self.info.shape
    }

    /// Returns the dtype that holds all values of the tensor exactly.
    pub fn exact_dtype(&self) -> Dtype {
        match self.info.ggml_type {
            GgmlType::F16 => Dtype::F16,
            GgmlType::Bf16 => Dtype::BF16,
            _ => Dtype::F32,
        }
    }

    /// Returns the number of values.
    pub fn num_values(&self) -> usize {
        self.info.shape.iter().product()
    }

    /// Returns all values, in row-major order.
    ///
    /// # Errors
    /// Fails when the file cannot be read.
    pub fn values(&self) -> io::Result<Vec<f32>> {
        let mut values = Vec::with_capacity(self.num_values());
        self.for_each_chunk(|chunk| {
            values.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(values)
    }

    /// Calls `callback` with each chunk of values, in row-major order. A chunk consists of whole rows.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or `callback` fails.
    pub fn for_each_chunk(&self, mut callback: impl FnMut(&[f32]) -> io::Result<()>) -> io::Result<()> {
        let row_len = self.info.shape.last().copied().unwrap_or(1);
        let row_bytes = row_len / self.info.ggml_type.block_len() * self.info.ggml_type.block_bytes();
        let num_rows = self.num_values() / row_len;
        let rows_per_chunk = self.rows_per_interleaved_head.unwrap_or((CHUNK_BYTES / row_bytes).max(1));
        let (mut bytes, mut values, mut ordered) = (Vec::new(), Vec::new(), Vec::new());
        for first in (0..num_rows).step_by(rows_per_chunk) {
            let count = rows_per_chunk.min(num_rows - first);
            bytes.resize(count * row_bytes, 0);
            self.file.file.read_exact_at(&mut bytes, self.info.start + (first * row_bytes) as u64)?;
            values.resize(count * row_len, 0.0);
            dequantize(self.info.ggml_type, &bytes, &mut values);
            match self.rows_per_interleaved_head {
                None => callback(&values)?,
                Some(_) => {
                    ordered.clear();
                    split_pairs(&values, row_len, &mut ordered);
                    callback(&ordered)?;
                }
            }
        }
        Ok(())
    }
}

/// Appends the rows of a head to `out`: the first rows of all rotated pairs, and then the second rows.
fn split_pairs(head: &[f32], row_len: usize, out: &mut Vec<f32>) {
    for offset in [0, 1] {
        head.chunks_exact(row_len).skip(offset).step_by(2).for_each(|row| out.extend_from_slice(row));
    }
}

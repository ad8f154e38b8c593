//! Segments of computed tensors: rows of stored tensors, each value changed by a function, and constants.

use std::io;
use std::ops::Range;

use safetensors::Dtype;

use super::TensorSource;

/// A function of single values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ElementMap {
    /// `x`.
    Identity,
    /// `x − 1`, the weight of a norm that multiplies by `1 + w`.
    MinusOne,
    /// `2 x`, which is exact.
    Double,
    /// `−exp(x)`.
    NegativeExp,
}

impl ElementMap {
    fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::MinusOne => x - 1.0,
            Self::Double => 2.0 * x,
            Self::NegativeExp => -x.exp(),
        }
    }
}

/// A part of a computed tensor.
#[derive(Clone)]
pub enum Segment {
    /// Rows of a tensor in a file.
    Rows { tensor: TensorSource, rows: Range<usize>, map: ElementMap },
    /// Values that are in no file.
    Constant(Vec<f32>),
}

impl Segment {
    /// Returns all rows of `tensor`, unchanged.
    pub fn all(tensor: &TensorSource) -> Self {
        Self::mapped(tensor, ElementMap::Identity)
    }

    /// Returns all rows of `tensor`, each value changed by `map`.
    pub fn mapped(tensor: &TensorSource, map: ElementMap) -> Self {
        let num_rows = tensor.shape().first().copied().unwrap_or(1);
        Self::Rows { rows: 0..num_rows, tensor: tensor.clone(), map }
    }

    /// Returns the rows of each head of `tensor`, `times` times in a row. A head has `rows_per_head` rows.
    pub fn repeat_heads(tensor: &TensorSource, rows_per_head: usize, times: usize) -> Vec<Self> {
        let head = |first: usize| Self::Rows {
            tensor: tensor.clone(),
            rows: first..first + rows_per_head,
            map: ElementMap::Identity,
        };
        let firsts = (0..tensor.shape()[0]).step_by(rows_per_head);
        firsts.flat_map(|first| std::iter::repeat_n(head(first), times)).collect()
    }

    /// Returns convolution kernels of width `width` for `channels` channels that pass the current token
    /// through. The last tap is that of the current token.
    pub fn identity_kernels(channels: usize, width: usize) -> Self {
        let tap = |at: usize| if at % width == width - 1 { 1.0 } else { 0.0 };
        Self::Constant((0..channels * width).map(tap).collect())
    }

    pub(super) fn num_values(&self) -> usize {
        match self {
            Self::Rows { tensor, rows, .. } => rows.len() * tensor.row_len(),
            Self::Constant(values) => values.len(),
        }
    }

    pub(super) fn dtype(&self) -> Option<Dtype> {
        match self {
            Self::Rows { tensor, .. } => Some(tensor.dtype()),
            Self::Constant(_) => None,
        }
    }

    pub(super) fn for_each_chunk(
        &self,
        callback: &mut dyn FnMut(&[f32]) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Constant(values) => callback(values),
            Self::Rows { tensor, rows, map } => {
                let mut changed = Vec::new();
                let row_len = tensor.row_len();
                tensor.for_each_chunk(rows.start * row_len, rows.len() * row_len, &mut |chunk| {
                    changed.clear();
                    changed.extend(chunk.iter().map(|&x| map.apply(x)));
                    callback(&changed)
                })
            }
        }
    }
}

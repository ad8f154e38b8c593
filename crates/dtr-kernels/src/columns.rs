//! Blocks of neighbouring columns of a matrix, as wide as a [`VectorPair`].

use pulp::Simd;

use crate::vectors::{VectorPair, lanes_per_pair, load, store, zeros};

/// A block of up to [`lanes_per_pair`] neighbouring columns, for any matrix with `matrix_width` columns.
#[derive(Clone, Copy)]
pub(crate) struct ColumnBlock {
    first: usize,
    num_columns: usize,
    matrix_width: usize,
}

impl ColumnBlock {
    /// Returns the block that begins at column `first`.
    #[inline(always)]
    pub(crate) fn new<S: Simd>(first: usize, matrix_width: usize) -> Self {
        Self { first, num_columns: lanes_per_pair::<S>().min(matrix_width - first), matrix_width }
    }

    #[inline(always)]
    pub(crate) fn load_row<S: Simd>(self, simd: S, matrix: &[f32], row: usize) -> VectorPair<S> {
        let start = row * self.matrix_width + self.first;
        load(simd, &matrix[start..start + self.num_columns])
    }

    #[inline(always)]
    pub(crate) fn store_row<S: Simd>(self, simd: S, matrix: &mut [f32], row: usize, values: VectorPair<S>) {
        let start = row * self.matrix_width + self.first;
        store(simd, &mut matrix[start..start + self.num_columns], values);
    }

    #[inline(always)]
    pub(crate) fn load_rows<S: Simd>(self, simd: S, matrix: &[f32]) -> Vec<VectorPair<S>> {
        let mut rows = vec![zeros(simd); matrix.len() / self.matrix_width];
        for (row, values) in rows.iter_mut().enumerate() {
            *values = self.load_row(simd, matrix, row);
        }
        rows
    }

    #[inline(always)]
    pub(crate) fn store_rows<S: Simd>(self, simd: S, matrix: &mut [f32], rows: &[VectorPair<S>]) {
        for (row, values) in rows.iter().enumerate() {
            self.store_row(simd, matrix, row, *values);
        }
    }
}

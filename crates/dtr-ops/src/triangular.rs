//! Builds lower-triangular matrices by merging diagonal blocks, for the chunkwise forms of linear attention.
//! In shapes, `m` is batch times heads, `n` is the number of chunks, and `c` is the chunk length.

use burn::tensor::Tensor;

/// Builds lower-triangular matrices `[m, n, c, c]` from their diagonals `[m, n, c]` and a function that
/// computes the blocks below the diagonal.
///
/// Each step merges pairs of neighbouring diagonal blocks `A` and `D` into larger blocks `[[A, 0], [B, D]]`.
/// The size `half` of `A` and `D` is 1 in the first step and doubles with each step. A step calls
/// `below(half, blocks)` once. `blocks` holds the diagonal blocks, `[m, n·c/half, half, half]`. `below`
/// returns the block `B` of each pair, `[m, n·c/(2·half), half, half]`.
pub(crate) fn merge_blocks(diagonal: Tensor<3>, below: impl Fn(usize, &Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let [outer, chunks, size] = diagonal.dims();
    let mut blocks = diagonal.reshape([outer, chunks * size, 1, 1]);
    let mut half = 1;
    while half < size {
        let under = below(half, &blocks);
        blocks = join_blocks(select_every_second(blocks.clone(), 0), under, select_every_second(blocks, 1));
        half *= 2;
    }
    blocks
}

/// Returns `(I + N)⁻¹` for the strictly lower-triangular matrices `N` in `n_mncc`. Each step merges the
/// inverses `A` and `D` of two neighbouring diagonal blocks to `[[A, 0], [-D·L·A, D]]`. `L` is the block of
/// `N` below the first diagonal block.
///
/// The result is as accurate as a triangular solve. The doubling product `(I - N)(I + N²)…` is a common
/// alternative, but loses all digits if the keys are correlated.
pub(crate) fn unit_triangular_inverse(n_mncc: &Tensor<4>) -> Tensor<4> {
    let [outer, chunks, size, _] = n_mncc.dims();
    let ones = Tensor::<3>::ones([outer, chunks, size], (&n_mncc.device(), n_mncc.dtype()));
    merge_blocks(ones, |half, inverses| {
        let upper = select_every_second(inverses.clone(), 0);
        let lower = select_every_second(inverses.clone(), 1);
        lower.matmul(blocks_below(n_mncc, half)).matmul(upper).neg()
    })
}

/// Splits `x_mnck` into runs of `2·half` rows. Returns the upper halves and the lower halves of the runs,
/// `[m, n·c/(2·half), half, k]` each.
pub(crate) fn split_row_halves(x_mnck: &Tensor<4>, half: usize) -> (Tensor<4>, Tensor<4>) {
    let [outer, chunks, size, width] = x_mnck.dims();
    let blocks = x_mnck.clone().reshape([outer, chunks * size / half, half, width]);
    (select_every_second(blocks.clone(), 0), select_every_second(blocks, 1))
}

/// Divides the diagonals of matrices `[m, n, c, c]` into blocks `[[A, U], [B, D]]`, where `A` and `D` have
/// the size `half`. Returns all blocks `B`, `[m, n·c/(2·half), half, half]`.
fn blocks_below(matrix: &Tensor<4>, half: usize) -> Tensor<4> {
    let [outer, chunks, size, _] = matrix.dims();
    let pairs = size / (2 * half);
    let blocks = (0..pairs)
        .map(|pair| {
            let start = pair * 2 * half;
            matrix
                .clone()
                .narrow(2, start + half, half)
                .narrow(3, start, half)
                .reshape([outer, chunks, 1, half, half])
        })
        .collect();
    Tensor::<5>::cat(blocks, 2).reshape([outer, chunks * pairs, half, half])
}

/// Returns every second block of `[m, count, rows, columns]`, from the block `offset` on.
fn select_every_second(blocks: Tensor<4>, offset: usize) -> Tensor<4> {
    let [outer, count, rows, columns] = blocks.dims();
    blocks.reshape([outer, count / 2, 2, rows, columns]).narrow(2, offset, 1).reshape([
        outer,
        count / 2,
        rows,
        columns,
    ])
}

/// Returns `[[upper, 0], [below, lower]]` for square blocks of one size.
fn join_blocks(upper: Tensor<4>, below: Tensor<4>, lower: Tensor<4>) -> Tensor<4> {
    let zeros = upper.zeros_like();
    let top = Tensor::cat(vec![upper, zeros], 3);
    let bottom = Tensor::cat(vec![below, lower], 3);
    Tensor::cat(vec![top, bottom], 2)
}

//! The loss that twins learn by.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, pointer, pointer_or_null, unwritten};
use super::card::{Argument, Extent};
use super::frozen::train;

/// The mean of `(a − b)²`, and its gradient of `a` where it is wanted.
pub(super) fn squared_error(
    a: CubeTensor,
    b: CubeTensor,
    is_learnt_from: bool,
) -> (CubeTensor, Option<CubeTensor>) {
    let [a, b] = [a, b].map(contiguous);
    let count = a.shape().num_elements();
    let gradient = is_learnt_from.then(|| unwritten(&a, a.shape(), a.dtype()));
    let blocks = count.div_ceil(16384).clamp(1, 1056);
    let (shares, mean) = (unwritten(&a, [blocks], DType::F32), unwritten(&a, [1], DType::F32));
    let each = [
        pointer(&a),
        pointer(&b),
        pointer_or_null(gradient.as_ref()),
        Argument::Float(2.0 / count as f32),
        Argument::Long(count as i64),
        pointer(&shares),
    ];
    let all =
        [pointer(&shares), Argument::Int(blocks as i32), Argument::Float(1.0 / count as f32), pointer(&mean)];
    let extent =
        |blocks: usize, threads| Extent { grid: (blocks as u32, 1, 1), block: (threads, 1), shared: 0 };
    // SAFETY: all are alive and dense; a, b and the gradient are of one shape and dtype.
    card(&a).run(|lane| unsafe {
        lane.launch(&train("squared_error", &a), extent(blocks, 512), &each);
        lane.launch(&train("sum_partials", &a), extent(1, 1024), &all);
    });
    (mean, gradient)
}

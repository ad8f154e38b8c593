//! The loss that twins learn by, and the likelihoods that items are scored by.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, dims, pointer, pointer_or_null, unwritten};
use super::card::{Argument, Extent};
use super::inference::train;

fn extent(blocks: usize, threads: u32) -> Extent {
    Extent { grid: (blocks as u32, 1, 1), block: (threads, 1), shared: 0 }
}

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
    // SAFETY: all are alive and dense; a, b and the gradient are of one shape and dtype.
    card(&a).run(|lane| unsafe {
        lane.launch(&train("squared_error", &a), extent(blocks, 512), &each);
        lane.launch(&train("sum_partials", &a), extent(1, 1024), &all);
    });
    (mean, gradient)
}

/// See [`Elements::log_likelihoods`](crate::native::elements::Elements::log_likelihoods).
pub(super) fn log_likelihoods(logits: CubeTensor, rows: CubeTensor, targets: CubeTensor) -> CubeTensor {
    let [logits, rows, targets] = [logits, rows, targets].map(contiguous);
    assert!([&rows, &targets].iter().all(|numbers| numbers.dtype() == DType::I32), "places are i32");
    let ([num_rows, vocab], [count]) = (dims(&logits), dims(&targets));
    let (sums, likelihoods) =
        (unwritten(&logits, [num_rows], DType::F32), unwritten(&logits, [count], DType::F32));
    let [vocab, num_wanted] = [vocab, count].map(|count| Argument::Int(count as i32));
    let of_rows = [pointer(&logits), pointer(&sums), vocab];
    let tensors = [&logits, &sums, &rows, &targets, &likelihoods].map(pointer);
    let of_wanted = [tensors.to_vec(), vec![num_wanted, vocab]].concat();
    // SAFETY: all are alive and dense; every row and token that is named is there.
    card(&logits).run(|lane| unsafe {
        lane.launch(&train("log_sums", &logits), extent(num_rows, 512), &of_rows);
        lane.launch(&train("log_likelihoods", &logits), extent(count.div_ceil(256), 256), &of_wanted);
    });
    likelihoods
}

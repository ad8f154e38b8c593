//! Computes the loss of an output head and the loss's gradients, in chunks of rows. Only the logits of one
//! chunk are in memory at a time.

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData, activation::log_softmax};

use crate::linear::{linear_f32, product, transposed_product_f32};

/// The largest number of logits of one model that a chunk holds: 128 MiB of f32.
const MAX_CHUNK_LOGITS: usize = 1 << 25;

/// The number of tensors with the shape of a chunk's logits that exist at once.
const TENSORS_PER_CHUNK: u64 = 6;

/// The loss of an output head, and the loss's gradients.
pub struct HeadLoss {
    /// The loss, `[1]`, in f32.
    pub loss: Tensor<1>,
    /// The gradient of the head's inputs, `[n, d]`, in the dtype of the inputs.
    pub d_x_nd: Tensor<2>,
    /// The gradient of the head's weight, `[v, d]`, in f32. `None` if the caller did not ask for it.
    pub d_head_vd: Option<Tensor<2>>,
}

/// The inputs and the weight of an output head. The logits are `x · headᵀ`.
#[derive(Clone)]
pub struct HeadInputs<'a> {
    /// The inputs of the head, one row for each token, `[n, d]`.
    pub x_nd: Tensor<2>,
    /// The weight of the head, `[v, d]`.
    pub weight_vd: &'a Tensor<2>,
}

/// Returns the Kullback-Leibler divergence `KL(teacher ‖ student) = Σ p_t (log p_t − log p_s)`, averaged over
/// the rows, and its gradients with respect to the student. The sum is over the whole vocabulary. `p_t` and
/// `p_s` are the probabilities of a token under the teacher and under the student, as in arXiv 1503.02531 at
/// temperature 1.
pub fn kl_divergence_loss(
    student: &HeadInputs<'_>,
    teacher: &HeadInputs<'_>,
    needs_head_gradient: bool,
) -> HeadLoss {
    let num_rows = student.x_nd.dims()[0] as f64;
    chunked_loss(student, rows_per_chunk(student), needs_head_gradient, |start, log_p| {
        let x = teacher.x_nd.clone().narrow(0, start, log_p.dims()[0]);
        let log_q = log_softmax(linear_f32(x, teacher.weight_vd), 1);
        let q = log_q.clone().exp();
        let loss = (q.clone() * (log_q - log_p.clone())).sum() / num_rows;
        (loss, (log_p.exp() - q) / num_rows)
    })
}

/// Returns the cross entropy of tokens, `−Σ log p`, divided by `divisor`, and its gradients. Each of `targets`
/// is a pair: the index of a row of the head's inputs, and the token that follows this row's token. The rows
/// of the targets are in ascending order, and no row occurs twice.
///
/// Only the rows of the targets pass through the head. The gradient of all other rows is zero.
pub fn cross_entropy_loss(
    head: &HeadInputs<'_>,
    targets: &[(usize, u32)],
    divisor: f64,
    needs_head_gradient: bool,
) -> HeadLoss {
    let device = head.x_nd.device();
    let rows: Vec<i32> = targets.iter().map(|(row, _)| *row as i32).collect();
    let x_nd = head.x_nd.clone().select(0, index_tensor(rows, &device));
    let selected = HeadInputs { x_nd, weight_vd: head.weight_vd };
    let loss = chunked_loss(&selected, rows_per_chunk(head), needs_head_gradient, |start, log_p| {
        let num_rows = log_p.dims()[0];
        let in_chunk = &targets[start..start + num_rows];
        let tokens = in_chunk.iter().map(|(_, token)| *token as i32).collect();
        let tokens = index_tensor(tokens, &device).reshape([num_rows, 1]);
        let loss = log_p.clone().gather(1, tokens.clone()).sum().neg() / divisor;
        let minus_one = Tensor::full([num_rows, 1], -1.0, (&device, DType::F32));
        (loss, log_p.exp().scatter(1, tokens, minus_one, IndexingUpdateOp::Add) / divisor)
    });
    let num_rows = head.x_nd.dims()[0];
    let rows = targets.iter().map(|(row, _)| *row);
    HeadLoss { d_x_nd: spread_rows(loss.d_x_nd, rows, num_rows), ..loss }
}

/// Returns `num_rows` rows. The rows with the indices `rows` are those of `x_nd`, in this order, and all other
/// rows are zero.
pub(super) fn spread_rows(x_nd: Tensor<2>, rows: impl Iterator<Item = usize>, num_rows: usize) -> Tensor<2> {
    let [num_targets, width] = x_nd.dims();
    let mut sources = vec![num_targets as i32; num_rows];
    for (index, row) in rows.enumerate() {
        sources[row] = index as i32;
    }
    let (device, dtype) = (x_nd.device(), x_nd.dtype());
    let zeros = Tensor::zeros([1, width], (&device, dtype));
    Tensor::cat(vec![x_nd, zeros], 0).select(0, index_tensor(sources, &device))
}

pub(super) fn index_tensor(indices: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let count = indices.len();
    Tensor::from_data(TensorData::new(indices, [count]), (device, DType::I32))
}

/// Returns the bytes that the temporary tensors of a chunk take for a vocabulary of `vocab_size` tokens, if
/// the loss has `num_rows` rows.
pub fn head_loss_bytes(vocab_size: usize, num_rows: usize) -> u64 {
    let rows = num_rows.min((MAX_CHUNK_LOGITS / vocab_size).max(1));
    TENSORS_PER_CHUNK * 4 * (rows * vocab_size) as u64
}

pub(super) fn rows_per_chunk(head: &HeadInputs<'_>) -> usize {
    (MAX_CHUNK_LOGITS / head.weight_vd.dims()[0]).max(1)
}

/// Adds up the loss and the gradients over chunks of `rows_per_chunk` rows. `loss` receives the index of a
/// chunk's first row and the log-probabilities of the chunk's rows, `[r, v]`. It returns the chunk's loss,
/// `[1]`, and the gradient of the logits, `[r, v]`, in f32.
pub(super) fn chunked_loss(
    head: &HeadInputs<'_>,
    rows_per_chunk: usize,
    needs_head_gradient: bool,
    loss: impl Fn(usize, Tensor<2>) -> (Tensor<1>, Tensor<2>),
) -> HeadLoss {
    let (num_rows, dtype) = (head.x_nd.dims()[0], head.x_nd.dtype());
    let add = |sum: Option<Tensor<2>>, part| {
        Some(sum.map_or_else(|| Tensor::clone(&part), |sum| sum + part.clone()))
    };
    let (mut losses, mut d_x, mut d_head) = (Vec::new(), Vec::new(), None);
    for start in (0..num_rows).step_by(rows_per_chunk) {
        let x = head.x_nd.clone().narrow(0, start, rows_per_chunk.min(num_rows - start));
        let log_p = log_softmax(linear_f32(x.clone(), head.weight_vd), 1);
        let (loss, d_logits) = loss(start, log_p);
        let d_logits = d_logits.cast(dtype);
        losses.push(loss);
        d_x.push(product(d_logits.clone(), head.weight_vd));
        if needs_head_gradient {
            d_head = add(d_head, transposed_product_f32(d_logits, x));
        }
    }
    HeadLoss { loss: Tensor::cat(losses, 0).sum(), d_x_nd: Tensor::cat(d_x, 0), d_head_vd: d_head }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random, to_f32};

    #[test]
    fn the_loss_and_its_gradients_do_not_depend_on_the_chunks() {
        let x = to_f32(&random("x", [5, 4], -2.0, 2.0));
        let weight = to_f32(&random("head", [7, 4], -2.0, 2.0));
        let head = HeadInputs { x_nd: x, weight_vd: &weight };
        let of_chunks = |rows| {
            let loss = chunked_loss(&head, rows, true, |start, log_p| {
                let factor = (start + 1) as f64;
                let factors: Vec<f64> = (0..log_p.dims()[0]).map(|row| factor + row as f64).collect();
                let factors = Tensor::<1>::from_data(factors.as_slice(), &log_p.device());
                let factors = factors.reshape([log_p.dims()[0], 1]);
                ((log_p.clone() * factors.clone()).sum(), log_p * factors)
            });
            let d_head = loss.d_head_vd.expect("the gradient was asked for");
            [loss.loss, loss.d_x_nd.flatten(0, 1), d_head.flatten(0, 1)]
        };
        let expected = of_chunks(5);
        for rows in 1..5 {
            for (found, expected) in of_chunks(rows).into_iter().zip(&expected) {
                let error = (found - expected.clone()).abs().max().into_scalar::<f32>();
                assert!(error < 1e-4, "{rows} rows a chunk: {error}");
            }
        }
    }

    #[test]
    fn cross_entropy_is_that_of_the_targets_and_has_no_gradient_elsewhere() {
        let (x, weight) = (to_f32(&random("x", [5, 4], -2.0, 2.0)), to_f32(&random("h", [7, 4], -2.0, 2.0)));
        let head = HeadInputs { x_nd: x.clone(), weight_vd: &weight };
        let targets = [(1, 6), (2, 0), (4, 3)];
        let loss = cross_entropy_loss(&head, &targets, 3.0, true);
        let (leaf, head_leaf) = (x.autodiff().require_grad(), weight.clone().autodiff().require_grad());
        let log_p = log_softmax(leaf.clone().matmul(head_leaf.clone().transpose()), 1);
        let expected = targets.map(|(row, token)| {
            let token = token as usize;
            log_p.clone().slice([row..row + 1, token..token + 1])
        });
        let expected = Tensor::cat(expected.to_vec(), 0).mean().neg();
        let mut gradients = expected.backward();
        let d_x = leaf.grad_remove(&mut gradients).unwrap();
        let d_head = head_leaf.grad_remove(&mut gradients).unwrap();
        let error =
            |found: Tensor<2>, expected: Tensor<2>| (found - expected).abs().max().into_scalar::<f32>();
        assert!((loss.loss - expected.inner()).abs().into_scalar::<f32>() < 1e-6);
        assert!(error(loss.d_x_nd.clone(), d_x) < 1e-6);
        assert!(error(loss.d_head_vd.unwrap(), d_head) < 1e-6);
        for row in [0, 3] {
            assert_eq!(loss.d_x_nd.clone().narrow(0, row, 1).abs().max().into_scalar::<f32>(), 0.0);
        }
    }

    #[test]
    fn equal_distributions_have_no_divergence_and_no_gradient() {
        let (x, weight) = (to_f32(&random("x", [3, 4], -2.0, 2.0)), to_f32(&random("h", [7, 4], -2.0, 2.0)));
        let head = HeadInputs { x_nd: x, weight_vd: &weight };
        let HeadLoss { loss, d_x_nd, d_head_vd } = kl_divergence_loss(&head, &head, false);
        assert_eq!(loss.into_scalar::<f32>(), 0.0);
        assert_eq!(d_x_nd.abs().max().into_scalar::<f32>(), 0.0);
        assert!(d_head_vd.is_none());
    }
}

//! Log-likelihoods and cross entropy of tokens under logits, and the argmax of logits.

#[cfg(feature = "cuda")]
mod cross_entropy_cuda;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(test, feature = "cuda"))]
mod cuda_tests;
mod distillation_loss;
mod head_loss;
#[cfg(test)]
mod tests;

use burn::tensor::{DType, Int, Tensor, TensorData, activation::log_softmax};

pub use distillation_loss::{DistilTarget, distillation_loss};
pub use head_loss::{HeadInputs, HeadLoss, cross_entropy_loss, head_loss_bytes, kl_divergence_loss};

#[cfg(feature = "cuda")]
use crate::kernel_support::{has_cuda_inference_kernels, has_cuda_kernels};
use crate::linear::linear_f32;

/// The largest number of logits in memory at a time: 256 MiB of f32.
const MAX_LOGITS: usize = 1 << 26;

/// Returns the mean negative log-likelihood of the tokens `targets_n` under the logits `x_nd · head_vdᵀ`,
/// `[1]`.
///
/// In training on a GPU, computes the logits in chunks, and computes the gradients together with the loss.
pub fn linear_cross_entropy(x_nd: Tensor<2>, head_vd: &Tensor<2>, targets_n: Tensor<1, Int>) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if x_nd.is_autodiff() && has_cuda_kernels(&x_nd) {
        return cross_entropy_cuda::linear_cross_entropy(x_nd, head_vd, targets_n);
    }
    log_likelihoods(linear_f32(x_nd, head_vd), targets_n).mean().neg()
}

/// Returns the log-likelihood of each token of `targets_n` under its row of `logits_nv`, `[n]`.
pub(crate) fn log_likelihoods(logits_nv: Tensor<2>, targets_n: Tensor<1, Int>) -> Tensor<1> {
    let rows = logits_nv.dims()[0];
    log_softmax(logits_nv.cast(DType::F32), 1).gather(1, targets_n.reshape([rows, 1])).reshape([rows])
}

/// Returns the log-likelihoods of tokens under the logits `x_pd · head_vdᵀ`. Each of `targets` is a pair: the
/// index of a row of `x_pd`, and a token.
///
/// The logits are computed in chunks of rows, to limit the memory that they take.
pub fn token_log_likelihoods(x_pd: &Tensor<2>, head_vd: &Tensor<2>, targets: &[(usize, u32)]) -> Vec<f32> {
    chunked_log_likelihoods(x_pd, head_vd, targets, (MAX_LOGITS / head_vd.dims()[0]).max(1))
}

/// Computes [`token_log_likelihoods`] in chunks of `rows_per_chunk` rows.
fn chunked_log_likelihoods(
    x_pd: &Tensor<2>,
    head_vd: &Tensor<2>,
    targets: &[(usize, u32)],
    rows_per_chunk: usize,
) -> Vec<f32> {
    let (num_rows, device) = (x_pd.dims()[0], x_pd.device());
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|&index| targets[index].0);
    // All chunks are enqueued before the results are read. A GPU therefore does not idle between chunks.
    let chunks = order.chunk_by(|&a, &b| targets[a].0 / rows_per_chunk == targets[b].0 / rows_per_chunk);
    let found = chunks.map(|in_chunk| {
        let start = targets[in_chunk[0]].0 / rows_per_chunk * rows_per_chunk;
        let indices = |index_of: &dyn Fn((usize, u32)) -> usize| {
            let indices: Vec<i32> = in_chunk.iter().map(|&index| index_of(targets[index]) as i32).collect();
            Tensor::<1, Int>::from_data(TensorData::new(indices, [in_chunk.len()]), (&device, DType::I32))
        };
        let rows = rows_per_chunk.min(num_rows - start);
        let logits = linear_f32(x_pd.clone().narrow(0, start, rows), head_vd);
        select_log_likelihoods(
            logits,
            indices(&|(row, _)| row - start),
            indices(&|(_, token)| token as usize),
        )
    });
    let found: Vec<Tensor<1>> = found.collect();
    let mut values = vec![f32::NAN; targets.len()];
    if !found.is_empty() {
        let found = Tensor::cat(found, 0).into_data().try_to_vec::<f32>().expect("log-likelihoods are f32");
        for (index, value) in order.into_iter().zip(found) {
            values[index] = value;
        }
    }
    values
}

/// Returns the log-likelihood of each token of `targets_n` under its row of `logits_pv`, `[n]`. `rows_n`
/// holds the index of each target's row.
fn select_log_likelihoods(
    logits_pv: Tensor<2>,
    rows_n: Tensor<1, Int>,
    targets_n: Tensor<1, Int>,
) -> Tensor<1> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&logits_pv) {
        return cuda::select_log_likelihoods(logits_pv, rows_n, targets_n);
    }
    let [rows, vocab] = logits_pv.dims();
    let flat_indices = rows_n.mul_scalar(vocab as i32) + targets_n;
    log_softmax(logits_pv.cast(DType::F32), 1).reshape([rows * vocab]).select(0, flat_indices)
}

/// Returns the column of the largest element of each row, `[r]`. On CUDA devices, the result overwrites
/// `indices_r`, so that a recorded decoding step (a CUDA graph) can read its output as its next input. On
/// these devices, a row of NaN gets the column -1.
pub fn argmax_into(x_rn: Tensor<2>, indices_r: Tensor<1, Int>) -> Tensor<1, Int> {
    #[cfg(feature = "cuda")]
    if has_cuda_inference_kernels(&x_rn) {
        return cuda::argmax_into(x_rn, indices_r);
    }
    let rows = indices_r.dims();
    x_rn.argmax(1).reshape(rows)
}

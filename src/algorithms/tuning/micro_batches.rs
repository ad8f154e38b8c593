//! Accumulation of the gradients of micro-batches.

use burn::tensor::{Device, Tensor};

use crate::algorithms::parallel::map_in_parallel_on_cpu;
use dtr_core::error::Result;
use dtr_model::LossAndGradient;
use dtr_ops::is_cpu;

/// Computes the loss and the gradient of each micro-batch, and returns their sums. Besides the sum, a GPU
/// holds the gradient of one micro-batch. A CPU holds the gradient of one micro-batch for each thread. The
/// result does not depend on the number of threads, because the gradients are added in the order of
/// `micro_batches`.
///
/// # Errors
/// Fails if `compute` fails.
///
/// # Panics
/// Panics if there are no micro-batches.
pub fn accumulate_gradients<B: Send + Copy>(
    device: &Device,
    micro_batches: &[B],
    compute: impl Fn(B) -> Result<LossAndGradient> + Send + Sync,
) -> Result<LossAndGradient> {
    let is_cpu = is_cpu(device);
    let at_once = if is_cpu { rayon::current_num_threads() } else { 1 };
    let mut sum: Option<LossAndGradient> = None;
    for group in micro_batches.chunks(at_once) {
        for found in map_in_parallel_on_cpu(is_cpu, group.to_vec(), &compute)? {
            sum = Some(match sum.take() {
                Some(sum) => add(sum, found),
                None => found,
            });
        }
    }
    Ok(sum.expect("a batch has a micro-batch"))
}

fn add(sum: LossAndGradient, other: LossAndGradient) -> LossAndGradient {
    let add = |(a, b): (Tensor<1>, Tensor<1>)| a + b;
    LossAndGradient {
        loss: sum.loss + other.loss,
        gradient: sum.gradient.into_iter().zip(other.gradient).map(add).collect(),
    }
}
